package connect

import (
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/region"
)

func TestTargetOfConnectIsAPlainNameAndPort443(t *testing.T) {
	for target, want := range map[string]string{
		"api.agora.io:443":           "api.agora.io",
		"API.Agora.IO:443":           "api.agora.io",
		"api-us-west-1.agora.io:443": "api-us-west-1.agora.io",
		"a1.b2:443":                  "a1.b2",
		"api.agora.io.evil.test:443": "api.agora.io.evil.test", // in no list
	} {
		if host, err := parseAuthority(target); err != nil || host != want {
			t.Errorf("%s: %q, %v", target, host, err)
		}
	}
	for _, target := range []string{
		"", ":", ":443", "api.agora.io", "api.agora.io:", "api.agora.io:80", "api.agora.io:8443",
		"api.agora.io:0443", "api.agora.io:+443", "api.agora.io: 443", "api.agora.io:443 ", "api.agora.io:443:443", "api.agora.io:https",
		"api.agora.io.:443", ".api.agora.io:443", "api..agora.io:443", "-api.agora.io:443", "api-.agora.io:443", "agora:443", "localhost:443",
		"user@api.agora.io:443", "user:secret@api.agora.io:443", "api.agora.io@evil.test:443", "http://api.agora.io:443", "https://api.agora.io:443",
		"/api.agora.io:443", "api.agora.io:443/", "api.agora.io:443/path", "api.agora.io:443?q", "api.agora.io:443#f", "*:443", "*.agora.io:443",
		"api_.agora.io:443", "api%2eagora.io:443", "api.agora.io%00:443", "api.agora.io\x00:443", "api.agora.io\r\n:443", "api,agora.io:443",
		"127.0.0.1:443", "1:443", "127.1:443", "0x7f.1:443", "0x7f000001:443", "a.0x7f:443", "017700000001:443", "[::1]:443", "::1:443", "[::ffff:127.0.0.1]:443", "[fe80::1%25eth0]:443", "[v1.x]:443",
		"api.agora.İo:443", "api.agora.ıo:443", "api.agora.io\u2024:443", "api。agora。io:443", "xn--.\u212a:443", "api.agora.\u212ao:443",
		strings.Repeat("a", 64) + ".test:443", strings.Repeat("a.", 127) + "ab:443",
	} {
		if host, err := parseAuthority(target); err == nil {
			t.Errorf("%q is taken for %s", target, host)
		} else if host != "" {
			t.Errorf("%q: an error, and %s", target, host)
		}
	}
}

func TestHostOfARequestIsThatOfItsConnection(t *testing.T) {
	for _, header := range []string{"api.agora.io", "API.agora.io", "api.agora.io:443"} {
		if !isAuthorityOf(header, "api.agora.io") {
			t.Errorf("%q is another host", header)
		}
	}
	for _, header := range []string{
		"", ":443", "api.agora.io.", "api.agora.io:", "api.agora.io:80", "api.agora.io:0443", "api.agora.io:443:443",
		"api-us-west-1.agora.io", "agora.io", "127.0.0.1", "localhost", "api.agora.io.evil.test", "user@api.agora.io", "api.agora.\u212ao",
	} {
		if isAuthorityOf(header, "api.agora.io") {
			t.Errorf("%q is the same host", header)
		}
	}
}

// Whatever is accepted is written as it is, but for capitals.
func FuzzParseAuthority(f *testing.F) {
	for _, seed := range []string{"api.agora.io:443", "API.SD-RTN.com:443", "[::1]:443", "127.0.0.1:443", "user@api.agora.io:443", "api.agora.io.:443", "api.agora.io:0443", "api.agora.\u212ao:443"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		host, err := parseAuthority(target)
		if err != nil {
			if host != "" {
				t.Errorf("%q: an error, and %q", target, host)
			}
			return
		}
		if len(target) != len(host)+4 || target[len(host):] != ":443" {
			t.Fatalf("%q is taken for %q", target, host)
		}
		for i := range len(host) {
			c, from := host[i], target[i]
			if c != from && !(from >= 'A' && from <= 'Z' && c == from+'a'-'A') {
				t.Fatalf("%q is taken for %q", target, host)
			}
			if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-.", rune(c)) {
				t.Fatalf("%q has %q in it", host, c)
			}
		}
		if !isAuthorityOf(target, host) || !isAuthorityOf(host, host) {
			t.Errorf("%q is no Host of itself", target)
		}
		if _, err := ParseTunnel(host); (err == nil) == region.VendorHost(host) {
			t.Errorf("a tunnel to %q: %v", host, err)
		}
	})
}
