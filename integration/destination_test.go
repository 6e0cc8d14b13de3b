package integration

import (
	"net/http"
	"strings"
	"testing"
)

// A redirect is the caller's to see, whoever it leads to and whatever the
// operation: the credential does not follow it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		other := newUpstream(t, nil)
		up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.URL+r.URL.Path)
			w.WriteHeader(status)
		})
		s := start(t, site(credentialsA, to(up)), envA...)
		for _, op := range operations {
			up.reset()
			a := s.send(op.method, op.path, op.body)
			if a.StatusCode != status || !strings.HasPrefix(a.Header.Get("Location"), other.URL) {
				t.Errorf("%s: %d to %q", op.name, a.StatusCode, a.Header.Get("Location"))
			}
			up.only(t)
		}
		other.untouched(t)
		s.stop()
	}
}

// Proxies of the environment get no call.
func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	proxy, up := newPlainUpstream(t, nil), newUpstream(t, nil)
	names := newResolver(t, map[string]string{"api-one.upstream.test": "127.0.0.1"})
	env := append([]string{}, envA...)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		env = append(env, name+"="+proxy.URL)
	}
	// net/http would use no proxy for a loopback address.
	s := start(t, site(credentialsA, "upstream_private on", "upstream https://api-one.upstream.test:"+up.port,
		"transport http {\n tls_trust_pool file <CA>\n resolvers "+names.address+"\n}"), env...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	up.only(t)
	proxy.untouched(t)
}
