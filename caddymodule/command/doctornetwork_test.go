package command

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/region"
	"github.com/caddy-convoai/convoai/simulator"
)

// varying is what differs from one run to the next.
var varying = []struct {
	pattern *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "<server>"},
	{regexp.MustCompile(`upstream\.test:\d+`), "upstream.test"},
	{regexp.MustCompile(`port \d+`), "port <port>"},
	{regexp.MustCompile(`\d+ ms`), "<n> ms"},
}

func masked(lines []string) []string {
	var list []string
	for _, line := range lines {
		for _, v := range varying {
			line = v.pattern.ReplaceAllString(line, v.becomes)
		}
		list = append(list, line)
	}
	return list
}

// tested checks the network of a run with upstreams and a CA. resolvers are asked
// for names.
func tested(t *testing.T, upstreams []string, ca string, private bool, resolvers ...string) *diagnosis {
	t.Helper()
	d := newTestDiagnosis(t, doctorFlags{runFlags: runFlags{upstreams: upstreams, upstreamCA: ca, private: private}}, nil)
	d.now, d.resolvers = time.Now, resolvers
	d.checkSettings()
	if d.endpoints == nil {
		t.Fatalf("%q", lines(d, sectionSettings))
	}
	connectTest(t, d)
	d.checkNetwork(t.Context())
	return d
}

func connectTest(t *testing.T, d *diagnosis) {
	t.Helper()
	if err := d.connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.client.Close)
}

// wantNetwork compares the lines of the network, masked.
func wantNetwork(t *testing.T, d *diagnosis, want ...string) {
	t.Helper()
	if got := masked(lines(d, sectionNetwork)); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, one := range d.findings.list {
		if one.Verdict != verdictOK && whose[one.Fault] == "" {
			t.Errorf("whose is %q?", one.What)
		}
	}
}

// remedies are those of the network, all together.
func remedies(d *diagnosis) string {
	var list []string
	for _, one := range d.findings.list {
		list = append(list, one.Remedy...)
	}
	return strings.Join(list, "\n")
}

// authority makes a certificate, and a file with its CA.
func authority(t *testing.T, hosts ...string) (certificate tls.Certificate, ca string) {
	t.Helper()
	certificate, caPEM, err := simulator.Certificate(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, writeFile(t, t.TempDir(), "ca.pem", string(caPEM))
}

// httpsServer serves with a certificate and returns its port.
func httpsServer(t *testing.T, certificate tls.Certificate, handler http.HandlerFunc) (port string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return portOf(t, server.Listener.Addr())
}

func portOf(t *testing.T, addr net.Addr) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// dealingWith is a TCP server that has each connection dealt with.
func dealingWith(t *testing.T, deal func(net.Conn)) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			deal(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return portOf(t, l.Addr())
}

// refusing is a port that nobody listens on: a connection has it.
func refusing(t *testing.T) (port string) {
	t.Helper()
	server := dealingWith(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	conn, err := net.Dial("tcp", "127.0.0.1:"+server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return portOf(t, conn.LocalAddr())
}

// nameServer is a DNS server that deals with each query. An answer of no addresses
// is that there is no such name, and nil is none.
func nameServer(t *testing.T, answer func(name string) []string) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if reply := dnsReply(packet[:n], answer); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

func dnsReply(query []byte, answer func(name string) []string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	addresses := answer(strings.TrimSuffix(q.Name.String(), "."))
	if addresses == nil {
		return nil
	}
	m = dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	if len(addresses) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, address := range addresses {
		if q.Type == dnsmessage.TypeA {
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()}})
		}
	}
	reply, _ := m.Pack()
	return reply
}

func fixed(addresses ...string) func(string) []string {
	return func(string) []string { return addresses }
}

func TestUpstreamsThatAreUp(t *testing.T) {
	certificate, ca := authority(t, "127.0.0.1", "upstream.test")
	port := httpsServer(t, certificate, nil)
	plain := dealingWith(t, func(net.Conn) {})
	names := nameServer(t, fixed("127.0.0.1"))
	d := tested(t, []string{"https://upstream.test:" + port, "https://127.0.0.1:" + port, "http://127.0.0.1:" + plain}, ca, true, names)
	wantNetwork(t, d,
		"ok : https://upstream.test: connected in <n> ms to 127.0.0.1 (DNS <n> ms, TCP <n> ms, TLS <n> ms; certificate by ConvoAI simulator CA)",
		"ok : https://<server>: connected in <n> ms to 127.0.0.1 (TCP <n> ms, TLS <n> ms; certificate by ConvoAI simulator CA)",
		"ok : http://<server>: connected in <n> ms to 127.0.0.1 (TCP <n> ms), without TLS",
	)
}

