package caddymodule

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func request(host, peer string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.RemoteAddr = host, peer
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func policy(t *testing.T, from, hosts []string) *accessPolicy {
	t.Helper()
	p, err := newAccessPolicy(from, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refused is what the checks before the first that looks at the call say of r.
func refused(p *accessPolicy, r *http.Request) *callError {
	g, a := &Gate{access: p}, &arrival{r: r}
	for _, c := range checks {
		if c.name == "method" {
			break
		}
		if refusal := c.of(g, a); refusal != nil {
			return refusal
		}
	}
	return nil
}

func TestPeers(t *testing.T) {
	some := []string{"10.0.0.0/8", "192.168.1.77/24", "2001:db8::/32", "::ffff:172.16.0.9", "fd00::1"}
	for _, test := range []struct {
		from []string
		peer string
		want bool
	}{
		{nil, "127.0.0.1:1", true}, {nil, "127.9.9.9:1", true}, {nil, "[::1]:1", true}, {nil, "[::ffff:127.0.0.1]:1", true},
		{nil, "10.0.0.1:1", false}, {nil, "[fe80::1%lo]:1", false}, {nil, "", false}, {nil, "@", false}, {nil, "localhost:1", false},
		{some, "127.0.0.1:1", false}, {some, "10.255.0.1:1", true}, {some, "11.0.0.1:1", false}, {some, "[::ffff:10.0.0.1]:1", true},
		{some, "192.168.1.1:1", true}, {some, "192.168.2.1:1", false}, {some, "[2001:db8:1::2]:1", true}, {some, "172.16.0.9:1", true},
		{some, "172.16.0.8:1", false}, {some, "[fd00::1%eth0]:1", true}, {some, "[fd00::2]:1", false},
	} {
		got := refused(policy(t, test.from, nil), request("localhost", test.peer))
		if (got == nil) != test.want || got != nil && got != errPeerNotAllowed {
			t.Errorf("%v, peer %q: %v, want allowed %t", test.from, test.peer, got, test.want)
		}
	}
}

func TestPeersOfUnixSocketsAreAllowed(t *testing.T) {
	r := request("localhost", "@")
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Net: "unix", Name: "/run/x"}))
	if got := refused(policy(t, []string{"10.0.0.1"}, nil), r); got != nil {
		t.Error(got)
	}
}

// A socket of the abstract namespace has no file whose permissions would decide:
// every process of the machine can connect.
func TestPeersOfAbstractUnixSocketsAreRefused(t *testing.T) {
	for _, name := range []string{"@convoai", "@"} {
		r := request("localhost", "@")
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Net: "unix", Name: name}))
		if got := refused(policy(t, nil, nil), r); got != errPeerNotAllowed {
			t.Errorf("%s: %v, want it refused", name, got)
		}
	}
}

func TestHosts(t *testing.T) {
	own := []string{"sidecar", "Convoai.Internal", "10.0.0.1", "::1"}
	for _, test := range []struct {
		hosts []string
		host  string
		want  bool
	}{
		{nil, "localhost", true}, {nil, "LocalHost:80", true}, {nil, "127.0.0.1", true}, {nil, "127.1.2.3:8080", true},
		{nil, "[::1]", true}, {nil, "[::1]:8080", true}, {nil, "[::ffff:127.0.0.1]:80", true}, {nil, "api.agora.io", true}, {nil, "API-US-WEST-1.AGORA.IO:443", true},
		{nil, "", false}, {nil, "evil.test", false}, {nil, "localhost.evil.test", false}, {nil, "evil.localhost", false}, {nil, "10.0.0.1", false},
		{nil, "0.0.0.0", false}, {nil, "127.0.0.1.evil.test", false}, {nil, "2130706433", false}, {nil, "agora.io", false}, {nil, "localhost:80:80", false},
		{own, "sidecar:8080", true}, {own, "SIDECAR", true}, {own, "convoai.internal", true}, {own, "10.0.0.1:80", true}, {own, "[::1]:80", true},
		{own, "localhost", false}, {own, "api.agora.io", false}, {own, "x.sidecar", false}, {own, "", false},
	} {
		got := refused(policy(t, nil, test.hosts), request(test.host, "127.0.0.1:1"))
		if (got == nil) != test.want || got != nil && got != errHostNotAllowed {
			t.Errorf("%v, Host %q: %v, want allowed %t", test.hosts, test.host, got, test.want)
		}
	}
}

