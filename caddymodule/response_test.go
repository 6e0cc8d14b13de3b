package caddymodule

import (
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
