package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// impatient is a site that gives callers a second for what Caddyfile.example
// gives them ten.
func impatient(subdirectives ...string) string {
	return strings.Replace(site(subdirectives...), "admin off", `admin unix/<DIR>/admin.sock
	servers {
		timeouts {
			read_header 1s
			read_body_idle 1s 10000
			idle 2s
		}
		max_header_size 64KiB
	}`, 1)
}

// dial connects to the sidecar.
func (s *sidecar) dial() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// handles returns how many files and sockets the process has open.
func (s *sidecar) handles() int {
	s.t.Helper()
	open, err := os.ReadDir("/proc/" + itoa(s.pid) + "/fd")
	if err != nil {
		s.t.Skip("no /proc here: what the process has open cannot be counted")
	}
	return len(open)
}

// memory returns the resident memory of the process in bytes.
func (s *sidecar) memory() int {
	s.t.Helper()
	status, err := os.ReadFile("/proc/" + itoa(s.pid) + "/status")
	if err != nil {
		s.t.Skip("no /proc here: the memory of the process is not known")
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	kB, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return kB << 10
}

// settle waits until no more is open than before, and a little.
func (s *sidecar) settle(before int) {
	s.t.Helper()
	waitFor(s.t, "what was opened to be closed", func() bool { return s.handles() <= before+4 })
}

// A caller that sends a byte now and then does not keep its connection, whether
// they are bytes of a header or of a body; and the vendor is not called.
func TestSlowCallerIsCutOff(t *testing.T) {
	up := newUpstream(t, nil)
	for name, config := range map[string]string{
		"header":            "POST " + joinA + " HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
		"body":              "POST " + joinA + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
		"body in chunks":    "POST " + joinA + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
		"half a first line": "POST /v2/proj",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, impatient(credentialsA, to(up)), envA...)
			conn := s.dial()
			defer conn.Close()
			if _, err := io.WriteString(conn, config); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, conn)
				ended <- err
			}()
			for over := false; !over; {
				select {
				case err := <-ended:
					if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
						t.Error("the connection stays")
					}
					over = true
				case <-time.After(100 * time.Millisecond):
					_, _ = io.WriteString(conn, " ")
				}
			}
			if took := time.Since(began); took > prompt {
				t.Errorf("the connection was kept for %s", took)
			}
		})
	}
	t.Cleanup(func() { up.untouched(t) })
}

// Callers that go in the middle of what they say leave nothing behind.
func TestHalfOpenCallersLeaveNothing(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, impatient(credentialsA, to(up)), envA...)
	s.send("GET", listA, "")
	s.client.CloseIdleConnections()
	before := s.handles()
	head := "POST " + joinA + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
	for i := range 200 {
		conn := s.dial()
		switch i % 4 {
		case 0: // says nothing
		case 1:
			_, _ = io.WriteString(conn, head[:i%len(head)])
		case 2:
			_, _ = io.WriteString(conn, head+`{"properties":`)
		case 3:
			_, _ = io.WriteString(conn, head)
		}
		if i%3 == 0 {
			_ = conn.(*net.TCPConn).CloseWrite()
			defer conn.Close()
		} else {
			reset(conn)
		}
	}
	s.settle(before)
	if got := up.received(); len(got) != 1 {
		t.Errorf("%d calls came to the upstream, want the first alone", len(got))
	}
}

// A header that is too large is refused before any of it is looked at.
func TestLargeHeaderIsRefused(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, example(t, up), exampleEnv...)
	if a := s.rawAnswer("GET", "GET "+listA+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Large: "+strings.Repeat("a", 80<<10)+"\r\n\r\n"); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("80 KiB: %d", a.StatusCode)
	}
	up.untouched(t)
	if a := s.rawAnswer("GET", "GET "+listA+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Large: "+strings.Repeat("a", 50<<10)+"\r\n\r\n"); a.StatusCode != http.StatusOK {
		t.Errorf("50 KiB: %d", a.StatusCode)
	}
}

// An upstream that stops in the middle of its answer does not hold the caller
// for ever: it gets what came, and then the end of its connection.
func TestUpstreamThatStopsMidway(t *testing.T) {
	stop := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"data":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for _, test := range []struct {
		name string
		up   *upstream
	}{{"HTTP/2", newUpstream(t, stop)}, {"HTTP/1.1", newPlainUpstream(t, stop)}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, site(credentialsA, "response_timeout 1s", "upstream "+test.up.URL, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
			for _, request := range [][2]string{{"GET", listA}, {"POST", joinA}} {
				conn := s.dial()
				defer conn.Close()
				body := joinBody("room", "1")
				_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", request[0], request[1], len(body), body)
				began := time.Now()
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				if res.StatusCode != http.StatusOK || string(got) != `{"data":` || err == nil {
					t.Errorf("%s: %d %q, %v", request[0], res.StatusCode, got, err)
				}
				if timeout, ok := err.(net.Error); ok && timeout.Timeout() || time.Since(began) > prompt {
					t.Errorf("%s: held for %s", request[0], time.Since(began))
				}
			}
		})
	}
}

// A slow answer is not cut off while its parts keep coming.
func TestSlowAnswerThatKeepsComing(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 30 {
			_, _ = io.WriteString(w, "part ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	s := start(t, site(credentialsA, "response_timeout 2s", to(up)), envA...)
	if a := s.send("GET", listA, ""); a.StatusCode != http.StatusOK || a.body != strings.Repeat("part ", 30) {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
}

// Connections that say nothing cost little, and nothing once they are gone.
func TestIdleConnections(t *testing.T) {
	want, each := 10_000, 24<<10
	if raceDetector {
		want, each = 2_000, 120<<10 // the detector's own memory
	}
	// Both ends of each connection are files, one of them of this process.
	limit := raiseFileLimit()
	if most := limit - 1000; most < want {
		want = max(most, 0)
		t.Logf("%d files may be open: with %d connections only", limit, want)
	}
	up := newUpstream(t, nil)
	// They stay for as long as it takes to make all of them.
	s := start(t, strings.Replace(impatient(credentialsA, to(up)), "read_header 1s", "read_header 5m", 1), envA...)
	s.send("GET", listA, "")
	handles, memory := s.handles(), s.memory()
	conns := make([]net.Conn, 0, want)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for deadline := time.Now().Add(patience); len(conns) < want; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil || time.Now().After(deadline) {
			t.Logf("%d connections only: %v", len(conns), err)
			break
		}
		conns = append(conns, conn)
	}
	waitFor(t, "the connections to be accepted", func() bool { return s.handles() >= handles+len(conns)-4 })
	grown := s.memory() - memory
	t.Logf("%d idle connections: %d KiB more, %d bytes each", len(conns), grown>>10, grown/max(len(conns), 1))
	if grown > len(conns)*each+64<<20 {
		t.Errorf("%d idle connections cost %d MiB", len(conns), grown>>20)
	}
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Errorf("with %d idle connections: %d %s", len(conns), a.StatusCode, a.body)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	s.settle(handles)
}
