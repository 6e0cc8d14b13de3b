package integration

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// reusePort is SO_REUSEPORT, which package syscall lacks on amd64.
const reusePort = 0xf

// reservePort reserves a TCP port of 127.0.0.1 by a socket that is bound to it
// and never listens.
//
// It is bound without SO_REUSEADDR and SO_REUSEPORT, so that nobody else has the
// port. Both are set then, so that whoever is given the number can listen there,
// be it with SO_REUSEPORT, as Caddy does, or without. The kernel gives a port that
// somebody is bound to neither to those who ask for any port nor to connections
// that leave this machine; another test run is not given it either.
func reservePort() (port int, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	release = func() { _ = syscall.Close(fd) }
	for range 1000 {
		if port, err = bindAlone(fd, anyPort()); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		release()
		return 0, nil, err
	}
	for _, option := range []int{syscall.SO_REUSEADDR, reusePort} {
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, option, 1); err != nil {
			release()
			return 0, nil, os.NewSyscallError("setsockopt", err)
		}
	}
	return port, release, nil
}

// anyPort returns a port below those that connections have: some tests make so
// many that few of these are left for a while. Where that leaves little to choose
// from, it is 0.
func anyPort() int {
	const lowest = 10_000
	if span := firstOfConnections() - lowest; span > 1000 {
		return lowest + rand.IntN(span)
	}
	return 0
}

// firstOfConnections is the first port that the kernel gives to connections.
var firstOfConnections = sync.OnceValue(func() (first int) {
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &first)
	}
	return first
})

// bindAlone binds a socket to a port of 127.0.0.1, any for 0, and returns it.
func bindAlone(fd, port int) (int, error) {
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}

// listenersOn is how many sockets listen on a port of 127.0.0.1. The kernel lists
// those that listen before all the others, which may be many and are not read.
func listenersOn(t *testing.T, port string) (n int) {
	t.Helper()
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	const listening = "0A"
	local := fmt.Sprintf("0100007F:%04X", number)
	lines := bufio.NewScanner(table)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != listening {
			break
		}
		if fields[1] == local {
			n++
		}
	}
	return n
}

func TestReservedPortIsForThoseWhoAreGivenIt(t *testing.T) {
	address := "127.0.0.1:" + freePort(t)
	if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			_ = conn.Close()
		}
		t.Errorf("nobody listens, and connecting ended with %v", err)
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, reusePort, 1) }), err)
	}}
	for range 2 { // again once it was closed
		for name, config := range map[string]net.ListenConfig{"alone": {}, "as Caddy does": shared} {
			l, err := listenAgain(config, address)
			if err != nil {
				t.Fatalf("listening %s: %v", name, err)
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Errorf("connecting to who listens %s: %v", name, err)
			} else {
				_ = conn.Close()
			}
			if n := listenersOn(t, strings.TrimPrefix(address, "127.0.0.1:")); n != 1 {
				t.Errorf("%d listeners are seen", n)
			}
			_ = l.Close()
		}
	}

	// Another run of the tests does not get it.
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if _, err := bindAlone(fd, port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("reserving it once more ended with %v", err)
	}
}
