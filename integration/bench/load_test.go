package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers each request on a loopback address with what handle returns, and
// returns the address. handle is told how many requests came before.
func serve(t *testing.T, handle func(before int64) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	var count atomic.Int64
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				requests := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(requests)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if _, err := io.WriteString(conn, handle(count.Add(1)-1)); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

func connectTo(t *testing.T, address string, connections int) *client {
	t.Helper()
	l := &load{address: address, requests: [][]byte{joinRequest(appID, "room-1", 1<<10, "given", true)}}
	c, err := l.connect(connections)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// Requests that were to be sent while the server stalls have waited, although they
// were sent, and answered at once, only afterwards: coordinated omission would
// leave as many long latencies as there are connections.
func TestOpenLoopCountsWhatAStallHoldsUp(t *testing.T) {
	const stall = 200 * time.Millisecond
	const rate, connections = 1000, 4
	var stalled sync.RWMutex
	address := serve(t, func(before int64) string {
		if before == 100 {
			stalled.Lock()
			time.Sleep(stall)
			stalled.Unlock()
		}
		stalled.RLock()
		defer stalled.RUnlock()
		return string(accepted)
	})
	into := newRecorder()
	if _, err := connectTo(t, address, connections).open(t.Context(), rate, time.Second, into); err != nil {
		t.Fatal(err)
	}
	if n := into.count(); n != rate {
		t.Errorf("%d requests in a second, want %d", n, rate)
	}
	if p99 := into.quantile(99); p99 < 100e3 {
		t.Errorf("p99 is %.0f µs, although a fifth of the requests fell into a stall of %s", p99, stall)
	}
	// Of those that are due within the first half of the stall, none waits for less
	// than the other half.
	const due = rate * 0.2 / 2
	if waited := slower(into, stall/2); waited < due*9/10 {
		t.Errorf("%d requests have waited for half of the stall, want %g or more", waited, due)
	}
}

// slower is how many took longer.
func slower(r *recorder, d time.Duration) int {
	n := 0
	for _, bar := range r.histogram.Distribution() {
		if bar.From > int64(d) {
			n += int(bar.Count)
		}
	}
	return n
}

func TestOpenLoopOfATooSlowServerFails(t *testing.T) {
	address := serve(t, func(int64) string {
		time.Sleep(20 * time.Millisecond)
		return string(accepted)
	})
	_, err := connectTo(t, address, 1).open(t.Context(), 1000, 100*time.Millisecond, newRecorder())
	if err == nil || !strings.Contains(err.Error(), "keep up") {
		t.Errorf("error %v, want one that says that it does not keep up", err)
	}
}

// What is no whole answer of the upstream's makes a run invalid, in either loop.
func TestWrongAnswersMakeARunInvalid(t *testing.T) {
	body := strings.Replace(answerBody, "RUNNING", "STOPPED", 1)
	for _, test := range []struct{ name, answer, says string }{
		{"status", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"},
		{"other body", answerWith(len(body), body), errOtherBody.Error()},
		{"shorter body", answerWith(2, "{}"), errOtherBody.Error()},
		{"more than the body", string(accepted) + "x", errOtherBody.Error()},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", errNoLength.Error()},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10<<10), errHeadTooLong.Error()},
	} {
		for loop, run := range map[string]func(*client) error{
			"closed": func(c *client) error {
				_, err := c.closed(t.Context(), time.Minute, newRecorder())
				return err
			},
			"open": func(c *client) error {
				_, err := c.open(t.Context(), 10_000, time.Minute, newRecorder())
				return err
			},
		} {
			t.Run(test.name+", "+loop, func(t *testing.T) {
				address := serve(t, func(before int64) string {
					if before == 3 {
						return test.answer
					}
					return string(accepted)
				})
				if err := run(connectTo(t, address, 2)); err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v, want %q", err, test.says)
				}
			})
		}
	}
}

func answerWith(length int, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body)
}

func TestAnswerInPieces(t *testing.T) {
	server, conn := net.Pipe()
	defer conn.Close()
	go func() {
		defer server.Close()
		for i := range accepted {
			_, _ = server.Write(accepted[i : i+1])
		}
	}()
	c := &connection{Conn: conn, buffer: make([]byte, 1<<10)}
	if err := c.answer(); err != nil {
		t.Error(err)
	}
}

// A run ends when the session does, even if nobody answers.
func TestRunEndsWithItsContext(t *testing.T) {
	for loop, run := range map[string]func(context.Context, *client) error{
		"closed": func(ctx context.Context, c *client) error {
			_, err := c.closed(ctx, time.Hour, newRecorder())
			return err
		},
		"open": func(ctx context.Context, c *client) error {
			_, err := c.open(ctx, 100, time.Hour, newRecorder())
			return err
		},
	} {
		t.Run(loop, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			silence := make(chan struct{})
			address := serve(t, func(before int64) string {
				if before == 1 {
					cancel()
					<-silence
				}
				return string(accepted)
			})
			defer close(silence)
			if err := run(ctx, connectTo(t, address, 1)); err != context.Canceled {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
		})
	}
}

func TestEachSendsEveryRequestOnce(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		_ = http.Serve(server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[r.URL.Path]++
			mu.Unlock()
			_, _ = io.WriteString(w, answerBody)
		}))
	}()
	tested := &target{address: server.Addr().String()}
	if err := tested.fill(t.Context(), scaled{appsAxis, 50, 1}.requests(1<<10)); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 50 {
		t.Errorf("%d apps were called, want 50", len(seen))
	}
	for path, n := range seen {
		if n != 1 {
			t.Errorf("%s was called %d times, want once", path, n)
		}
	}
}

func TestReadingAHeadAllocatesNothing(t *testing.T) {
	request := joinRequest(appID, "room-1", 1<<10, "given", true)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, length, complete, err := cutHead(request); err != nil || !complete || length != 1<<10 {
			t.Fatalf("length %d, complete %v, error %v", length, complete, err)
		}
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestUpstreamRefusesWhoAddsNoCredential(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { _ = serveRaw(l) }()
	if err := ask(l.Addr().String(), joinRequest(appID, "room-1", 64<<10, "given", true)); err != nil {
		t.Error(err)
	}
	if err := ask(l.Addr().String(), joinRequest(appID, "room-1", 1<<10, "given", false)); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without: error %v, want a 401", err)
	}
}
