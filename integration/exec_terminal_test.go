//go:build unix

package integration

import (
	"os/exec"
	"strings"
	"testing"
)

// inTerminal runs a command in a terminal of its own, with Python's help, types what
// it is told, and prints what is shown. "^C" waits for "there" first.
const inTerminal = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown = b""
def until(text):
    global shown
    while text not in shown:
        try:
            some = os.read(fd, 4096)
        except OSError:
            some = b""
        if not some:
            break
        shown += some
until(b"there")
os.write(fd, b"\x03")
until(b"got INT")
for i in range(3):
    os.write(fd, b"x\n")
    until(b"line %d" % i)
os.write(fd, b"\x04")
until(b"never")
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

// Ctrl-C comes to the command from the terminal, once.
func TestExecDeliversCtrlCOnce(t *testing.T) {
	s, cmd := execIn(t, nil, nil, "--", "sh", "-c", `n=0; i=0; trap 'n=$((n+1)); echo got INT $n' INT; test -t 0 && test -t 1 && echo there
while true; do if read line; then echo line $i; i=$((i+1)); elif test $i -ge 3; then exit 42; fi; done`)
	python := exec.Command("python3", append([]string{"-c", inTerminal}, cmd.Args...)...)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	python.Env, python.Dir = cmd.Env, cmd.Dir
	out, err := python.Output()
	shown := string(out)
	if !strings.Contains(shown, "got INT 1") || strings.Contains(shown, "got INT 2") || !strings.Contains(shown, "line 2") {
		t.Errorf("%v\n%s", err, shown)
	}
	if python.ProcessState.ExitCode() != 42 {
		t.Errorf("status %d", python.ProcessState.ExitCode())
	}
	s.leavesNothing("")
}
