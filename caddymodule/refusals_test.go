package caddymodule

import (
	"testing"
	"time"
)

// A wrong certificate is found out once, not once per channel.
func TestRefusalOfAFreshTokenRestsTheWholeApp(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	fresh, ok := p.replaceRejected(t.Context(), p.join(t, "first"), sighting{})
	if !ok {
		t.Fatal("a first refusal replaces nothing")
	}
	p.resent(fresh, 401)
	for _, channel := range []string{"first", "second", "third"} {
		if _, ok := p.replaceRejected(t.Context(), p.join(t, channel), sighting{}); ok {
			t.Errorf("%s: replaced while the app rests", channel)
		}
	}
	clock.advance(restMin)
	fresh, ok = p.replaceRejected(t.Context(), p.join(t, "fourth"), sighting{})
	if !ok {
		t.Error("the rest does not end")
	}
	p.resent(fresh, 200)
	if _, ok := p.replaceRejected(t.Context(), p.join(t, "fifth"), sighting{}); !ok {
		t.Error("a success does not end the rest")
	}
}

// Many calls that are refused at a time are refused once.
func TestRefusalsAtATimeMakeOneRest(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	fresh, _ := p.replaceRejected(t.Context(), p.join(t, "first"), sighting{})
	for range 100 {
		p.resent(fresh, 401)
	}
	clock.advance(restMin)
	if _, ok := p.replaceRejected(t.Context(), p.join(t, "second"), sighting{}); !ok {
		t.Error("rests for longer than after one refusal")
	}
}

// What is said of a certificate that has been replaced meanwhile is not held
// against the new one.
func TestRefusalOfAReplacedCertificateIsNoneOfTheNew(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	p, clock := mustProject(t, c)
	fresh, _ := p.replaceRejected(t.Context(), p.join(t, "first"), sighting{})
	writeTestFile(t, file, otherAppID+"\n")
	clock.advance(fileCheckInterval)
	p.resent(fresh, 401)
	if p.signing().standing.resting(0, clock.now()) {
		t.Error("the new certificate rests")
	}
}

// An answer that may not have looked at the credential says nothing of it.
func TestAnswersThatSayNothingOfTheCredential(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		p, clock := mustProject(t, withSecondary())
		fresh, ok := p.replaceRejected(t.Context(), p.join(t, "first"), sighting{})
		if !ok || fresh.signer != p.signing().other() {
			t.Fatal("the other certificate is not tried")
		}
		p.resent(fresh, status)
		if fresh.signer == p.signing().inUse() {
			t.Errorf("%d: taken for accepted", status)
		}
		if p.signing().standing.resting(0, clock.now()) {
			t.Errorf("%d: taken for refused", status)
		}
	}
}

func TestRestsGrow(t *testing.T) {
	now := time.Unix(1700000000, 0)
	var r rest
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		r.begin(now)
		end := now.Add(want * time.Second)
		if !r.on(now) || !r.on(end.Add(-1)) || r.on(end) {
			t.Fatalf("rest %d is not of %ds", i+1, want)
		}
		now = end
	}
	// A clock that was ahead and is put right does not prolong a rest by as much.
	r.begin(now)
	for _, step := range []time.Duration{-time.Hour, -48 * time.Hour} {
		if r.on(now.Add(step)) {
			t.Errorf("goes on with the clock put back by %s", -step)
		}
	}
	// What was in vain long ago does not count.
	now = now.Add(4 * restMax)
	if r.begin(now); r.on(now.Add(restMin)) {
		t.Error("a rest after a long time begins with more than 1s")
	}
	r.end()
	if r.on(now) {
		t.Error("does not end")
	}
}

// The rest is about a certificate and an offset of the clock: another begins anew.
func TestRestIsOfOneCertificateAndOneOffset(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	p, clock := mustProject(t, c)
	rests := func(seen ...sighting) bool {
		t.Helper()
		refused := p.join(t, "second")
		fresh, ok := p.replaceRejected(t.Context(), refused, append(seen, sighting{})[0])
		if ok {
			p.resent(fresh, 401)
		}
		return !ok
	}
	fresh, _ := p.replaceRejected(t.Context(), p.join(t, "first"), sighting{})
	p.resent(fresh, 401)
	if !rests() {
		t.Fatal("does not rest")
	}
	clock.advance(fileCheckInterval - restMin/2)
	writeTestFile(t, file, otherAppID+"\n")
	clock.advance(restMin / 2)
	if rests() {
		t.Error("another certificate does not end the rest")
	}
	if !rests() {
		t.Error("the other certificate does not rest")
	}
	if rests(seenAt(clock.now(), time.Minute, 0)) {
		t.Error("another offset does not end the rest")
	}
	if !rests() {
		t.Error("does not rest with the other offset")
	}
}
