package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-convoai/convoai/simulator"
)

// The certificate of all upstreams, and the file that holds the CA which signed
// it.
var (
	certificate tls.Certificate
	authority   string
)

// upstreamNames are the names that certificate is good for.
var upstreamNames = []string{"api-one.upstream.test", "api-two.upstream.test", "127.0.0.1", "127.0.0.2"}

func makeAuthority(dir string) error {
	var ca []byte
	var err error
	if certificate, ca, err = simulator.Certificate(upstreamNames...); err != nil {
		return err
	}
	authority = filepath.Join(dir, "ca.pem")
	return os.WriteFile(authority, ca, 0o600)
}

// received is a request as it came to an upstream.
type received struct {
	method, uri, host, proto, sni string
	header, trailer               http.Header
	body                          string
}

// authorization returns the one value of Authorization.
func (r received) authorization(t *testing.T) string {
	t.Helper()
	if values := r.header.Values("Authorization"); len(values) != 1 {
		t.Fatalf("%d Authorization values came to the upstream, want 1", len(values))
	}
	return r.header.Get("Authorization")
}

// token returns the token of the one Authorization value.
func (r received) token(t *testing.T) string {
	t.Helper()
	token, ok := strings.CutPrefix(r.authorization(t), "agora token=")
	if !ok || !strings.HasPrefix(token, "007") {
		t.Fatal("the upstream did not get an unquoted token of version 007")
	}
	return token
}

// upstream is an HTTPS server that records what comes.
type upstream struct {
	*httptest.Server
	port string

	mu       sync.Mutex // guards what follows
	handler  http.HandlerFunc
	requests []received
	dials    int
}

// okBody is what an upstream answers when nothing else was said.
const okBody = `{"agent_id":"1NT29X10YHxxxxxWJOXLYHNYB","create_ts":1737111452,"status":"RUNNING"}`

// newUpstream starts an HTTPS upstream on 127.0.0.1. Without a handler it
// answers 200.
func newUpstream(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := unstarted(t, handler)
	u.EnableHTTP2 = true
	u.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	u.StartTLS()
	u.started(t)
	return u
}

// newPlainUpstream is newUpstream without TLS.
func newPlainUpstream(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := unstarted(t, handler)
	u.Start()
	u.started(t)
	return u
}

func unstarted(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	if handler == nil {
		handler = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, okBody) }
	}
	u := &upstream{handler: handler}
	u.Server = &httptest.Server{Listener: listen(t), Config: &http.Server{Handler: u}}
	u.Config.ErrorLog = log.New(io.Discard, "", 0)
	u.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.dials++
		}
	}
	return u
}

func (u *upstream) started(t *testing.T) {
	_, u.port, _ = net.SplitHostPort(u.Listener.Addr().String())
	t.Cleanup(func() {
		u.CloseClientConnections()
		u.Close()
	})
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := received{
		method: r.Method, uri: r.RequestURI, host: r.Host, proto: r.Proto,
		header: r.Header.Clone(), trailer: r.Trailer.Clone(), body: string(body),
	}
	if r.TLS != nil {
		got.sni = r.TLS.ServerName
	}
	u.mu.Lock()
	u.requests = append(u.requests, got)
	handler := u.handler
	u.mu.Unlock()
	handler(w, r)
}

// reset forgets what came so far.
func (u *upstream) reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests, u.dials = nil, 0
}

// received returns what came so far.
func (u *upstream) received() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.requests)
}

// only returns the one request that came.
func (u *upstream) only(t *testing.T) received {
	t.Helper()
	all := u.received()
	if len(all) != 1 {
		t.Fatalf("%d requests came to the upstream, want 1", len(all))
	}
	return all[0]
}

// untouched fails the test if anyone has connected.
func (u *upstream) untouched(t *testing.T) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dials != 0 || len(u.requests) != 0 {
		t.Errorf("the upstream saw %d connections and %d requests, want none", u.dials, len(u.requests))
	}
}

// wire is an upstream without TLS that keeps the bytes of every request.
type wire struct {
	url string

	mu       sync.Mutex // guards requests
	requests []string
}

// newWire starts a wire. respond writes the answer to a request, of which head
// and body have been read; nil answers 200.
func newWire(t *testing.T, respond func(conn net.Conn)) *wire {
	t.Helper()
	if respond == nil {
		respond = func(conn net.Conn) {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(okBody), okBody)
		}
	}
	l := listen(t)
	w := &wire{url: "http://" + l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				if w.read(conn) {
					respond(conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return w
}

// read reads one request with a Content-Length, byte by byte as it came.
func (w *wire) read(conn net.Conn) bool {
	var text strings.Builder
	r := bufio.NewReader(io.TeeReader(conn, &text))
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == "\r\n" {
			break
		}
		_, _ = fmt.Sscanf(strings.ToLower(line), "content-length: %d", &length)
	}
	if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, text.String())
	return true
}

func (w *wire) received() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

// reset ends a connection with a TCP reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// resolver is a DNS server for a set of names. Others do not exist.
type resolver struct {
	address string

	mu      sync.Mutex // guards what follows
	answers map[string]string
	asked   []string
}

// What a resolver can say of a name in place of addresses.
const (
	noAnswer  = "none"
	noService = "SERVFAIL"
)

// newResolver starts a resolver. names holds the addresses of each name, with
// spaces between, or one of the words above.
func newResolver(t *testing.T, names map[string]string) *resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &resolver{address: conn.LocalAddr().String(), answers: maps.Clone(names)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if reply := d.reply(packet[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return d
}

// say changes what is said of a name.
func (d *resolver) say(name, answer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[name] = answer
}

func (d *resolver) reply(query []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	m = dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	d.mu.Lock()
	if len(d.asked) == 0 || d.asked[len(d.asked)-1] != name {
		d.asked = append(d.asked, name)
	}
	answer, known := d.answers[name]
	d.mu.Unlock()
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case answer == noAnswer:
		return nil
	case answer == noService:
		m.RCode = dnsmessage.RCodeServerFailure
	default:
		for _, address := range strings.Fields(answer) {
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
			switch addr := netip.MustParseAddr(address); {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
			case q.Type == dnsmessage.TypeAAAA && !addr.Is4():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
			}
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// names returns the names that were asked for and end in one of suffixes, in
// order, each run of equal ones once.
func (d *resolver) names(suffixes ...string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, name := range d.asked {
		if slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) }) {
			names = append(names, name)
		}
	}
	return names
}
