package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patientUpstream is an upstream whose handler waits for a word, and notes
// whether it was cancelled meanwhile.
type patientUpstream struct {
	*upstream
	came      chan struct{} // a request is here
	goOn      chan struct{} // closed: it may be answered
	cancelled chan bool     // whether it was, once it has been answered or not
}

// newPatient starts a patientUpstream, on HTTP/2 or on HTTP/1.1 without TLS.
// halfway has it send the beginning of its answer, and the rest on the word.
func newPatient(t *testing.T, plain, halfway bool, answer func(w http.ResponseWriter, r *http.Request)) *patientUpstream {
	t.Helper()
	p := &patientUpstream{came: make(chan struct{}, 16), goOn: make(chan struct{}), cancelled: make(chan bool, 16)}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if halfway {
			_, _ = io.WriteString(w, okBody[:20])
			_ = http.NewResponseController(w).Flush()
		}
		p.came <- struct{}{}
		select {
		case <-r.Context().Done():
			p.cancelled <- true
			return
		case <-p.goOn:
		case <-time.After(patience):
		}
		// A cancellation that is on its way has come when this has passed.
		select {
		case <-r.Context().Done():
			p.cancelled <- true
			return
		case <-time.After(300 * time.Millisecond):
		}
		answer(w, r)
		p.cancelled <- r.Context().Err() != nil
	}
	if plain {
		p.upstream = newPlainUpstream(t, handler)
	} else {
		p.upstream = newUpstream(t, handler)
	}
	return p
}

// leave sends a request and goes away when the upstream has it.
func (s *sidecar) leave(p *patientUpstream, method, path, body string, headers ...string) {
	s.t.Helper()
	s.leaveAfter(0, p, method, path, body, headers...)
}

// leaveAfter is leave once some bytes of the answer have come.
func (s *sidecar) leaveAfter(read int, p *patientUpstream, method, path, body string, headers ...string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	ended, begun := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if read == 0 {
			close(begun)
		}
		if res, err := s.client.Do(r); err == nil {
			if _, err := io.CopyN(io.Discard, res.Body, int64(read)); err == nil && read > 0 {
				close(begun)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}()
	select {
	case <-p.came:
	case <-time.After(patience):
		s.t.Fatal("the call does not reach the upstream")
	}
	select {
	case <-begun:
	case <-time.After(patience):
		s.t.Error("the beginning of the answer does not come")
	}
	cancel()
	<-ended
}

// signal sends the process a signal.
func (s *sidecar) signal(signal os.Signal) {
	s.t.Helper()
	process, err := os.FindProcess(s.pid)
	if err == nil {
		err = process.Signal(signal)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// unattended returns the log lines of calls that have ended without their callers.
func (s *sidecar) unattended() []map[string]any {
	var lines []map[string]any
	for line := range strings.Lines(s.stderr.String()) {
		if at := strings.IndexByte(line, '{'); strings.Contains(line, "the caller had gone") && at >= 0 {
			fields := map[string]any{}
			_ = json.Unmarshal([]byte(line[at:]), &fields)
			lines = append(lines, fields)
		}
	}
	return lines
}

func answerOK(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, okBody) }

// An agent that has been started without anybody to hear of it is in the log;
// what may be repeated ends with its caller.
func TestCallThatIsNotRepeatableOutlivesItsCaller(t *testing.T) {
	for _, op := range operations {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/1.1 %t", op.name, plain), func(t *testing.T) {
				t.Parallel()
				up := newPatient(t, plain, false, answerOK)
				s := start(t, site(credentialsA, "upstream "+up.URL, "transport http {\n tls_trust_pool file <CA>\n}")+metricsSite, envA...)
				s.leave(up, op.method, op.path, op.body)
				if op.repeatable {
					select {
					case cancelled := <-up.cancelled:
						if !cancelled {
							t.Error("the upstream saw no cancellation")
						}
					case <-time.After(prompt):
						t.Error("the upstream sees no cancellation")
					}
					if len(s.unattended()) != 0 {
						t.Error("the log has a line about it")
					}
					return
				}
				close(up.goOn)
				if <-up.cancelled {
					t.Error("the upstream saw a cancellation")
				}
				s.logged("the caller had gone")
				agent := "1NT29X10YHxxxxxWJOXLYHNYB"
				want := map[string]any{"status": 200.0, "operation": strings.ReplaceAll(op.name, " ", "_"), "app_id": appA, "upstream": "127.0.0.1", "agent_id": agent}
				lines := s.unattended()
				if len(lines) != 1 {
					t.Fatalf("%d lines about it", len(lines))
				}
				for name, value := range want {
					if lines[0][name] != value {
						t.Errorf("%s is %v, want %v", name, lines[0][name], value)
					}
				}
				var metrics map[string]float64
				counted := `requests_total{code="200",operation="` + want["operation"].(string) + `"}`
				waitFor(t, "the call to be counted", func() bool {
					metrics = s.metrics()
					return metrics[counted] == 1
				})
				if n := metrics[`upstream_attempts_total{host="127.0.0.1:`+up.port+`",outcome="answered"}`]; n != 1 {
					t.Errorf("%g attempts were answered", n)
				}
				for name, n := range metrics {
					if strings.HasPrefix(name, "upstream_attempts_total") && !strings.Contains(name, "answered") && n != 0 {
						t.Errorf("%s is %g", name, n)
					}
				}
			})
		}
	}
}