func TestRequestsOfOtherOriginsAreRefused(t *testing.T) {
	for _, test := range []struct {
		headers []string
		want    *callError
	}{
		{nil, nil},
		{[]string{"Origin", "http://localhost:8080"}, nil},
		{[]string{"Origin", "https://LOCALHOST:8080"}, nil},
		{[]string{"Sec-Fetch-Site", "same-origin"}, nil},
		{[]string{"Sec-Fetch-Site", "none"}, nil},
		{[]string{"Origin", "http://localhost"}, errCrossSite},
		{[]string{"Origin", "http://localhost:3000"}, errCrossSite},
		{[]string{"Origin", "http://evil.test"}, errCrossSite},
		{[]string{"Origin", "null"}, errCrossSite},
		{[]string{"Origin", "://"}, errCrossSite},
		{[]string{"Sec-Fetch-Site", "same-site"}, errCrossSite},
		{[]string{"Sec-Fetch-Site", "cross-site"}, errCrossSite},
		{[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.test"}, errCrossSite},
		{[]string{"Sec-Fetch-Site", "none", "Sec-Fetch-Site", "cross-site"}, errCrossSite},
		{[]string{"Sec-Fetch-Site", "", "Sec-Fetch-Site", "cross-site"}, errCrossSite},
		{[]string{"Origin", "http://localhost:8080", "Origin", "http://evil.test"}, errCrossSite},
		{[]string{"Origin", "", "Origin", "http://evil.test"}, errCrossSite},
		{[]string{"Origin", "http://evil.test@localhost:8080"}, errCrossSite},
		{[]string{"Origin", "http://localhost:8080/"}, errCrossSite},
		{[]string{"Origin", "//localhost:8080"}, errCrossSite},
		{[]string{"Origin", "localhost:8080"}, errCrossSite},
		{[]string{instanceHeader, instance}, errLoopDetected},
		{[]string{instanceHeader, "another"}, nil},
		{[]string{instanceHeader, "0123456789abcdef, " + instance}, errLoopDetected},
		{[]string{instanceHeader, "0123456789abcdef", instanceHeader, instance}, errLoopDetected},
		{[]string{instanceHeader, "0123456789abcdef,1123456789abcdef,2123456789abcdef"}, nil},
		{[]string{instanceHeader, "0123456789abcdef,1123456789abcdef,2123456789abcdef,3123456789abcdef"}, errLoopDetected},
		{[]string{instanceHeader, "a,b,c,d,e,f"}, nil},
	} {
		if got := refused(policy(t, nil, nil), request("localhost:8080", "127.0.0.1:1", test.headers...)); got != test.want {
			t.Errorf("%v: %v, want %v", test.headers, got, test.want)
		}
	}
}

func TestAccessThatCannotBeReadIsRefused(t *testing.T) {
	for _, from := range []string{"", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.0/-1", "::/129", "fe80::1%eth0/64"} {
		if _, err := newAccessPolicy([]string{"127.0.0.1", from}, nil); err == nil {
			t.Errorf("allow_from %q is accepted", from)
		}
	}
	for _, host := range []string{"", "*", "*.test", "http://one.test", "me@one.test", "one test", "one.test/", "one.test:80", "[::1]:80"} {
		if _, err := newAccessPolicy(nil, []string{"one.test", host}); err == nil {
			t.Errorf("allow_host %q is accepted", host)
		}
	}
}
