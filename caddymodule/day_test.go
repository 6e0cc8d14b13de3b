package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/cache"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.ended); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return &addressed{ours, p.Addr()}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A day of traffic, with channels that come and go, tokens that expire and
// upstreams that fail: nothing is larger at its end than after its first hours.
func TestADayOfTrafficLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 500 // tokens
		shared := newState(cache.Config[tokenKey]{Size: most})
		off := false
		p, err := newProject(withCertificate(), Settings{ExpiresIn: caddy.Duration(time.Hour), Scope: scopeSession, QuoteToken: &off}, shared, zap.NewNop(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		server, listener := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			switch calls++; {
			case calls%97 == 0:
				w.WriteHeader(http.StatusUnauthorized)
			case calls%31 == 0:
				panic(http.ErrAbortHandler)
			}
		})}, &pipes{make(chan net.Conn), make(chan struct{})}
		go func() { _ = server.Serve(listener) }()
		carrier := carriedBy(t, listener.dial)
		carrier.http.Transport.IdleConnTimeout = idleConnTimeout
		carrier.known = shared.known
		carrier.logger = zap.NewNop()
		g := testGate(t, newTestClock(), p)
		g.now, g.logger, g.endpoints = time.Now, zap.NewNop(), endpoints(t, "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")

		type size struct{ tokens, standings, known, held, unattended, goroutines int }
		measure := func() size {
			time.Sleep(2 * idleConnTimeout) // kept connections end
			synctest.Wait()
			shared.known.mu.Lock()
			defer shared.known.mu.Unlock()
			return size{shared.tokens.Len(), shared.standings.Len(), len(shared.known.entries), len(shared.held), int(shared.unattended.Load()), runtime.NumGoroutine()}
		}
		var early size
		channel, answered := 0, 0
		for hour := range 24 {
			for range 60 {
				for i := range 30 {
					name := fmt.Sprintf("standing-%d", i)
					if i >= 10 {
						channel++
						name = fmt.Sprintf("passing-%d", channel)
					}
					path, body := joinPath, fmt.Sprintf(`{"properties":{"channel":%q,"agent_rtc_uid":"1"}}`, name)
					if i%3 == 0 {
						path, body = "/v2/projects/"+p.appID+"/agents/1/leave", ""
					}
					carry(t, g, carrier, "POST", path, body, func(_ *Call, res *http.Response, err error) {
						if err == nil && res.StatusCode == http.StatusOK {
							answered++
						}
					})
				}
				time.Sleep(time.Minute)
			}
			if hour == 2 {
				early = measure()
			}
		}
		late := measure()
		t.Logf("%d calls, %d answered 200; after 3 hours %+v, after 24 %+v", calls, answered, early, late)
		if answered < calls*9/10 || calls < 24*60*30 {
			t.Errorf("%d of %d calls were answered 200", answered, calls)
		}
		if late.tokens > most || late.standings > early.standings || late.known > early.known || late.held > early.held || late.unattended != 0 || late.goroutines > early.goroutines {
			t.Errorf("after 3 hours %+v, after 24 %+v", early, late)
		}
		carrier.http.Transport.CloseIdleConnections()
		_ = server.Close()
		_ = shared.Destruct()
	})
}
