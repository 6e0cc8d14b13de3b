package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// soakTime is how long TestSoak lasts: CONVOAI_SOAK, or 10 s.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	given := os.Getenv("CONVOAI_SOAK")
	if given == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(given)
	if err != nil {
		t.Fatalf("CONVOAI_SOAK: %v", err)
	}
	return d
}

// tally counts what has become of the calls of a test, by their X-Request-Id.
type tally struct {
	mu       sync.Mutex      // guards what follows
	seen     map[string]int  // how often upstreams got each, but for those that they refused with 401
	cut      map[string]bool // an upstream broke in the middle of its answer
	statuses map[int]int
	aborted  int
	lost     map[string]string // unanswered, and why
}

func newTally() *tally {
	return &tally{seen: map[string]int{}, cut: map[string]bool{}, statuses: map[int]int{}, lost: map[string]string{}}
}

// came notes a request that came to an upstream, and what it does with it.
func (t *tally) came(r *http.Request, refused, cut bool) {
	id := r.Header.Get("X-Request-Id")
	t.mu.Lock()
	defer t.mu.Unlock()
	if !refused {
		t.seen[id]++
	}
	if cut {
		t.cut[id] = true
	}
}

// send makes one call and notes its end. after is when its caller goes, unless
// it is 0.
func (t *tally) send(s *sidecar, id, method, path, body string, after time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("X-Request-Id", id)
	if after > 0 {
		defer time.AfterFunc(after, cancel).Stop()
	}
	res, err := s.client.Do(r)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.statuses[res.StatusCode]++
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		// By this call, or by the one before it on the connection, which net/http
		// may have closed under this one. No server can make it say so.
		t.aborted++
	case t.cut[id]:
		t.statuses[0]++
	default:
		t.lost[id] = err.Error()
	}
}

// closing is what a caller sees of a connection that was closed before its call.
var closing = regexp.MustCompile("EOF|connection re(set|fused)|broken pipe|server closed idle connection")

// check fails for calls that were accepted and not answered, and for those that
// were carried out twice. A connection that was closed before anything of the
// call had been read is none that was accepted.
func (t *tally) check(test *testing.T) {
	test.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, why := range t.lost {
		if t.seen[id] > 0 {
			test.Errorf("call %s came to an upstream and was not answered: %s", id, why)
		}
		if !closing.MatchString(why) {
			test.Errorf("call %s: %s", id, why)
		}
	}
	for id, n := range t.seen {
		if n > 1 && !strings.HasPrefix(id, "repeatable") {
			test.Errorf("call %s was sent %d times", id, n)
		}
	}
	test.Logf("%d calls came to the upstreams; answers by status %v (0: broken off by the upstream); %d aborted, %d on connections that were being closed", len(t.seen), t.statuses, t.aborted, len(t.lost))
}

// heap returns how many bytes are in use after a garbage collection.
func (s *sidecar) heap() (bytes int) {
	s.t.Helper()
	text := s.admin("/debug/pprof/heap?debug=1&gc=1").content
	_, line, ok := strings.Cut(text, "# HeapAlloc = ")
	if _, err := fmt.Sscanf(line, "%d", &bytes); !ok || err != nil {
		s.t.Fatal("the heap profile does not say how much is in use")
	}
	return bytes
}

// Load, reloads, callers that go and upstreams that break, all at once: every
// call that was accepted is answered, none that is not repeatable is sent twice,
// and when it is over, everything that it took has been given back. CI runs it
// for longer, with the race detector.
func TestSoak(t *testing.T) {
	const seed, callers = 20261121, 64
	d := soakTime(t)
	t.Logf("%s of load with seed %d", d, seed)
	calls := newTally()
	faulty := func(seed uint64) http.HandlerFunc {
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 1))
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			dice, wait := random.IntN(100), time.Duration(random.IntN(20))*time.Millisecond
			mu.Unlock()
			calls.came(r, dice == 6 || dice == 7, dice == 8 || dice == 9)
			switch {
			case dice < 4:
				panic(http.ErrAbortHandler)
			case dice < 6:
				w.WriteHeader(http.StatusServiceUnavailable)
			case dice < 8:
				w.WriteHeader(http.StatusUnauthorized)
			case dice < 10:
				_, _ = io.WriteString(w, okBody[:10])
				_ = http.NewResponseController(w).Flush()
				time.Sleep(wait)
				panic(http.ErrAbortHandler)
			case dice < 30:
				time.Sleep(wait)
				fallthrough
			default:
				_, _ = io.WriteString(w, okBody)
			}
		}
	}
	first, second := newUpstream(t, faulty(seed)), newPlainUpstream(t, faulty(seed+1))
	config := strings.Replace(site(credentialsA, "max_body 100KiB", "upstream "+first.URL+" "+second.URL, "transport http {\n tls_trust_pool file <CA>\n}"),
		"admin off", "admin unix/<DIR>/admin.sock\n\tgrace_period 30s\n\tlog {\n\t\texclude admin.api\n\t}", 1)
	s := start(t, config, envA...)
	s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = callers

	// hammer sends calls for a time, with a reload in every second.
	round := 0
	hammer := func(d time.Duration) {
		round++
		end := time.Now().Add(d)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(100*round+i)))
				for n := 0; time.Now().Before(end); n++ {
					op := operations[random.IntN(len(operations))]
					kind := "once"
					if op.repeatable {
						kind = "repeatable"
					}
					var after time.Duration
					if random.IntN(10) == 0 {
						after = time.Duration(1 + random.IntN(int(30*time.Millisecond)))
					}
					calls.send(s, fmt.Sprintf("%s-%d-%d-%d", kind, round, i, n), op.method, op.path, op.body, after)
				}
			})
		}
		for n := 0; time.Now().Before(end); n++ {
			s.post(t, strings.Replace(config, "100KiB", itoa(101+n%2)+"KiB", 1))
			time.Sleep(min(time.Second, max(0, time.Until(end)))) // the pace of the reloads
		}
		group.Wait()
	}
	// rest waits until no connection but the admin API's is open.
	var goroutines, handles int
	rest := func() {
		t.Helper()
		waitFor(t, "the calls to end", func() bool {
			s.client.CloseIdleConnections()
			first.CloseClientConnections()
			second.CloseClientConnections()
			all, _, text := s.goroutines(t)
			goroutines, handles = all, s.handles()
			return !strings.Contains(text, "caddymodule.(*Gate)") && !strings.Contains(text, ".readLoop") && !strings.Contains(text, ".Shutdown")
		})
	}
	hammer(d / 4) // until all that grows once has grown
	rest()
	goroutinesBefore, handlesBefore, heapBefore := goroutines, handles, s.heap()
	hammer(d - d/4)
	waitFor(t, "what the load has taken to be given back", func() bool {
		rest()
		return goroutines <= goroutinesBefore+5 && handles <= handlesBefore+4
	})
	heapAfter := s.heap()
	t.Logf("goroutines %d, then %d; files %d, then %d; heap %d KiB, then %d KiB", goroutinesBefore, goroutines, handlesBefore, handles, heapBefore>>10, heapAfter>>10)
	if heapAfter > heapBefore+8<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", heapBefore, heapAfter)
	}
	calls.check(t)
	possible := []int{0, 200, 401, 502, 503}
	for _, status := range slices.Sorted(maps.Keys(calls.statuses)) {
		if !slices.Contains(possible, status) {
			t.Errorf("%d calls were answered %d", calls.statuses[status], status)
		}
	}
	if calls.statuses[200] < 100 || calls.aborted == 0 {
		t.Errorf("the load was none: %v, %d aborted", calls.statuses, calls.aborted)
	}
}
