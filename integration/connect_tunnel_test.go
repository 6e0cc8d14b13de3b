package integration

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const tunnelName = "registry.tunnel.test"

// at443 listens on port 443 of a loopback address that nobody else has, which takes
// a right.
func at443(t *testing.T) (l net.Listener, address string) {
	t.Helper()
	for range 20 {
		address = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
		l, err := net.Listen("tcp", address+":443")
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
			return l, address
		}
		if os.IsPermission(err) {
			t.Skip("port 443 is for root here")
		}
	}
	t.Skip("no loopback address has port 443 free")
	return nil, ""
}

// echo answers each line with the same line, and the end with "end".
func echo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					_, _ = io.WriteString(conn, "end\n")
					return
				}
				_, _ = io.WriteString(conn, line)
			}
		}()
	}
}

// Whichever end is done first, the other hears of it and can go on: also where Caddy
// has wrapped the connection.
func TestTunnelsEndInOneDirectionFirst(t *testing.T) {
	for name, change := range map[string][2]string{
		"as ever":    {"", ""},
		"access log": {"bind 127.0.0.1", "bind 127.0.0.1\n\tlog"},
	} {
		t.Run(name, func(t *testing.T) {
			l, address := at443(t)
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						_, _ = io.WriteString(conn, "all there is\n")
						_ = conn.(*net.TCPConn).CloseWrite()
						_, _ = io.Copy(io.Discard, conn)
					}()
				}
			}()
			names := newResolver(t, map[string]string{tunnelName: address})
			s := start(t, strings.Replace(tunnelSite(names, "tunnel_private on"), change[0], change[1], 1), envA...)
			conn, res := s.connect(tunnelName + ":443")
			if res.StatusCode != http.StatusOK {
				t.Fatal(res.Status)
			}
			if all, err := io.ReadAll(conn); err != nil || string(all) != "all there is\n" {
				t.Fatalf("%q, %v", all, err)
			}
			if _, err := io.WriteString(conn, "more\n"); err != nil {
				t.Errorf("the other direction has ended: %v", err)
			}
		})
	}
	// Where a connection cannot, it ends altogether, and soon.
	l, address := at443(t)
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.WriteString(conn, "all there is\n")
			_ = conn.Close()
		}
	}()
	names := newResolver(t, map[string]string{tunnelName: address})
	s := start(t, strings.Replace(tunnelSite(names, "tunnel_private on"), "admin off", "admin off\n\tservers {\n\t\tprotocols h1\n\t}", 1), envA...)
	conn, _ := s.connect(tunnelName + ":443")
	if all, err := io.ReadAll(conn); err != nil || string(all) != "all there is\n" {
		t.Errorf("with HTTP/1 alone: %q, %v", all, err)
	}
}

// tunnelSite is a Caddyfile whose names come from a resolver.
func tunnelSite(names *resolver, options string, subdirectives ...string) string {
	return frontSite("tunnel "+tunnelName+"\n"+options, append([]string{credentialsA, "transport http {\n resolvers " + names.address + "\n}"}, subdirectives...)...)
}

func TestTunnelsPassBytesToNamedHosts(t *testing.T) {
	l, address := at443(t)
	go echo(l)
	names := newResolver(t, map[string]string{tunnelName: address, "other.tunnel.test": address})
	s := start(t, tunnelSite(names, "tunnel_private on"), envA...)
	conn, res := s.connect(strings.ToUpper(tunnelName) + ":443")
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	r := bufio.NewReader(conn)
	for _, line := range []string{"one\n", "GET / HTTP/1.1\n", "\x16\x03\x01\n"} {
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
		if got, err := r.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%q, %v", got, err)
		}
	}
	// One direction ends before the other.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "end\n" {
		t.Errorf("%q, %v", rest, err)
	}

	// What came behind the CONNECT belongs to the tunnel.
	conn = s.open()
	if _, err := io.WriteString(conn, "CONNECT "+tunnelName+":443 HTTP/1.1\r\nHost: "+tunnelName+"\r\n\r\nearly\n"); err != nil {
		t.Fatal(err)
	}
	if res := s.head(conn); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != "early\n" {
		t.Errorf("%q, %v", got, err)
	}

	for _, target := range []string{"other.tunnel.test:443", tunnelName + ":80", "sub." + tunnelName + ":443", tunnelName + ".:443", address + ":443"} {
		conn, res := s.connect(target)
		wantRefusal(t, conn, res, http.StatusForbidden, "HostNotAllowed")
	}
}