// A host that is down is a warning for as long as another is up, and a failure then.
func TestUpstreamThatIsDownAmongOthers(t *testing.T) {
	certificate, ca := authority(t, "127.0.0.1")
	up, down := "https://127.0.0.1:"+httpsServer(t, certificate, nil), "https://127.0.0.1:"+refusing(t)
	wantNetwork(t, tested(t, []string{down, up}, ca, false),
		"warning configuration: https://<server>: nobody listens at 127.0.0.1 port <port>",
		"ok : https://<server>: connected in <n> ms to 127.0.0.1 (TCP <n> ms, TLS <n> ms; certificate by ConvoAI simulator CA)",
	)
	wantNetwork(t, tested(t, []string{down}, ca, false),
		"failed configuration: https://<server>: nobody listens at 127.0.0.1 port <port>",
	)
	wantNetwork(t, tested(t, []string{down, "https://127.0.0.1:" + refusing(t)}, ca, false),
		"failed configuration: https://<server>: nobody listens at 127.0.0.1 port <port>",
		"failed configuration: https://<server>: nobody listens at 127.0.0.1 port <port>",
		"failed configuration: no upstream can be reached: every call ends with 502 UpstreamUnreachable",
	)
}

func TestFailedHandshakesAreExplained(t *testing.T) {
	certificate, ca := authority(t, "127.0.0.1", "other.test")
	_, otherCA := authority(t, "127.0.0.1")
	good := httpsServer(t, certificate, nil)
	plain := dealingWith(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n") })
	expired, expiredCA := expiredCertificate(t)
	for _, test := range []struct {
		name, upstream, ca, want, remedy string
	}{
		{"CA that is not known", "https://127.0.0.1:" + good, "", "failed configuration: https://<server>: TLS: its certificate is by ConvoAI simulator CA, which this host does not trust", "--upstream-ca"},
		{"CA that is another", "https://127.0.0.1:" + good, otherCA, "failed configuration: https://<server>: TLS: its certificate is by ConvoAI simulator CA, which is not among the CAs of --upstream-ca", "put the CA of the upstream into that file"},
		{"another name", "https://upstream.test:" + good, ca, "failed network: https://upstream.test: TLS: its certificate is by ConvoAI simulator CA, and for other.test, 127.0.0.1", "captive portal"},
		{
			"expired", "https://127.0.0.1:" + httpsServer(t, expired, nil), expiredCA,
			"failed host: https://<server>: TLS: its certificate is by Evil?Corp, and good from " + clock(expired.Leaf.NotBefore) + " to " + clock(expired.Leaf.NotAfter), "clock of this host",
		},
		{"no TLS", "https://127.0.0.1:" + plain, ca, "failed network: https://<server>: TLS: what answers at port <port> does not speak TLS", "check port and scheme"},
		{"closed", "https://127.0.0.1:" + dealingWith(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }), ca, "failed network: https://<server>: TLS: connected to 127.0.0.1, which closed the connection during the handshake", "firewall"},
		{"mute", "https://127.0.0.1:" + dealingWith(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), ca, "failed network: https://<server>: TLS: connected to 127.0.0.1, and no handshake within <n> ms", "firewall"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := tested(t, []string{test.upstream}, test.ca, true, nameServer(t, fixed("127.0.0.1")))
			wantNetwork(t, d, test.want)
			if !strings.Contains(remedies(d), test.remedy) {
				t.Errorf("what to do is not %q but\n%s", test.remedy, remedies(d))
			}
		})
	}
}

// expiredCertificate is one whose issuer's name acts on terminals, and a file with
// its CA.
func expiredCertificate(t *testing.T) (certificate tls.Certificate, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Evil\x1bCorp"}},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		writeFile(t, t.TempDir(), "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func TestNamesThatCannotBeResolved(t *testing.T) {
	certificate, ca := authority(t, "127.0.0.1")
	up := "https://127.0.0.1:" + httpsServer(t, certificate, nil)
	unknown := nameServer(t, func(string) []string { return []string{} })
	mixed := nameServer(t, func(name string) []string {
		if strings.HasPrefix(name, "one.") {
			return []string{}
		}
		return nil
	})
	mute := nameServer(t, func(string) []string { return nil })
	one, two := "https://one.upstream.test", "https://two.upstream.test"
	for _, test := range []struct {
		name      string
		upstreams []string
		resolver  string
		want      []string
		remedy    string
	}{
		{"unknown among others", []string{one, up}, unknown, []string{
			"warning configuration: https://one.upstream.test: its name cannot be resolved: there is no such name",
			"ok : https://<server>: connected in <n> ms to 127.0.0.1 (TCP <n> ms, TLS <n> ms; certificate by ConvoAI simulator CA)",
		}, "check the name in --upstream"},
		{"one unknown", []string{one}, unknown, []string{
			"failed configuration: https://one.upstream.test: its name cannot be resolved: there is no such name",
		}, "check the name in --upstream"},
		{"none known", []string{one, two}, unknown, []string{"failed network: DNS: the name server knows none of the 2 hosts (<server> was asked)"}, "a name server that does"},
		{"no answer", []string{one, two}, mute, []string{"failed network: DNS: no name can be resolved: no name server answers (<server> was asked)"}, "/etc/resolv.conf"},
		{"one, and no answer", []string{one}, mute, []string{"failed network: DNS: no name can be resolved: no name server answers (<server> was asked)"}, "/etc/resolv.conf"},
		{"one unknown, and no answer", []string{one, two}, mixed, []string{"failed network: DNS: no name can be resolved: no name server answers (<server> was asked)"}, "/etc/resolv.conf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := tested(t, test.upstreams, ca, false, test.resolver)
			wantNetwork(t, d, test.want...)
			if !strings.Contains(remedies(d), test.remedy) {
				t.Errorf("what to do is not %q but\n%s", test.remedy, remedies(d))
			}
		})
	}
}

