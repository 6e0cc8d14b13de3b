package caddymodule

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
)

// A wrong certificate is found out once, not once per channel.
func TestRefusalOfAFreshTokenRestsTheWholeApp(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	authorize := func(channel string) credential {
		t.Helper()
		c, err := p.authorize(t.Context(), api.Join, api.Session{Channel: channel, Account: "1"})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, ok := p.replaceRejected(t.Context(), authorize("first")); !ok {
		t.Fatal("a first refusal replaces nothing")
	}
	p.resent(true)
	for _, channel := range []string{"first", "second", "third"} {
		if _, ok := p.replaceRejected(t.Context(), authorize(channel)); ok {
			t.Errorf("%s: replaced while the app rests", channel)
		}
	}
	clock.advance(restMin)
	if _, ok := p.replaceRejected(t.Context(), authorize("fourth")); !ok {
		t.Error("the rest does not end")
	}
	p.resent(false)
	if _, ok := p.replaceRejected(t.Context(), authorize("fifth")); !ok {
		t.Error("a success does not end the rest")
	}
}

func TestRestsOfRefusals(t *testing.T) {
	now := time.Unix(1700000000, 0)
	one, other := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("other"))
	var r refusals
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		r.record(true, one, now)
		end := now.Add(want * time.Second)
		if !r.resting(one, end.Add(-1)) || r.resting(one, end) {
			t.Fatalf("refusal %d: does not rest for %ds", i+1, want)
		}
	}
	if r.resting(other, now) {
		t.Error("another certificate rests")
	}
	// A clock that was ahead and is put right does not prolong a rest by as much.
	for _, step := range []time.Duration{-time.Hour, -48 * time.Hour} {
		if r.resting(one, now.Add(step)) {
			t.Errorf("rests with the clock put back by %s", -step)
		}
	}
	if r.record(true, other, now); r.resting(other, now.Add(time.Second)) {
		t.Error("another certificate begins with more than a second")
	}
}
