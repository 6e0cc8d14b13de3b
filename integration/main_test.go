package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binary is the path of the caddy that all tests drive. TestMain builds it.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

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
	if left := processes.left(); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "processes that no test has ended:", left)
		return 1
	}
	return status
}

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
