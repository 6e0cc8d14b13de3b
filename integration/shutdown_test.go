package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A stop under load is quick, and every call that came to an upstream is
// answered.
func TestStopUnderLoadLosesNoCall(t *testing.T) {
	calls := newTally()
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		calls.came(r, false, false)
		time.Sleep(200 * time.Millisecond) // so that calls are under way at any time
		_, _ = io.WriteString(w, okBody)
	})
	s := start(t, strings.Replace(site(credentialsA, to(up)), "admin off", "admin off\n\tgrace_period 30s", 1), envA...)
	const callers = 32
	stop := make(chan struct{})
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				op := operations[(i+n)%len(operations)]
				calls.send(s, fmt.Sprintf("%d-%d", i, n), op.method, op.path, op.body, 0)
			}
		})
	}
	waitFor(t, "the load", func() bool { return len(up.received()) > 3*callers })
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.logged("shutdown complete")
	took := time.Since(began)
	close(stop)
	group.Wait()
	s.stop()
	if took > prompt {
		t.Errorf("the stop took %s", took)
	}
	t.Logf("stopped within %s", took)
	calls.check(t)
	if calls.statuses[http.StatusOK] < 3*callers {
		t.Errorf("%d calls were answered", calls.statuses[http.StatusOK])
	}
	for status, n := range calls.statuses {
		if status != http.StatusOK {
			t.Errorf("%d calls were answered %d", n, status)
		}
	}
}

// A call that does not end does not keep a stop from ending.
func TestStopEndsWithTheGracePeriod(t *testing.T) {
	up := newPatient(t, false, false, answerOK)
	s := start(t, strings.Replace(site(credentialsA, to(up.upstream)), "admin off", "admin off\n\tgrace_period 1s", 1), envA...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.try("POST", joinA, joinBody("room", "1"))
	}()
	<-up.came
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > prompt {
		t.Errorf("the stop took %s", took)
	}
	<-done
}

// A process that was killed leaves nothing that keeps the next from starting,
// and its socket is not mistaken for one of a sidecar that runs.
func TestKilledProcessLeavesNothingToCleanUp(t *testing.T) {
	up := newUpstream(t, nil)
	port, sockets := freePort(t), t.TempDir()
	b := boot{
		args:    []string{"convoai", "run", "--listen", "127.0.0.1:" + port, "--upstream", "https://127.0.0.1:" + up.port, "--upstream-ca", authority},
		env:     append([]string{"XDG_RUNTIME_DIR=" + sockets}, vendorEnv...),
		listens: port,
		says:    "convoai: listening on ",
	}
	list := func() []string {
		found, err := filepath.Glob(filepath.Join(sockets, "convoai", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if _, err := os.Stat("/run/convoai"); err == nil {
		t.Skip("/run/convoai exists: the sockets are there")
	}
	first := b.start(t)
	if a := first.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	first.signal(syscall.SIGKILL)
	first.stop()
	left := list()
	if len(left) != 1 {
		t.Fatalf("the killed process left %v", left)
	}
	// From then on it is no socket that is just being set up.
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left[0], long, long); err != nil {
		t.Fatal(err)
	}
	second := b.start(t)
	if a := second.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Errorf("after a kill: %d %s", a.StatusCode, a.body)
	}
	if now := list(); len(now) != 1 || now[0] == left[0] {
		t.Errorf("the sockets are %v, %v before", now, left)
	}
	second.stop()
	if now := list(); len(now) != 0 {
		t.Errorf("a process that was stopped left %v", now)
	}
}
