package region_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/region"
)

func TestUpstreamsAreParsed(t *testing.T) {
	for _, test := range []struct {
		in                         string
		allowPrivate               bool
		address, url, host, scheme string
		private                    bool // the result's AllowPrivate
	}{
		{"https://one.test", false, "one.test:443", "https://one.test", "one.test", "https", false},
		{"https://one.test/", false, "one.test:443", "https://one.test", "one.test", "https", false},
		{"https://ONE.Test:8443", false, "one.test:8443", "https://one.test:8443", "one.test", "https", false},
		{"https://one.test:443", true, "one.test:443", "https://one.test", "one.test", "https", true},
		{"https://under_score.test", false, "under_score.test:443", "https://under_score.test", "under_score.test", "https", false},
		{"https://203.0.114.1", false, "203.0.114.1:443", "https://203.0.114.1", "203.0.114.1", "https", false},
		{"https://127.0.0.1:8443", false, "127.0.0.1:8443", "https://127.0.0.1:8443", "127.0.0.1", "https", true},
		{"https://10.1.2.3", false, "10.1.2.3:443", "https://10.1.2.3", "10.1.2.3", "https", true},
		{"https://[::1]:8443", false, "[::1]:8443", "https://[::1]:8443", "[::1]", "https", true},
		{"https://[2606:4700::1]", false, "[2606:4700::1]:443", "https://[2606:4700::1]", "[2606:4700::1]", "https", false},
		{"http://127.0.0.1", false, "127.0.0.1:80", "http://127.0.0.1", "127.0.0.1", "http", true},
		{"http://localhost:8081", false, "localhost:8081", "http://localhost:8081", "localhost", "http", true},
		{"http://x.localhost", false, "x.localhost:80", "http://x.localhost", "x.localhost", "http", true},
		{"http://192.168.1.2:80", false, "192.168.1.2:80", "http://192.168.1.2", "192.168.1.2", "http", true},
		{"http://simulator:8081", true, "simulator:8081", "http://simulator:8081", "simulator", "http", true},
	} {
		e, err := region.ParseUpstream(test.in, test.allowPrivate)
		if err != nil {
			t.Errorf("%s: %v", test.in, err)
			continue
		}
		if e.Address() != test.address || e.String() != test.url || e.HostHeader() != test.host || e.Scheme != test.scheme || e.AllowPrivate != test.private {
			t.Errorf("%s: %+v: dials %s as %s with Host %s", test.in, e, e.Address(), e, e.HostHeader())
		}
		if e.Region != strings.TrimPrefix(test.url, test.scheme+"://") {
			t.Errorf("%s is in region %s: every upstream is one of its own", test.in, e.Region)
		}
	}
}

func TestUpstreamsThatCannotBeAreRefused(t *testing.T) {
	for _, test := range []struct {
		in, want     string
		allowPrivate bool
	}{
		{in: "", want: "must begin with https://"},
		{in: "one.test", want: "must begin with https://"},
		{in: "one.test:443", want: "must be a URL"},
		{in: "//one.test", want: "must begin with https://"},
		{in: "ftp://one.test", want: "must begin with https://"},
		{in: "https:one.test", want: "must be a URL"},
		{in: "https://one test", want: "must be a URL"},
		{in: "https://one.test:port", want: "must be a URL"},
		{in: "https://[::1", want: "must be a URL"},
		{in: "https://", want: "must have a host"},
		{in: "https://:443", want: "must have a host"},
		{in: "https://" + strings.Repeat("a.", 127) + "aa", want: "1 to 253 bytes"},
		{in: "https://" + strings.Repeat("a", 64) + ".test", want: "DNS name or an IP address"},
		{in: "https://one..test", want: "DNS name or an IP address"},
		{in: "https://one.test.", want: "DNS name or an IP address"},
		{in: "https://-one.test", want: "DNS name or an IP address"},
		{in: "https://one-.test", want: "DNS name or an IP address"},
		{in: "https://one%20.test", want: "must be"},
		{in: "https://öne.test", want: "DNS name or an IP address"},
		{in: "https://{env.X}.test", want: "must be"},
		{in: "https://one.test:0", want: "1 to 65535"},
		{in: "https://one.test:65536", want: "1 to 65535"},
		{in: "https://one.test:", want: "a colon but no port"},
		{in: "https://canary:canary@one.test", want: "user information"},
		{in: "https://canary@one.test", want: "user information"},
		{in: "https://one.test/api", want: "path, query or fragment"},
		{in: "https://one.test?", want: "path, query or fragment"},
		{in: "https://one.test?canary", want: "path, query or fragment"},
		{in: "https://one.test#", want: "path, query or fragment"},
		{in: "https://one.test#canary", want: "path, query or fragment"},
		{in: "https://[fe80::1%25eth0]", want: "zone"},
		{in: "http://one.test", want: "for loopback and private addresses only"},
		{in: "http://203.0.114.1", want: "for loopback and private addresses only"},
		{in: "http://203.0.114.1", allowPrivate: true, want: "for loopback and private addresses only"},
		{in: "http://localhost.evil.test", want: "for loopback and private addresses only"},
	} {
		e, err := region.ParseUpstream(test.in, test.allowPrivate)
		if err == nil {
			t.Errorf("%s is taken for %s", test.in, e)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.in, err, test.want)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error repeats what may be a secret", test.in)
		}
	}
}