// The area's hosts are public: what leads elsewhere is not dialled, and said.
func TestNamesThatLeadInside(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{}, nil)
	d.resolvers = []string{nameServer(t, fixed("10.0.0.1"))}
	d.checkSettings()
	connectTest(t, d)
	d.checkNetwork(t.Context())
	const inside = ": its name leads to 10.0.0.1, to which the sidecar does not connect: no public address"
	wantNetwork(t, d,
		"failed network: api-us-west-1.agora.io"+inside, "failed network: api-us-west-1.sd-rtn.com"+inside,
		"failed network: api-us-east-1.agora.io"+inside, "failed network: api-us-east-1.sd-rtn.com"+inside, "failed network: api.agora.io"+inside,
		"failed network: no upstream can be reached: every call ends with 502 UpstreamUnreachable",
	)
	if !strings.Contains(remedies(d), "--upstream https://api-us-west-1.agora.io --upstream-private") {
		t.Errorf("what to do is\n%s", remedies(d))
	}

	names := nameServer(t, fixed("10.0.0.1"))
	d = tested(t, []string{"https://one.upstream.test"}, "", false, names)
	wantNetwork(t, d, "failed configuration: https://one.upstream.test: its name leads to 10.0.0.1, to which the sidecar does not connect: no public address")
	d = tested(t, []string{"http://one.upstream.test"}, "", true, nameServer(t, fixed("192.0.43.8")))
	wantNetwork(t, d, "failed configuration: http://one.upstream.test: its name leads to 192.0.43.8, to which the sidecar does not connect: a public address gets nothing without TLS")
}

// What no test can have happen to a public host on this machine.
func TestPublicHostsThatCannotBeConnectedTo(t *testing.T) {
	public := region.Endpoint{Scheme: "https", Host: "api.agora.io", Port: "443", Region: "global"}
	addresses := []netip.Addr{netip.MustParseAddr("192.0.43.8"), netip.MustParseAddr("192.0.43.9"), netip.MustParseAddr("192.0.43.10")}
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for _, test := range []struct {
		name string
		caddymodule.Trial
		want string
	}{
		{"refused", caddymodule.Trial{Addresses: addresses[:1], Err: dial(syscall.ECONNREFUSED), Cause: region.Refused}, "connections to 192.0.43.8 port 443 are refused"},
		{"dropped", caddymodule.Trial{Addresses: addresses[:2], Connect: 2 * time.Second, Err: context.DeadlineExceeded, Cause: region.ConnectTimeout}, "no answer from 192.0.43.8, 192.0.43.9 port 443 within 2000 ms"},
		{"no route", caddymodule.Trial{Addresses: addresses, Err: dial(syscall.ENETUNREACH), Cause: region.Unreachable}, "there is no way to 192.0.43.8, 192.0.43.9 and 1 more port 443"},
		{"forbidden here", caddymodule.Trial{Addresses: addresses[:1], Err: dial(syscall.EPERM), Cause: region.Unreachable}, "this host itself forbids to connect to 192.0.43.8 port 443"},
	} {
		e := explain(&trial{Endpoint: public, Trial: test.Trial})
		if e.what != test.want || e.of != faultNetwork || !strings.Contains(strings.Join(e.remedy, "\n"), "outgoing TCP to port 443 has to be open") {
			t.Errorf("%s: %+v", test.name, e)
		}
	}
}

// Where there is no way out, a proxy that is not used may be the reason.
func TestProxyMayBeTheOnlyWayOut(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{runFlags: runFlags{upstreams: []string{"https://one.upstream.test", "https://two.upstream.test"}}}, nil)
	t.Setenv("HTTPS_PROXY", "http://user:canary@127.0.0.1:1")
	d.resolvers = []string{nameServer(t, func(string) []string { return nil })}
	d.checkSettings()
	connectTest(t, d)
	d.checkNetwork(t.Context())
	wantNetwork(t, d, "failed network: DNS: no name can be resolved: no name server answers (<server> was asked)",
		"warning configuration: HTTPS_PROXY is set, and the sidecar does not use it")
	wantNoSecret(t, report(t, d), "canary")
}

func TestWithoutSettingsNoNetwork(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{runFlags: runFlags{area: "mars"}}, nil)
	d.checkSettings()
	connectTest(t, d)
	d.checkNetwork(t.Context())
	wantNetwork(t, d, "warning configuration: not checked: where calls go is not known")
	d.checkClock(t.Context())
	wantLines(t, d, sectionClock, "warning network: not compared with the upstream's: where calls go is not known")
}
