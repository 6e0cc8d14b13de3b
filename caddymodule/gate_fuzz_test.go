package caddymodule

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/integration/corpus"
	"github.com/caddy-convoai/convoai/region"
)

// memoryNetwork is a network of Caddy's without sockets.
const memoryNetwork = "convoaimemory"

// memory are the connections that the plain site of the corpus accepts.
var memory = make(chan net.Conn)

func init() {
	caddy.RegisterNetwork(memoryNetwork, func(_ context.Context, _, host, _ string, _ uint, _ net.ListenConfig) (any, error) {
		l := &memoryListener{closed: make(chan struct{})}
		if host == "plain" {
			l.conns = memory
		}
		return l, nil
	})
}

type memoryListener struct {
	conns  chan net.Conn // nil: none
	once   sync.Once
	closed chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return loopbackAddr }

var loopbackAddr = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:9"))

// scripted is a connection of a peer that sends its text and no more. While a
// call is carried out, the server looks for a byte more, to see whether the peer
// is still there: it is.
type scripted struct {
	text *bytes.Reader

	once   sync.Once
	closed chan struct{}
	past   chan struct{} // a read deadline has passed
}

func (c *scripted) Read(p []byte) (int, error) {
	if c.text.Len() > 0 {
		return c.text.Read(p)
	}
	if len(p) != 1 {
		return 0, io.EOF
	}
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case <-c.past:
		return 0, os.ErrDeadlineExceeded
	case <-time.After(time.Second):
		return 0, io.EOF // it was another byte that the server wanted
	}
}

func (c *scripted) Write(p []byte) (int, error) { return len(p), nil }

func (c *scripted) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// CloseWrite says that the answer is complete; net/http waits for a moment then.
func (c *scripted) CloseWrite() error { return c.Close() }

func (c *scripted) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		select {
		case c.past <- struct{}{}:
		default:
		}
	} else {
		select {
		case <-c.past:
		default:
		}
	}
	return nil
}

func (c *scripted) SetDeadline(at time.Time) error   { return c.SetReadDeadline(at) }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }
func (c *scripted) LocalAddr() net.Addr              { return loopbackAddr }
func (c *scripted) RemoteAddr() net.Addr             { return loopbackAddr }

// Whatever is sent, what goes upstream is a call of a configured app in
// canonical form, with exactly one credential, which is that app's.
func FuzzGate(f *testing.F) {
	cases, err := corpus.Read("../integration/testdata/corpus")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		if !c.HTTP2 && c.Site == "plain" {
			f.Add(c.Bytes("0123456789abcdef"))
		}
	}
	target, _ := corpusServer(f, memoryNetwork)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
			t.Skip("net/http waits for as much as HTTP/2 begins with")
		}
		conn := &scripted{text: bytes.NewReader(text), closed: make(chan struct{}), past: make(chan struct{}, 1)}
		memory <- conn
		select {
		case <-conn.closed:
		case <-time.After(time.Minute):
			t.Fatal("the connection stays open")
		}
		for _, raw := range target.Upstream.Take() {
			if err := corpus.CheckCall(raw, target.Upstream.Host); err != nil {
				t.Errorf("a request reached the upstream: %v", err)
			}
		}
	})
}

// A Host header that is allowed means this host or the vendor also to those who
// read it as part of a URL.
func FuzzHost(f *testing.F) {
	for _, host := range []string{
		"localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080", "api.agora.io", "sidecar.test:80", "[::ffff:127.0.0.1]",
		"[::1%25lo]", "[::1", "localhost:x", "localhost@evil.test", "evil.test#localhost", "localhost.", "127.1", "0x7f.1", "[localhost]", "",
	} {
		f.Add(host)
	}
	usual, err := newAccessPolicy(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	own, err := newAccessPolicy(nil, []string{"sidecar.test", "10.5.0.1", "fd00::1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		r := request(host, "127.0.0.1:1")
		usually, ours := usual.hostAllowed(r), own.hostAllowed(r)
		if !usually && !ours {
			return
		}
		u, err := url.Parse("http://" + host + "/")
		if err != nil || u.User != nil || u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q is allowed, and no host of a URL", host)
		}
		name := normalHost(u.Hostname())
		addr, _ := netip.ParseAddr(name)
		if usually && name != "localhost" && !addr.Unmap().IsLoopback() && !region.VendorHost(name) {
			t.Errorf("%q is allowed, and means %q", host, name)
		}
		if ours && name != "sidecar.test" && name != "10.5.0.1" && name != "fd00::1" {
			t.Errorf("%q is allowed, and means %q, which is not configured", host, name)
		}
	})
}
