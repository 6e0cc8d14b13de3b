package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestHeadersThatRepeatASecret(t *testing.T) {
	const secret = "007eJx+/T0aZ8=="
	for value, want := range map[string]bool{
		secret:                                  true,
		"you sent agora token=" + secret:        true,
		url.QueryEscape(secret):                 true,
		url.PathEscape(secret):                  true,
		strings.ToLower(url.QueryEscape("+/=")): false,
		"007eJx%2b%2fT0aZ8%3d%3d":               true,
		"%30%307eJx+/T0aZ8==":                   true,
		"100% of " + url.PathEscape(secret):     true,
		"%zz" + url.QueryEscape(secret) + "%":   true,
		"%" + secret:                            true,
		secret[1:]:                              false,
		"%":                                     false,
		"%3":                                    false,
		"":                                      false,
		url.QueryEscape(url.QueryEscape("no")):  false,
		"https://elsewhere.test/?x=%2F&y=%2B%3D%": false,
	} {
		if repeats(value, secret) != want {
			t.Errorf("%q: want %t", value, want)
		}
	}
}

func TestHeadersThatRepeatACredentialAreDropped(t *testing.T) {
	const secret, refused = "007eJx+/T0aZ8==", "007eJx-refused"
	res := &http.Response{Header: http.Header{
		"X-Fine": {"yes"}, "X-Value": {"no", "you sent " + secret}, secret + " x": {"in a name"}, url.QueryEscape(secret) + " x": {"in a name"},
		"X-Refused": {refused}, refused + " x": {"in a name"},
	}}
	for name := range clean(res, &Call{credential: credential{secret: secret}, refused: refused}).Header {
		if name != "X-Fine" {
			t.Error("a header that repeats a credential is passed on")
		}
	}
	if res.Header.Get("X-Fine") != "yes" {
		t.Error("a header that repeats none was dropped")
	}
}
