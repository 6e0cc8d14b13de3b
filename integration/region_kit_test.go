package integration

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// siteOfEach is a Caddyfile with n sites, each for a Host of its own, so that
// what a call does to the upstreams of one is nothing to the others.
func siteOfEach(n int, subdirectives func(i int) []string) string {
	config := global
	for i := range n {
		config += strings.Replace(siteAt("<PORT>", subdirectives(i)...), "http://:", "http://site-"+itoa(i)+".test:", 1)
	}
	return config
}

// siteHost is the header that chooses a site of siteOfEach.
func siteHost(i int) string { return "Host: site-" + itoa(i) + ".test" }

// unasked fails the test if a request has come. Unlike with untouched, someone
// may have connected to see how long that takes.
func (u *upstream) unasked(t *testing.T) {
	t.Helper()
	if n := len(u.received()); n != 0 {
		t.Errorf("the upstream saw %d requests, want none", n)
	}
}

// gate is a TCP proxy in front of an upstream, which can be slow to connect to,
// or closed. A TCP connection is made by the kernel, so what is held back are the
// first bytes: a TLS handshake takes that much longer.
type gate struct {
	t      *testing.T
	port   string
	target string // address
	delay  atomic.Int64

	mu       sync.Mutex // guards what follows
	listener net.Listener
	ended    chan struct{} // closed when the listener is
	conns    map[net.Conn]bool
	accepted int

	serving sync.WaitGroup
}

// newGate starts a gate on a port that stays its own while it is closed.
func newGate(t *testing.T, target string) *gate {
	t.Helper()
	g := &gate{t: t, port: freePort(t), target: target, conns: make(map[net.Conn]bool)}
	g.open()
	t.Cleanup(func() {
		g.close()
		g.serving.Wait()
	})
	return g
}

func (g *gate) url() string { return "https://127.0.0.1:" + g.port }

// open has the gate accept connections, if it does not.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		return
	}
	l, err := listenAgain(net.ListenConfig{}, "127.0.0.1:"+g.port)
	if err != nil {
		g.t.Error(err)
		return
	}
	ended := make(chan struct{})
	g.listener, g.ended = l, ended
	g.serving.Go(func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.accepted++
			g.mu.Unlock()
			g.serving.Go(func() { g.serve(conn) })
		}
	})
}

// close refuses connections, and cuts those that there are. The port is free then: a
// listener lets go of it only when its Accept has returned.
func (g *gate) close() {
	if ended := g.cut(); ended != nil {
		<-ended
	}
}

// cut begins that, and returns what is closed at the end, nil if g is closed already.
func (g *gate) cut() (ended chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener == nil {
		return nil
	}
	_ = g.listener.Close()
	g.listener = nil
	for conn := range g.conns {
		reset(conn)
	}
	return g.ended
}

func (g *gate) serve(client net.Conn) {
	defer client.Close()
	if !g.add(client) {
		return
	}
	defer g.remove(client)
	time.Sleep(time.Duration(g.delay.Load()))
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !g.add(server) {
		return
	}
	defer g.remove(server)
	var copying sync.WaitGroup
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		copying.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = pair[0].Close()
			_ = pair[1].Close()
		})
	}
	copying.Wait()
}

// add takes conn into the care of g; it reports false when g is closed.
func (g *gate) add(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener == nil {
		return false
	}
	g.conns[conn] = true
	return true
}

func (g *gate) remove(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
}

// connections returns how many connections have come since it was last asked.
func (g *gate) connections() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.accepted
	g.accepted = 0
	return n
}

// throughGates are the subdirectives that send calls through gates to TLS
// upstreams.
func throughGates(gates ...*gate) string {
	line := "upstream"
	for _, g := range gates {
		line += " " + g.url()
	}
	return line + "\n\ttransport http {\n\t\ttls_trust_pool file <CA>\n\t}"
}

// answeredBy is what an upstream that says who it is has been made to say.
func answeredBy(a answer) string { return a.Header.Get("X-Upstream") }

func logLines(b *buffer, text string) []string {
	var lines []string
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}
