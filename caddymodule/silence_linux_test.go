package caddymodule

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fallSilent has the kernel drop all that comes to conn, unconfirmed, as if the
// way there had been cut.
func fallSilent(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	var attached error
	if err := raw.Control(func(fd uintptr) {
		attached = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop)
	}); err != nil {
		t.Fatal(err)
	}
	if attached != nil {
		t.Skip("no socket filters here:", attached)
	}
}

// A connection ends when the other end is silent, whether something was sent or
// not, and does not when that only has nothing to say.
func TestConnectionEndsWhenTheOtherEndIsSilent(t *testing.T) {
	live := accept(t, "127.0.0.1:0")
	names := newNameServer(t, "127.0.0.1")
	const ends, stays = "ends", "stays"
	var waiting sync.WaitGroup
	var conns []net.Conn
	defer func() {
		waiting.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for _, test := range []struct {
		name    string
		options string
		silent  bool
		sends   bool
		want    string
	}{
		{"idle", "", true, false, ends},
		{"sent to", "", true, true, ends},
		{"with a read_timeout, idle", `,"read_timeout":"60s"`, true, false, ends},
		{"with a write_timeout, sent to", `,"write_timeout":"60s"`, true, true, ends},
		{"idle, the other end confirms", "", false, false, stays},
		{"sent to, the other end confirms", "", false, true, stays},
		{"with a probe_interval, idle", `,"keep_alive":{"probe_interval":"60s"}`, true, false, stays},
		{"with a probe_interval, sent to", `,"keep_alive":{"probe_interval":"60s"}`, true, true, stays},
	} {
		conn, err := dialling(t, names, test.options).dialFor(t.Context(), "http://one.test:"+live.port)
		if err != nil {
			t.Fatal(err)
		}
		other := <-live.conns
		conns = append(conns, conn, other)
		if test.silent {
			fallSilent(t, other)
		}
		if test.sends {
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		bound := 4 * silence // the machine may be busy
		if test.want == stays {
			bound = silence + silence/2
		}
		waiting.Go(func() {
			began := time.Now()
			enough := time.AfterFunc(bound, func() { _ = conn.Close() })
			_, err := conn.Read(make([]byte, 1))
			took := time.Since(began)
			enough.Stop()
			switch {
			case test.want == ends && (!errors.Is(err, syscall.ETIMEDOUT) || took < silence-time.Second):
				t.Errorf("%s: %v after %s, want its end after %s", test.name, err, took, silence)
			case test.want == stays && !errors.Is(err, net.ErrClosed):
				t.Errorf("%s: %v after %s, want it to stay", test.name, err, took)
			}
			t.Logf("%s: %v after %s", test.name, err, took)
		})
	}
}
