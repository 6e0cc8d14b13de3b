package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// slim builds the binary that is in the container image by default, beside the
// other one.
var slim = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "caddy-slim")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/caddy-slim").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building caddy-slim: %w\n%s", err, out)
	}
	return path, nil
})

func slimBinary(t *testing.T) string {
	t.Helper()
	if raceDetector {
		t.Skip("what is in the binary does not depend on the race detector")
	}
	path, err := slim()
	if err != nil {
		t.Fatal(err)
	}
	if err := readSources(); err != nil {
		t.Fatal(err)
	}
	return path
}

// adapt is the JSON configuration that a binary makes of a Caddyfile, or why it
// makes none.
func adapt(t *testing.T, program, caddyfile string) (config []byte, problem string) {
	t.Helper()
	cmd := exec.Command(program, "adapt", "--adapter", "caddyfile", "--config", "-")
	cmd.Stdin = strings.NewReader(caddyfile)
	cmd.Env = []string{"HOME=" + t.TempDir(), "AGORA_APP_ID=" + appA, "AGORA_APP_CERTIFICATE=" + certificateA}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Sprintf("%v: %s", err, excerpt(stderr.String()))
	}
	return stdout.Bytes(), ""
}

var caddyfileBlock = regexp.MustCompile("(?ms)^( *)```caddyfile\n(.*?)^ *```$")

// documented are the Caddyfiles that users see, by where they stand.
func documented(t *testing.T) map[string]string {
	t.Helper()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range caddyfileBlock.FindAllStringSubmatch(string(text), -1) {
			all[fmt.Sprintf("%s-%d", strings.TrimPrefix(page, "../"), i+1)] = block[2]
		}
	}
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	all["Caddyfile.example"] = string(example)
	return all
}

// Whoever takes a configuration out of the documentation can run it in the image
// as it is, and it means the same there.
func TestSlimReadsEveryDocumentedCaddyfile(t *testing.T) {
	program, all := slimBinary(t), documented(t)
	if len(all) < 4 {
		t.Fatalf("only %d Caddyfiles were found", len(all))
	}
	for name, caddyfile := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, problem := adapt(t, binary, caddyfile)
			if strings.Contains(problem, "getting module named") {
				t.Skipf("it is for a build with a plugin: %s", problem)
			}
			if problem != "" { // the inside of a site
				caddyfile = "http://:8080 {\n" + caddyfile + "\n}\n"
				want, problem = adapt(t, binary, caddyfile)
			}
			if problem != "" {
				t.Fatalf("it is no configuration: %s\n%s", problem, caddyfile)
			}
			got, problem := adapt(t, program, caddyfile)
			if problem != "" {
				t.Fatalf("slim refuses it: %s\n%s", problem, caddyfile)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("slim makes something else of it:\n%s\nand not\n%s", got, want)
			}
		})
	}
}

// modules are the module IDs of a binary.
func modules(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.Command(program, "list-modules", "--json").Output()
	if err != nil {
		t.Fatalf("%s list-modules: %v", filepath.Base(program), err)
	}
	var list []struct {
		ID string `json:"module_name"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, module := range list {
		ids = append(ids, module.ID)
	}
	return ids
}

var leftOut = regexp.MustCompile("`([a-z0-9_.]+)`")

// The page on the image says what slim leaves out, all of it and nothing else.
func TestSlimLeavesOutWhatTheDocumentationSays(t *testing.T) {
	all, kept := modules(t, binary), modules(t, slimBinary(t))
	var missing []string
	for _, id := range all {
		if !slices.Contains(kept, id) {
			missing = append(missing, id)
		}
	}
	for _, id := range kept {
		if !slices.Contains(all, id) {
			t.Errorf("slim has %s, and full has not", id)
		}
	}

	page, err := os.ReadFile("../docs/container.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| left out |")
	if !ok {
		t.Fatal("docs/container.md has no table of what is left out")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var listed []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, id := range leftOut.FindAllStringSubmatch(cells[1], -1) {
			listed = append(listed, id[1])
		}
	}
	slices.Sort(missing)
	slices.Sort(listed)
	if !slices.Equal(missing, listed) {
		t.Errorf("slim leaves out\n\t%s\nand docs/container.md lists\n\t%s", strings.Join(missing, " "), strings.Join(listed, " "))
	}
}
