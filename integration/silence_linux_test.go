package integration

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cuttable is a listener that can be cut off: the kernel then drops all that
// comes to it and to its connections, as if the way there had been cut.
type cuttable struct {
	t *testing.T
	*net.TCPListener

	mu    sync.Mutex // guards conns
	conns []syscall.Conn
}

// newCuttable listens in the place of l. Sockets of Multipath TCP, which Go's are,
// take no filter.
func newCuttable(t *testing.T, l net.Listener) *cuttable {
	t.Helper()
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := listenAgain(config, address)
	if err != nil {
		t.Fatal(err)
	}
	return &cuttable{t: t, TCPListener: l.(*net.TCPListener)}
}

func (c *cuttable) Accept() (net.Conn, error) {
	conn, err := c.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *cuttable) cut() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	for _, socket := range append(c.conns, c.TCPListener) {
		raw, err := socket.SyscallConn()
		if err != nil {
			c.t.Fatal(err)
		}
		var attached error
		if err := raw.Control(func(fd uintptr) {
			attached = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop)
		}); err != nil {
			continue // closed
		}
		if attached != nil {
			c.t.Skip("no socket filters here:", attached)
		}
	}
}

// connectedTo is how many connections there are to a port.
func connectedTo(t *testing.T, port string) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	const established = "01"
	return strings.Count(string(table), fmt.Sprintf(" 0100007F:%04X %s ", n, established))
}

// A call on a kept connection into the void ends long before response_timeout,
// and one after that has been closed does not even notice.
func TestKeptConnectionThatIsCut(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, test := range []struct {
			name, method, path, body string
			closed                   bool // the kept connection has been, when the call comes
			reason                   string
		}{
			{"a call that may be repeated", "GET", listA, "", false, ""},
			{"a join", "POST", joinA, joinBody("room", "2"), false, "UpstreamConnectionLost"},
			{"a join later", "POST", joinA, joinBody("room", "2"), true, ""},
		} {
			t.Run(scheme+", "+test.name, func(t *testing.T) {
				t.Parallel()
				first, second := unstarted(t, nil), signing(t, "second")
				line := newCuttable(t, first.Listener)
				first.Listener = line
				if scheme == "https" {
					first.EnableHTTP2 = true
					first.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
					first.StartTLS()
				} else {
					first.Start()
				}
				first.started(t)
				s := start(t, site(credentialsA, "upstream "+scheme+"://127.0.0.1:"+first.port+" "+second.URL,
					"transport http {\n tls_trust_pool file <CA>\n}"), envA...)
				s.want("before", "")
				line.cut()
				if test.closed {
					waitFor(t, "the kept connection to be closed", func() bool { return connectedTo(t, first.port) == 0 })
				} else if connectedTo(t, first.port) == 0 {
					t.Skip("the machine is too busy: the connection is closed by now")
				}
				began := time.Now()
				a := s.send(test.method, test.path, test.body)
				took := time.Since(began)
				t.Log("it took", took)
				if got := a.Header.Get("X-Convoai-Error"); got != test.reason || test.reason == "" && (a.StatusCode != http.StatusOK || answeredBy(a) != "second") {
					t.Errorf("%d %s by %q", a.StatusCode, a.body, answeredBy(a))
				}
				if took > silence+dialling+prompt {
					t.Errorf("it took %s", took)
				}
				s.want("then", "second")
				asked := len(second.received())
				if want := map[bool]int{true: 1, false: 2}[test.reason != ""]; asked != want || len(first.received()) != 1 {
					t.Errorf("%d calls came to the first upstream and %d to the second, want 1 and %d", len(first.received()), asked, want)
				}
			})
		}
	}
}
