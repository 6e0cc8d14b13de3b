package integration

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// vendorURL is what an unchanged program calls; vendorHost is the host of it.
const (
	vendorHost = "api.agora.io"
	vendorURL  = "https://" + vendorHost
)

// frontSite is a Caddyfile with one site: convoai_connect with options, and
// convoai with subdirectives.
func frontSite(options string, subdirectives ...string) string {
	return global + fmt.Sprintf("http://:<PORT> {\n\tbind 127.0.0.1\n\tconvoai_connect {\n\t%s\n\t}\n\tconvoai {\n\t%s\n\t}\n}\n", options, strings.Join(subdirectives, "\n\t"))
}

// front starts a sidecar with convoai_connect in front of up.
func front(t *testing.T, up *upstream, options string, subdirectives ...string) *sidecar {
	t.Helper()
	return start(t, frontSite(options, append([]string{credentialsA, to(up)}, subdirectives...)...), envA...)
}

// intercepting starts `caddy convoai run --intercept` in front of up.
func intercepting(t *testing.T, up *upstream, args ...string) *sidecar {
	t.Helper()
	port := freePort(t)
	return boot{
		args:    append([]string{"convoai", "run", "--intercept", "--listen", "127.0.0.1:" + port, "--upstream", "https://127.0.0.1:" + up.port, "--upstream-ca", authority}, args...),
		env:     vendorEnv,
		listens: port,
		says:    "convoai: listening on ",
	}.start(t)
}

// caFile is where the sidecar keeps the certificate of its CA.
func (s *sidecar) caFile() string {
	return filepath.Join(s.dir, "data", "caddy", "convoai", "connect", "ca.crt")
}

// roots are what clients trust that trust the sidecar's CA alone.
func (s *sidecar) roots() *x509.CertPool {
	s.t.Helper()
	pem, err := os.ReadFile(s.caFile())
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		s.t.Fatal("no certificate in the CA's file")
	}
	return roots
}

// proxiedClient is a client that has the sidecar for its proxy, with the password if
// there is one, and trusts its CA.
func (s *sidecar) proxiedClient(password string) *http.Client {
	s.t.Helper()
	proxy := &url.URL{Scheme: "http", Host: "127.0.0.1:" + s.port}
	if password != "" {
		proxy.User = url.UserPassword("anyone", password)
	}
	transport := &http.Transport{
		Proxy:             http.ProxyURL(proxy),
		TLSClientConfig:   &tls.Config{RootCAs: s.roots()},
		ForceAttemptHTTP2: true,
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: s.client.CheckRedirect}
}

// connect sends a CONNECT and returns the connection with the answer's head; nothing
// behind that has been read from it.
func (s *sidecar) connect(target string, headers ...string) (net.Conn, *http.Response) {
	s.t.Helper()
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	for _, header := range headers {
		head += header + "\r\n"
	}
	conn := s.open()
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		s.t.Fatal(err)
	}
	return conn, s.head(conn)
}

// open is a connection that is closed with the test.
func (s *sidecar) open() net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// head reads the answer to a CONNECT, and its body where it was refused, byte by
// byte so that nothing of what follows is lost.
func (s *sidecar) head(conn net.Conn) *http.Response {
	s.t.Helper()
	res, err := http.ReadResponse(bufio.NewReaderSize(oneByOne{conn}, 16), &http.Request{Method: "CONNECT"})
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// oneByOne reads one byte at a time.
type oneByOne struct{ io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.Reader.Read(p[:1]) }

// shake makes TLS on a connection.
func (s *sidecar) shake(conn net.Conn, name string, protocols ...string) (*tls.Conn, error) {
	secure := tls.Client(conn, &tls.Config{RootCAs: s.roots(), ServerName: name, NextProtos: protocols})
	return secure, secure.Handshake()
}

// inside makes a connection to host through the sidecar, with TLS.
func (s *sidecar) inside(host string, protocols ...string) *tls.Conn {
	s.t.Helper()
	conn, res := s.connect(host + ":443")
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("CONNECT %s: %s", host, res.Status)
	}
	secure, err := s.shake(conn, host, protocols...)
	if err != nil {
		s.t.Fatal(err)
	}
	return secure
}

// ask sends a request as it stands on a connection with HTTP/1.1 and returns the
// answer.
func ask(t *testing.T, conn net.Conn, request string) answer {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

// runProgram runs a program that is none of ours, to its end. Its environment is bare.
func runProgram(t *testing.T, env []string, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GOCACHE=" + os.Getenv("GOCACHE"), "GOPATH=" + os.Getenv("GOPATH"), "GOFLAGS=" + os.Getenv("GOFLAGS")}, env...)
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("%s cannot be run", name)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// goClient builds the program of goclient.
func goClient(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "goclient")
	if out, err := exec.Command("go", "build", "-o", file, "./goclient").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// together sends something in front of the first bytes that are written, in one
// packet with them, and passes over the answer to it.
type together struct {
	net.Conn
	first    string
	answered bool
}

func (c *together) Write(p []byte) (int, error) {
	first := c.first
	c.first = ""
	if _, err := c.Conn.Write(append([]byte(first), p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *together) Read(p []byte) (int, error) {
	if !c.answered {
		c.answered = true
		if _, err := http.ReadResponse(bufio.NewReaderSize(oneByOne{c.Conn}, 16), &http.Request{Method: "CONNECT"}); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

// statusFrom is the status of an intercepted call from an address of this host, or
// that of its CONNECT where that is refused.
func (s *sidecar) statusFrom(address string) int {
	s.t.Helper()
	client := s.proxiedClient("")
	client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	res, err := client.Get(vendorURL + listA)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// lead answers a CONNECT and connects it to address, whatever it was for.
func lead(near net.Conn, address string) {
	defer near.Close()
	if _, err := http.ReadRequest(bufio.NewReaderSize(oneByOne{near}, 16)); err != nil {
		return
	}
	far, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer far.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
}

var silent = log.New(io.Discard, "", 0)