// A name that is allowed is no way to addresses inside.
func TestTunnelsDoNotLeadInside(t *testing.T) {
	l, address := at443(t)
	var dialled sync.WaitGroup
	dialled.Go(func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.Close()
			t.Error("the address was connected to")
		}
	})
	names := newResolver(t, map[string]string{})
	s := start(t, tunnelSite(names, ""), envA...)
	for _, answer := range []string{address, "169.254.169.254", "10.0.0.1", "::1", "::ffff:" + address} {
		names.say(tunnelName, answer)
		conn, res := s.connect(tunnelName + ":443")
		wantRefusal(t, conn, res, http.StatusBadGateway, "UpstreamUnreachable")
	}
	_ = l.Close()
	dialled.Wait()
}

// No tunnel for those whose calls would be refused.
func TestTunnelsAreForCallers(t *testing.T) {
	l, address := at443(t)
	go echo(l)
	names := newResolver(t, map[string]string{tunnelName: address})
	s := start(t, tunnelSite(names, "tunnel_private on", "caller_token {env.CALLER}"), append([]string{"CALLER=canary-caller"}, envA...)...)
	for _, headers := range [][]string{nil, {"Proxy-Authorization: " + basic("u", "wrong")}, {"X-Convoai-Caller-Token: canary-caller"}} {
		conn, res := s.connect(tunnelName+":443", headers...)
		wantRefusal(t, conn, res, http.StatusProxyAuthRequired, "CallerNotAuthorized")
	}
	if _, res := s.connect(tunnelName+":443", "Proxy-Authorization: "+basic("u", "canary-caller")); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
}

// A tunnel that leads back to the sidecar ends there.
func TestTunnelThatLeadsBackEnds(t *testing.T) {
	l, address := at443(t)
	_ = l.Close()
	names := newResolver(t, map[string]string{tunnelName: address})
	caddyfile := strings.Replace(tunnelSite(names, "tunnel_private on"), "http://:<PORT> {\n\tbind 127.0.0.1", "http://:443 {\n\tbind "+address, 1)
	caddyfile = strings.Replace(caddyfile, "{", "{\n\thttp_port 443\n\thttps_port <PORT2>", 1)
	s := boot{caddyfile: caddyfile, env: envA}.start(t)
	s.port = "443"
	conn, err := net.Dial("tcp", address+":443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	head := "CONNECT " + tunnelName + ":443 HTTP/1.1\r\nHost: " + tunnelName + "\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	if res := s.head(conn); res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if _, err := io.WriteString(conn, head); err != nil { // through the tunnel
		t.Fatal(err)
	}
	wantRefusal(t, conn, s.head(conn), http.StatusLoopDetected, "LoopDetected")
}

// A stop does not wait for tunnels that nobody uses, and not for long for others.
func TestStopEndsTunnels(t *testing.T) {
	l, address := at443(t)
	go echo(l)
	names := newResolver(t, map[string]string{tunnelName: address})
	s := start(t, strings.Replace(tunnelSite(names, "tunnel_private on"), "admin off", "admin off\n\tgrace_period 30s", 1), envA...)
	conn, res := s.connect(tunnelName + ":443")
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	began := time.Now()
	s.signal(syscall.SIGTERM)
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
	s.stop()
	if took := time.Since(began); took > prompt {
		t.Errorf("the stop took %s", took)
	}
	if !contains(s.stderr, `"exit_code":0`) {
		t.Error("the process did not end well")
	}
}
