package caddymodule

import (
	"net/http"
	"testing"
)

func TestHeaderPolicyPassesNamedHeadersAlone(t *testing.T) {
	policy, err := newHeaderPolicy([]string{"x-mine", "Accept"})
	if err != nil {
		t.Fatal(err)
	}
	caller := http.Header{
		"Accept": {"a", "b"}, "X-Mine": {"yes"}, "Agora-Feature": {"live-models"}, "X-Fern-Sdk-Name": {"sdk"}, "Traceparent": {"00-"},
		"Authorization": {"mine"}, "Cookie": {"c"}, "X-Forwarded-For": {"10.1.2.3"}, "Via": {"1.1 x"}, "Idempotency-Key": {"k"},
		"Connection": {"Authorization"}, "Te": {"trailers"}, "Trailer": {"X"}, "Upgrade": {"h2c"}, "X-Agora": {"no"}, "Xfern-": {"no"},
		instanceHeader: {"mine"}, callerTokenHeader: {"mine"}, "Authorization_": {"mine"}, "X-Other": {"no"},
	}
	got := policy.outgoing(caller)
	want := http.Header{
		"Accept": {"a", "b"}, "X-Mine": {"yes"}, "Agora-Feature": {"live-models"}, "X-Fern-Sdk-Name": {"sdk"}, "Traceparent": {"00-"},
		"User-Agent": {""}, instanceHeader: {instance},
	}
	for name, values := range got {
		if len(values) != len(want[name]) || values[0] != want[name][0] {
			t.Errorf("%s: %q is sent", name, values)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is not sent", name)
	}
	if len(caller) != 20 || caller.Get(instanceHeader) != "mine" {
		t.Error("the caller's header was changed")
	}
}

func TestCallersUserAgentIsKept(t *testing.T) {
	policy, err := newHeaderPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := policy.outgoing(http.Header{"User-Agent": {"agora-agents/v2.6.0"}}).Get("User-Agent"); got != "agora-agents/v2.6.0" {
		t.Errorf("sent %q", got)
	}
}

// No configuration lets a caller set what is ours or hop-by-hop.
func TestRefusedHeadersCannotBeAllowed(t *testing.T) {
	for name := range refusedHeaders {
		if _, err := newHeaderPolicy([]string{name}); err == nil {
			t.Errorf("%s can be allowed", name)
		}
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not in canonical form, so nothing matches it", name)
		}
		if passedHeaders[name] {
			t.Errorf("%s is passed on and refused", name)
		}
	}
	for name := range passedHeaders {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not in canonical form, so nothing matches it", name)
		}
	}
	for _, name := range []string{"", "X Y", "X:", "X\r\nY", "é", "authorization", "AUTHORIZATION", "*"} {
		if _, err := newHeaderPolicy([]string{name}); err == nil && name != "*" {
			t.Errorf("%q can be allowed", name)
		}
	}
}

// What names other tokens and users of the vendor's is not the caller's to say.
func TestVendorsHeadersThatArePassedOn(t *testing.T) {
	policy, err := newHeaderPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"Agora-Feature": true, "Agora-Features": true, "X-Fern-Language": true,
		"Agora-Token": false, "Agora-Uid": false, "X-Agora-Token": false, "X-Agora-Uid": false, "Agora": false,
	} {
		if _, sent := policy.outgoing(http.Header{name: {"given"}})[name]; sent != want {
			t.Errorf("%s: sent %t, want %t", name, sent, want)
		}
	}
}

// The list of the sidecars that a call came through takes nothing else.
func TestInstancesThatCannotBeAreDropped(t *testing.T) {
	policy, err := newHeaderPolicy(nil)
	if err != nil {
		t.Fatal(err)
	}
	const one = "0123456789abcdef"
	for given, want := range map[string]string{
		one:                                one + ", " + instance,
		one + ",1123456789abcdef":          one + ", 1123456789abcdef, " + instance,
		"":                                 instance,
		"x":                                instance,
		"0123456789ABCDEF":                 instance,
		one + "0":                          instance,
		"evil," + one + ", <script>, \x00": one + ", " + instance,
	} {
		if got := policy.outgoing(http.Header{instanceHeader: {given}})[instanceHeader]; len(got) != 1 || got[0] != want {
			t.Errorf("%q: sent %q, want %q", given, got, want)
		}
	}
}