// One address or two of each block, and its neighbours.
var addresses = []struct {
	address string
	private bool
}{
	{"8.8.8.8", false}, {"1.1.1.1", false}, {"203.0.112.255", false}, {"2606:4700::1", false}, {"2001:4860:4860::8888", false},
	{"0.0.0.0", true}, {"0.1.2.3", true}, {"1.0.0.0", false},
	{"9.255.255.255", false}, {"10.0.0.0", true}, {"10.255.255.255", true}, {"11.0.0.0", false},
	{"100.63.255.255", false}, {"100.64.0.0", true}, {"100.127.255.255", true}, {"100.128.0.0", false},
	{"127.0.0.1", true}, {"127.255.255.255", true}, {"128.0.0.0", false},
	{"169.253.255.255", false}, {"169.254.0.0", true}, {"169.254.169.254", true}, {"169.255.0.0", false},
	{"172.15.255.255", false}, {"172.16.0.0", true}, {"172.31.255.255", true}, {"172.32.0.0", false},
	{"192.0.0.1", true}, {"192.0.1.0", false}, {"192.0.2.1", true}, {"192.168.0.0", true}, {"192.169.0.0", false},
	{"198.17.255.255", false}, {"198.18.0.0", true}, {"198.19.255.255", true}, {"198.20.0.0", false},
	{"198.51.100.7", true}, {"203.0.113.7", true}, {"203.0.114.0", false},
	{"224.0.0.1", true}, {"239.255.255.255", true}, {"240.0.0.1", true}, {"255.255.255.255", true},
	{"::", true}, {"::1", true},
	{"::ffff:127.0.0.1", true}, {"::ffff:8.8.8.8", false}, {"::ffff:169.254.169.254", true}, {"::ffff:100.64.0.1", true}, {"fec0::1%eth0", true},
	{"64:ff9b::7f00:1", true}, {"64:ff9b::808:808", false}, {"64:ff9b::a9fe:a9fe", true}, {"64:ff9b:1::1", true},
	{"::7f00:1", true}, {"::a9fe:a9fe", true}, {"::808:808", false}, {"::1:0:0", false},
	{"2001:2::1", true}, {"2001:3::1", false}, {"3fff::1", true}, {"4000::1", false}, {"5f00::1", true}, {"5f01::1", false},
	{"100::1", true}, {"100:0:0:1::1", true}, {"2001::1", true}, {"2001:db8::1", true}, {"2002:7f00:1::", true},
	{"fc00::1", true}, {"fdff::1", true}, {"fe80::1", true}, {"fe80::1%eth0", true}, {"fec0::1", true}, {"ff02::1", true},
}

func TestPrivateAddresses(t *testing.T) {
	for _, test := range addresses {
		if got := region.Private(netip.MustParseAddr(test.address)); got != test.private {
			t.Errorf("%s: private %t, want %t", test.address, got, test.private)
		}
	}
	if !region.Private(netip.Addr{}) {
		t.Error("no address at all is taken for a public one")
	}
}

// A connection goes to a private address with permission alone, and to a public
// one with TLS alone.
func TestAddressOfAConnectionIsChecked(t *testing.T) {
	for _, test := range addresses {
		address := netip.MustParseAddr(test.address)
		for _, scheme := range []string{"https", "http"} {
			for _, allow := range []bool{false, true} {
				e := region.Endpoint{Scheme: scheme, Host: "one.test", Port: "443", AllowPrivate: allow}
				want := test.private && allow || !test.private && scheme == "https"
				if err := e.CheckAddress(address); (err == nil) != want {
					t.Errorf("%s to %s, private allowed %t: %v", scheme, test.address, allow, err)
				}
			}
		}
	}
}
