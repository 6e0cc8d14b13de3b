package connect

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// half is one end of a connection whose directions end on their own.
type half struct {
	net.Conn // for the rest
	in       *io.PipeReader
	out      *io.PipeWriter
}

func (h half) Read(p []byte) (int, error)  { return h.in.Read(p) }
func (h half) Write(p []byte) (int, error) { return h.out.Write(p) }
func (h half) CloseWrite() error           { return h.out.Close() }
func (h half) Close() error {
	_ = h.in.Close()
	return h.out.Close()
}

// connection returns both ends of one.
func connection() (one, other half) {
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return half{in: r1, out: w2}, half{in: r2, out: w1}
}

// relayed starts a relay and returns the ends of it, and a channel that is closed
// when it has ended.
func relayed(draining chan struct{}) (client, server half, ended chan struct{}) {
	client, near := connection()
	far, server := connection()
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		newRelay(near, far, draining).run()
	}()
	return client, server, ended
}

func open(ended chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

func TestTunnelPassesTheEndOfEachDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, ended := relayed(nil)
		go func() {
			_, _ = io.WriteString(client, "question")
			_ = client.CloseWrite()
		}()
		if question, err := io.ReadAll(server); err != nil || string(question) != "question" {
			t.Fatalf("%q, %v", question, err)
		}
		if !open(ended) {
			t.Fatal("the tunnel ended with its first direction")
		}
		go func() {
			_, _ = io.WriteString(server, "answer")
			_ = server.Close()
		}()
		if answer, err := io.ReadAll(client); err != nil || string(answer) != "answer" {
			t.Fatalf("%q, %v", answer, err)
		}
		if open(ended) {
			t.Error("the tunnel did not end with its directions")
		}
	})
}

func TestTunnelOnWhichNothingComesIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, ended := relayed(nil)
		go func() { _, _ = io.Copy(io.Discard, server) }()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		for range 3 {
			time.Sleep(idleTunnel - time.Second)
			if _, err := io.WriteString(client, "x"); err != nil {
				t.Fatal(err)
			}
			if !open(ended) {
				t.Fatal("a tunnel that is in use was closed")
			}
		}
		time.Sleep(idleTunnel - time.Second)
		if _, err := io.WriteString(server, "x"); err != nil { // of the other direction
			t.Fatal(err)
		}
		time.Sleep(idleTunnel - time.Second)
		if !open(ended) {
			t.Fatal("closed early")
		}
		time.Sleep(2 * time.Second)
		if open(ended) {
			t.Error("not closed")
		}
	})
}

func TestTunnelsEndSoonWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan struct{})
		idle, idleServer, idleEnded := relayed(draining)
		busy, busyServer, busyEnded := relayed(draining)
		for _, end := range []half{idle, idleServer, busy, busyServer} {
			go func() { _, _ = io.Copy(io.Discard, end) }()
		}
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
					if _, err := io.WriteString(busy, "x"); err != nil {
						return
					}
				}
			}
		}()
		time.Sleep(time.Minute)
		close(draining)
		time.Sleep(lull + time.Second)
		if open(idleEnded) || !open(busyEnded) {
			t.Errorf("after a while: idle one open %t, busy one open %t", open(idleEnded), open(busyEnded))
		}
		time.Sleep(maxDraining)
		if open(busyEnded) {
			t.Error("a busy tunnel stays for ever")
		}
		close(stop)
	})
}

func TestAddressesInUseAreCounted(t *testing.T) {
	var l localAddresses
	first, second := l.add("a"), l.add("a")
	if !l.has("a") || l.has("b") {
		t.Error("not in there")
	}
	first()
	if !l.has("a") {
		t.Error("gone while it is in use")
	}
	second()
	if l.has("a") || len(l.count) != 0 {
		t.Error("still there")
	}
}

func TestNoticesAreFew(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := newThrottle(func() time.Time { return now })
	passed := 0
	for range 5 * 60 {
		if n.pass() {
			passed++
		}
		now = now.Add(time.Second)
	}
	if passed != 5 {
		t.Errorf("%d lines in five minutes", passed)
	}
}