// What is not known is said, too: that the call was sent, and how it went wrong.
func TestCallWithoutItsCallerThatFails(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout string
		answer  func(w http.ResponseWriter, r *http.Request)
		want    func(line map[string]any) bool
	}{
		{"refused", "60s", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }, func(l map[string]any) bool { return l["status"] == 409.0 }},
		{"reset", "60s", resetConnection, func(l map[string]any) bool { return l["status"] == nil && l["error"] != nil }},
		{"no answer in time", "2s", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(l map[string]any) bool { return strings.Contains(fmt.Sprint(l["error"]), "timeout") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := newPatient(t, true, false, test.answer)
			s := start(t, site(credentialsA, "response_timeout "+test.timeout, "upstream "+up.URL), envA...)
			s.leave(up, "POST", joinA, joinBody("room", "1"))
			close(up.goOn)
			s.logged("the caller had gone")
			if lines := s.unattended(); len(lines) != 1 || !test.want(lines[0]) || lines[0]["operation"] != "join" {
				t.Errorf("the log says %v", lines)
			}
			if n := len(up.received()); n != 1 {
				t.Errorf("the upstream got it %d times", n)
			}
		})
	}
}

// A caller that goes while the answer comes is no other; and an answer that
// stops midway is not waited for.
func TestCallerThatGoesWhileTheAnswerComes(t *testing.T) {
	for _, test := range []struct {
		name, agent string
		answer      func(w http.ResponseWriter, r *http.Request)
	}{
		{"the rest comes", "1NT29X10YHxxxxxWJOXLYHNYB", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, okBody[20:]) }},
		{"the rest does not come", "", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := newPatient(t, false, true, test.answer)
			s := start(t, site(credentialsA, to(up.upstream)), envA...)
			s.leaveAfter(20, up, "POST", joinA, joinBody("room", "1"))
			close(up.goOn)
			began := time.Now()
			s.logged("the caller had gone")
			if time.Since(began) > prompt {
				t.Error("it was waited for")
			}
			if lines := s.unattended(); len(lines) != 1 || lines[0]["status"] != 200.0 || lines[0]["agent_id"] != test.agent {
				t.Errorf("the log says %v", lines)
			}
		})
	}
}

// Nothing that was not sent yet is sent for a caller that has gone: not on the
// connection that was being made, and not to the next upstream.
func TestCallIsNotSentForACallerThatHasGone(t *testing.T) {
	first, second := newUpstream(t, nil), newUpstream(t, nil)
	door := listen(t)
	knocked, open := make(chan struct{}, 16), make(chan struct{})
	var relaying sync.WaitGroup
	relaying.Go(func() {
		for {
			conn, err := door.Accept()
			if err != nil {
				return
			}
			knocked <- struct{}{}
			relaying.Go(func() {
				defer conn.Close()
				<-open
				through, err := net.Dial("tcp", first.Listener.Addr().String())
				if err != nil {
					return
				}
				defer through.Close()
				go func() {
					_, _ = io.Copy(through, conn)
					_ = through.Close()
				}()
				_, _ = io.Copy(conn, through)
			})
		}
	})
	t.Cleanup(func() {
		_ = door.Close()
		select {
		case <-open:
		default:
			close(open)
		}
		first.CloseClientConnections()
		relaying.Wait()
	})
	s := start(t, site(credentialsA, "tls_timeout 60s", "upstream https://"+door.Addr().String()+" https://127.0.0.1:"+second.port, "transport http {\n tls_trust_pool file <CA>\n}")+metricsSite, envA...)
	s.leave(&patientUpstream{came: knocked}, "POST", joinA, joinBody("room", "1"))
	waitFor(t, "the attempt to be given up", func() bool {
		return s.metrics()[`upstream_attempts_total{host="`+door.Addr().String()+`",outcome="abandoned"}`] == 1
	})
	close(open)
	if a := s.send("POST", joinA, joinBody("other", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	for _, got := range append(first.received(), second.received()...) {
		if !strings.Contains(got.body, "other") {
			t.Errorf("an upstream got %s", got.body)
		}
	}
	if len(s.unattended()) != 0 {
		t.Error("the log has a line about it")
	}
}

// The process waits for a call whose caller has gone, as for any other.
func TestShutdownWaitsForACallWithoutItsCaller(t *testing.T) {
	up := newPatient(t, false, false, answerOK)
	s := start(t, strings.Replace(site(credentialsA, to(up.upstream)), "admin off", "admin off\n\tgrace_period 30s", 1), envA...)
	s.leave(up, "POST", joinA, joinBody("room", "1"))
	s.signal(syscall.SIGTERM)
	s.logged("servers shutting down")
	close(up.goOn)
	s.stop()
	if <-up.cancelled {
		t.Error("the upstream saw a cancellation")
	}
	if lines := s.unattended(); len(lines) != 1 || lines[0]["agent_id"] != "1NT29X10YHxxxxxWJOXLYHNYB" {
		t.Errorf("the log says %v", lines)
	}
}

// A credential that the upstream sends back as an agent_id is not logged.
func TestUnattendedCallLogsNoCredential(t *testing.T) {
	const secret = "canary-short"
	for _, form := range []string{basic("id", secret), strings.TrimPrefix(basic("id", secret), "Basic "), "line\nbreak", strings.Repeat("a", 65)} {
		up := newPatient(t, true, false, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]string{"agent_id": form})
		})
		s := start(t, site("app_id "+appA, "customer_id id", "customer_secret {env.SECRET}", "upstream "+up.URL), "SECRET="+secret)
		s.leave(up, "POST", joinA, joinBody("room", "1"))
		close(up.goOn)
		s.logged("the caller had gone")
		if lines := s.unattended(); len(lines) != 1 || lines[0]["agent_id"] != "" {
			t.Errorf("an agent_id was logged")
		}
		s.stop()
	}
}
