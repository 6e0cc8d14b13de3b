package integration

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is an upstream that speaks HTTP/2 frame by frame, and so can do what no
// server does.
type frames struct {
	port     string
	listener net.Listener

	mu          sync.Mutex // guards what follows
	connections int
	streams     []string // the methods of all requests that began
}

// newFrames starts frames with the settings that it announces. respond is called
// for each request's headers; n counts the requests of all connections from 1.
func newFrames(t *testing.T, respond func(conn *framed, stream uint32, n int), settings ...http2.Setting) *frames {
	t.Helper()
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}})
	f := &frames{listener: l}
	_, f.port, _ = net.SplitHostPort(l.Addr().String())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.connections++
			f.mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				f.serve(conn, respond, settings)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return f
}

func (f *frames) url() string { return "https://127.0.0.1:" + f.port }

// seen returns how many connections and requests came.
func (f *frames) seen() (connections, streams int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.connections, len(f.streams)
}

// framed is one connection of frames.
type framed struct {
	net.Conn
	*http2.Framer
}

func (f *frames) serve(conn net.Conn, respond func(*framed, uint32, int), settings []http2.Setting) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	c := &framed{conn, http2.NewFramer(conn, conn)}
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = c.WriteSettings(settings...)
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = c.WritePing(true, frame.Data)
			}
		case *http2.MetaHeadersFrame:
			f.mu.Lock()
			f.streams = append(f.streams, frame.PseudoValue("method"))
			n := len(f.streams)
			f.mu.Unlock()
			respond(c, frame.StreamID, n)
		}
	}
}

// answer writes a whole answer.
func (c *framed) answer(stream uint32, status, body string) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = c.WriteData(stream, true, []byte(body))
}

// The ways in which an HTTP/2 peer says that it has not processed a request,
// after which net/http would ask again without end.
var refusals = []struct {
	name    string
	respond func(c *framed, stream uint32, _ int)
}{
	{"GOAWAY", func(c *framed, _ uint32, _ int) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) }},
	{"GOAWAY and the end", func(c *framed, _ uint32, _ int) {
		_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
		_ = c.CloseWrite()
	}},
	{"REFUSED_STREAM", func(c *framed, stream uint32, _ int) { _ = c.WriteRSTStream(stream, http2.ErrCodeRefusedStream) }},
}

func (c *framed) CloseWrite() error { return c.Conn.(*tls.Conn).CloseWrite() }

func TestUpstreamThatProcessesNothingIsAskedAFewTimes(t *testing.T) {
	for _, refusal := range refusals {
		for _, call := range []struct{ method, path, body string }{{"POST", joinA, joinBody("room", "1")}, {"GET", listA, ""}} {
			t.Run(refusal.name+" to "+call.method, func(t *testing.T) {
				t.Parallel()
				first, second := newFrames(t, refusal.respond), newUpstream(t, nil)
				s := start(t, site(credentialsA, "upstream "+first.url()+" https://127.0.0.1:"+second.port, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
				began := time.Now()
				a := s.send(call.method, call.path, call.body)
				if took := time.Since(began); took > prompt {
					t.Errorf("took %s, longer than the failover budget of 10s", took)
				}
				if a.StatusCode != http.StatusOK || a.body != okBody {
					t.Errorf("%d %s, want the second upstream's answer", a.StatusCode, a.body)
				} else if got := second.only(t); got.body != call.body {
					t.Errorf("the second upstream got %s", got.body)
				}
				// Another connection may have begun by the time the attempt is given up.
				if connections, streams := first.seen(); connections < 1 || connections > 4 || streams < 1 || streams > 3 {
					t.Errorf("%d connections and %d requests to an upstream that refuses, want 1 to 3, and no request on a fourth", connections, streams)
				}
			})
		}
	}
}

// Where there is no other, the caller hears that nothing was carried out.
func TestUpstreamThatProcessesNothingIsUnreachable(t *testing.T) {
	first := newFrames(t, refusals[0].respond)
	s := start(t, site(credentialsA, "upstream "+first.url(), "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	wantError(t, s.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
	if connections, streams := first.seen(); connections > 4 || streams > 3 {
		t.Errorf("%d connections and %d requests, want 3 at most, and no request on a fourth", connections, streams)
	}
}

// A connection of the pool that refuses the call, to a host that takes no other
// connection: nothing was carried out, and the next upstream gets the join.
func TestJoinRefusedByAKeptConnectionGoesToTheNextUpstream(t *testing.T) {
	second := newUpstream(t, nil)
	var first *frames
	first = newFrames(t, func(c *framed, stream uint32, n int) {
		if n == 1 {
			c.answer(stream, "200", okBody)
			return
		}
		_ = first.listener.Close()
		_ = c.WriteGoAway(1, http2.ErrCodeNo, nil)
	})
	s := start(t, site(credentialsA, "upstream "+first.url()+" https://127.0.0.1:"+second.port, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	second.unasked(t)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK || a.body != okBody {
		t.Errorf("%d %s, want the second upstream's answer", a.StatusCode, a.body)
	} else {
		second.only(t)
	}
	if _, streams := first.seen(); streams != 2 {
		t.Errorf("%d requests to the first upstream, want 2", streams)
	}
}

// A peer that does not read the request is not waited for longer than one that
// does not answer it.
func TestResponseTimeoutHoldsWhileTheRequestIsBeingSent(t *testing.T) {
	never := func(*framed, uint32, int) {}
	noWindow := newFrames(t, never, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	silent := strings.Replace(stalled(t), "https", "http", 1)
	for _, test := range []struct {
		name, url string
		size      int
	}{
		{"HTTP 2 without a window", noWindow.url(), 300_000},
		{"HTTP 1.1", silent, 24 << 20}, // more than sockets hold
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, site(credentialsA, "max_body 32MiB", "response_timeout 500ms", "upstream "+test.url, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
			body := strings.Replace(joinBody("room", "1"), "given", strings.Repeat("x", test.size), 1)
			began := time.Now()
			wantError(t, s.send("POST", joinA, body), http.StatusGatewayTimeout, "UpstreamTimeout")
			if took := time.Since(began); took > prompt {
				t.Errorf("took %s with a response_timeout of 500ms", took)
			}
		})
	}
}

// A burst of calls takes more streams than a connection has. Those that find none
// wait for other connections; nothing says that the upstream cannot be reached.
func TestBurstFindsEnoughConnections(t *testing.T) {
	const streams, calls = 100, 300
	u := unstarted(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(500 * time.Millisecond) // the streams stay taken meanwhile
		_, _ = io.WriteString(w, okBody)
	})
	u.EnableHTTP2 = true
	u.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	u.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	u.StartTLS()
	u.started(t)
	s := start(t, site(credentialsA, to(u)), envA...)
	var sending sync.WaitGroup
	for range calls {
		sending.Go(func() {
			if a, err := s.try("POST", joinA, joinBody("room", "1")); err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("%d %s %v", a.StatusCode, a.body, err)
			}
		})
	}
	sending.Wait()
	if n := len(u.received()); n != calls {
		t.Errorf("%d requests came, want %d", n, calls)
	}
}
