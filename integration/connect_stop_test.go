package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A stop waits for intercepted calls as for any others, and for nothing else.
func TestStopAnswersInterceptedCalls(t *testing.T) {
	t.Parallel()
	up := newPatient(t, false, false, answerOK)
	s := start(t, strings.Replace(frontSite("", credentialsA, to(up.upstream)), "admin off", "admin off\n\tgrace_period 30s", 1), envA...)
	idle := s.inside(vendorHost)
	if _, res := s.connect(vendorHost + ":443"); res.StatusCode != http.StatusOK { // without a handshake
		t.Fatal(res.Status)
	}
	client := s.proxiedClient("")
	done := make(chan error, 1)
	go func() {
		res, err := client.Post(vendorURL+joinA, "application/json", strings.NewReader(joinBody("room", "1")))
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
		}
		done <- err
	}()
	<-up.came
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.logged("servers shutting down")
	if _, err := io.Copy(io.Discard, idle); err != nil { // until it is closed
		t.Errorf("an idle connection: %v", err)
	}
	close(up.goOn)
	if err := <-done; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	s.stop()
	if took := time.Since(began); took > prompt {
		t.Errorf("the stop took %s", took)
	}
}

// lostConnection reports whether a connection was closed before a call on it was read,
// which no handler can help: Caddy may accept one just as it closes the old server.
func lostConnection(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "reset"))
}

// Reloads lose no intercepted call, and leave nothing of the old configurations.
func TestReloadsUnderInterceptedLoad(t *testing.T) {
	up := newUpstream(t, nil)
	config := strings.Replace(frontSite("", credentialsA, to(up), "max_body 100KiB"), "admin off", "admin unix/<DIR>/admin.sock", 1)
	s := start(t, config, envA...)
	client := s.proxiedClient("")
	client.Transport.(*http.Transport).DisableKeepAlives = true
	call := func() error {
		res, err := client.Get(vendorURL + listA)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != okBody {
			return fmt.Errorf("%d %s %v", res.StatusCode, body, err)
		}
		return nil
	}
	for range 2 {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	before, oursBefore, _ := s.goroutines(t)
	stop, made := make(chan struct{}), make(chan struct{}, 1000)
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := call(); err != nil && !lostConnection(err) {
					t.Error(err)
				}
				select {
				case made <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range 10 {
		s.post(t, strings.Replace(config, "100KiB", itoa(200+i)+"KiB", 1))
		for range 3 {
			<-made
		}
	}
	close(stop)
	callers.Wait()
	var after, ours int
	var text string
	defer func() {
		if t.Failed() {
			t.Logf("%d goroutines, %d of them ours; %d and %d before\n%s", after, ours, before, oursBefore, text)
		}
	}()
	waitFor(t, "the goroutines of the old configurations to end", func() bool {
		// Both sides may still be making connections that no call has needed.
		client.CloseIdleConnections()
		up.CloseClientConnections()
		after, ours, text = s.goroutines(t)
		return after <= before+5 && ours <= oursBefore
	})
}
