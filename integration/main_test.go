package integration

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// binary is the path of the caddy that all tests drive. TestMain builds it.
var binary string

// atATime is how many of the parallel tests run at a time at least, however few
// processors there are: most of them wait for a time-out in a process of their own.
const atATime = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(itoa(max(atATime, runtime.GOMAXPROCS(0))))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "convoai-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "caddy")
	args := []string{"build", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../cmd/caddy")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
		return 1
	}
	if err := makeAuthority(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	builtImages.remove()
	if left := processes.left(); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "processes that no test has ended:", left)
		return 1
	}
	return status
}

// readSources reads all that the binary is built from, so that go test does not
// take a result from its cache that belongs to another binary: it knows which
// files a test has opened. What is opened before the tests run does not count.
var readSources = sync.OnceValue(func() error {
	return filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != "..":
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") && !strings.HasPrefix(entry.Name(), "go."):
			return nil
		case strings.HasSuffix(path, "_test.go"):
			return nil
		}
		_, err = os.ReadFile(path)
		return err
	})
})

// processes are the commands that run at a time.
var processes processSet

type processSet struct {
	mu      sync.Mutex // guards running
	running map[*exec.Cmd]bool
}

func (p *processSet) add(cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.running = make(map[*exec.Cmd]bool)
	}
	p.running[cmd] = true
}

func (p *processSet) remove(cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, cmd)
}

func (p *processSet) left() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var pids []int
	for cmd := range p.running {
		pids = append(pids, cmd.Process.Pid)
		_ = cmd.Process.Kill()
	}
	return pids
}
