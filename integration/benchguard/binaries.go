package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// binaries is the folder of the compiled tests, so that to run them is all that is
// done while something is measured.
type binaries string

func (dir binaries) of(folder string) string {
	name := strings.ReplaceAll(folder, "/", "-") + ".test"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(string(dir), name)
}

// build compiles the tests that guards and their references are in.
func (dir binaries) build(guards []guard) error {
	folders := []string{references}
	for _, g := range guards {
		folders = append(folders, g.folder)
	}
	slices.Sort(folders)
	for _, folder := range slices.Compact(folders) {
		out, err := exec.Command("go", "test", "-c", "-o", dir.of(folder), "./"+folder).CombinedOutput()
		if err != nil {
			return fmt.Errorf("compiling the tests of %s: %w\n%s", folder, err, out)
		}
	}
	return nil
}

// run runs the tests of a folder with arguments and returns what they print.
func (dir binaries) run(folder string, args ...string) ([]byte, error) {
	cmd := exec.Command(dir.of(folder), args...)
	cmd.Dir = filepath.FromSlash(folder)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running the benchmarks of %s: %w\n%s%s", folder, err, out, problems.Bytes())
	}
	return out, nil
}
