package caddymodule

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/cache"
)

// Each second of a call belongs to one of the three parts, whatever happens in it.
func TestTimeOfACallSplits(t *testing.T) {
	for _, test := range []struct {
		name              string
		dials             []string // what the dials do, in turn: a duration, "fails " and a duration
		answers           []string // status, and how long for the header and each of two parts of the body
		connect, upstream time.Duration
	}{
		{"one attempt", []string{"1s"}, []string{"200 5s 7s 1s"}, time.Second, 13 * time.Second},
		{"a failed dial", []string{"fails 500ms", "1s"}, []string{"200 5s 0s 0s"}, 1500 * time.Millisecond, 5 * time.Second},
		{"sent again after a 401", []string{"1s", "500ms"}, []string{"401 2s 0s 0s", "200 5s 1s 1s"}, 1500 * time.Millisecond, 9 * time.Second},
		{"a lost connection", []string{"1s", "500ms"}, []string{"drop 2s", "200 5s 0s 0s"}, 1500 * time.Millisecond, 7 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := newState(cache.Config[tokenKey]{})
				off := false
				p, err := newProject(withCertificate(), Settings{ExpiresIn: caddy.Duration(time.Hour), Scope: scopeSession, QuoteToken: &off}, shared, zap.NewNop(), time.Now)
				if err != nil {
					t.Fatal(err)
				}
				server, listener := slowServer(&test.answers), &pipes{make(chan net.Conn), make(chan struct{})}
				go func() { _ = server.Serve(listener) }()
				carrier := carriedBy(t, func(ctx context.Context, network, address string) (net.Conn, error) {
					wait, fails := strings.CutPrefix(test.dials[0], "fails ")
					test.dials = test.dials[1:]
					sleep(wait)
					if fails {
						return nil, errors.New("refused")
					}
					return listener.dial(ctx, network, address)
				})
				carrier.logger = zap.NewNop()
				g := testGate(t, newTestClock(), p)
				g.now, g.logger, g.endpoints = time.Now, zap.NewNop(), endpoints(t, "http://127.0.0.1:1", "http://127.0.0.1:2")
				call := slowly(t, g, carrier, p)
				const own = 2*time.Second + 4*time.Second // to send the request, and to take the answer
				for key, want := range map[string]any{
					"connect": test.connect, "upstream": test.upstream, "sidecar": own, "sidecar_ms": 6000.0,
					"connect_ms": milliseconds(test.connect), "upstream_ms": milliseconds(test.upstream),
				} {
					if got, _ := call.placeholder("http.convoai.duration." + key); got != want {
						t.Errorf("%s is %v, want %v", key, got, want)
					}
				}
				carrier.http.Transport.CloseIdleConnections()
				_ = server.Close()
				_ = shared.Destruct()
			})
		})
	}
}

func sleep(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	time.Sleep(d)
}

// slowServer answers as the next of answers says.
func slowServer(answers *[]string) *http.Server {
	return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		next := strings.Fields((*answers)[0])
		*answers = (*answers)[1:]
		sleep(next[1])
		switch next[0] {
		case "drop":
			panic(http.ErrAbortHandler)
		case "401":
			w.WriteHeader(http.StatusUnauthorized)
		}
		for _, wait := range next[2:] {
			_ = http.NewResponseController(w).Flush()
			sleep(wait)
			_, _ = io.WriteString(w, "{}")
		}
	})}
}

// slowly makes a call for a caller who takes 2 s to send a leave, and 4 s to take the
// answer. Time passes after the call as well, and does not count.
func slowly(t *testing.T, g *Gate, carrier *Transport, p *project) (call *Call) {
	t.Helper()
	r := httptest.NewRequest("POST", "/v2/projects/"+p.appID+"/agents/1/leave", lateReader{strings.NewReader("{}"), 2 * time.Second})
	r.Host, r.RemoteAddr, r.ContentLength = "localhost", "127.0.0.1:1", -1
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	err := g.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		call = callOf(r.Context())
		for {
			if _, ok := call.next(); !ok {
				t.Fatal("no upstream is left")
			}
			res, err := carrier.RoundTrip(r)
			if err != nil {
				continue
			}
			_, _ = io.Copy(io.Discard, res.Body)
			time.Sleep(4 * time.Second)
			return res.Body.Close()
		}
	}))
	if err != nil || call == nil {
		t.Fatalf("the call was refused: %v", err)
	}
	time.Sleep(time.Minute)
	return call
}

// lateReader waits before its first byte.
type lateReader struct {
	io.Reader
	by time.Duration
}

func (r lateReader) Read(p []byte) (int, error) {
	if len(p) > 0 && r.Reader.(*strings.Reader).Len() > 0 {
		time.Sleep(r.by)
	}
	return r.Reader.Read(p)
}
