package caddymodule

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// seenAt is a sighting of a vendor whose clock is ahead by so much, of an answer
// that took as long as it says and was made in the middle of that.
func seenAt(at time.Time, ahead, took time.Duration) sighting {
	made := at.Add(ahead)
	header := http.Header{"Date": {made.UTC().Format(http.TimeFormat)}}
	return new(vendorClock).sighting(header, at.Add(-took/2), at.Add(took/2))
}

// Only what is certainly over the limit counts as over it, whatever the fraction
// of the second and however long the answer took.
func TestDifferenceOfClocksIsCertain(t *testing.T) {
	start := time.Unix(1700000000, 0)
	for _, took := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond, 3 * time.Second} {
		for fraction := time.Duration(0); fraction < time.Second; fraction += 50 * time.Millisecond {
			at := start.Add(fraction)
			for _, sign := range []time.Duration{1, -1} {
				for _, test := range []struct {
					ahead         time.Duration
					differs, sure bool
				}{
					{0, false, true}, {28 * time.Second, false, true}, {30 * time.Second, false, true},
					{31*time.Second + 1 + took, true, true}, {31 * time.Second, true, false}, {4 * time.Minute, true, true},
				} {
					got := seenAt(at, sign*test.ahead, took).differs(0, maxDifference)
					if got != test.differs && (test.sure || got) {
						t.Fatalf("%s ahead, %s past the second, took %s: differs %t", sign*test.ahead, fraction, took, got)
					}
				}
			}
		}
	}
}

func TestAnswersWithoutAUsableDateSayNothing(t *testing.T) {
	now := time.Unix(1700000000, 0)
	good := now.Add(time.Minute).UTC().Format(http.TimeFormat)
	var c vendorClock
	for name, header := range map[string]http.Header{
		"none": {}, "empty": {"Date": {""}}, "garbage": {"Date": {"canary"}}, "two": {"Date": {good, good}},
	} {
		if s := c.sighting(header, now, now); !s.date.IsZero() {
			t.Errorf("%s: %v", name, s.date)
		}
	}
	if s := c.sighting(http.Header{"Date": {good}}, now, now.Add(-1)); !s.date.IsZero() {
		t.Error("an answer that came before it was asked for")
	}
	logger, logs := observed()
	c.observe(sighting{}, logger)
	_, suspects := c.suspect(sighting{})
	if _, ok := c.skew(); ok || logs.Len() != 0 || suspects {
		t.Error("no Date was taken for one")
	}
}

// Warned of is the crossing of the threshold, not every answer beyond it.
func TestClockThatIsOffIsWarnedOfOnce(t *testing.T) {
	start := time.Unix(1700000000, 0)
	for _, test := range []struct {
		name        string
		ahead       []time.Duration // of the vendor, each several times
		warns, infs int
	}{
		{"right", []time.Duration{0, 20 * time.Second, -25 * time.Second}, 0, 0},
		{"off", []time.Duration{40 * time.Second, 4 * time.Minute, -5 * time.Minute}, 1, 0},
		{"off and right again", []time.Duration{4 * time.Minute, 0, 10 * time.Second}, 1, 1},
		{"off twice", []time.Duration{4 * time.Minute, 0, -4 * time.Minute}, 2, 1},
		{"far off", []time.Duration{time.Hour, -2 * time.Hour}, 1, 0},
	} {
		var c vendorClock
		logger, logs := observed()
		at := start
		for _, ahead := range test.ahead {
			for range 50 {
				at = at.Add(137 * time.Millisecond)
				c.observe(seenAt(at, ahead, 20*time.Millisecond), logger)
				if skew, ok := c.skew(); !ok || skew < -ahead.Seconds()-1 || skew > -ahead.Seconds()+1 {
					t.Fatalf("%s: skew %g with the vendor ahead by %s", test.name, skew, ahead)
				}
			}
		}
		if w, i := logs.FilterLevelExact(zapcore.WarnLevel).Len(), logs.FilterLevelExact(zapcore.InfoLevel).Len(); w != test.warns || i != test.infs {
			t.Errorf("%s: %d warnings and %d infos, want %d and %d", test.name, w, i, test.warns, test.infs)
		}
	}
}

func TestOffsetIsSuspectedWithinTenMinutes(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for _, test := range []struct {
		ahead   time.Duration
		differs bool
		atLeast time.Duration // of the offset
	}{
		{0, false, 0}, {25 * time.Second, false, 0}, {-29 * time.Second, false, 0},
		{35 * time.Second, true, 33 * time.Second}, {-35 * time.Second, true, -37 * time.Second},
		{-4 * time.Minute, true, -242 * time.Second}, {10 * time.Minute, true, 598 * time.Second}, {-10 * time.Minute, true, -10 * time.Minute},
		{11 * time.Minute, false, 0}, {-11 * time.Minute, false, 0}, {24 * time.Hour, false, 0},
	} {
		var c vendorClock
		offset, ok := c.suspect(seenAt(at.Add(700*time.Millisecond), test.ahead, 100*time.Millisecond))
		if ok != test.differs || offset < test.atLeast || offset > max(test.ahead, -maxOffset) && test.differs {
			t.Errorf("vendor ahead by %s: suspected %t, offset %s", test.ahead, ok, offset)
		}
	}
}

// A clock that is put right, or wrong, later is learnt again.
func TestOffsetFollowsTheClock(t *testing.T) {
	at := time.Unix(1700000000, 0)
	var c vendorClock
	logger, _ := observed()
	for _, ahead := range []time.Duration{4 * time.Minute, -4 * time.Minute, 3 * time.Minute, 0, -40 * time.Second, 20 * time.Second} {
		offset, ok := c.suspect(seenAt(at, ahead, 0))
		if !ok || c.offset() == offset {
			t.Fatalf("%s is not suspected", ahead)
		}
		if !c.adopt(offset, at, logger) || c.offset() != offset {
			t.Fatalf("%s is not adopted", ahead)
		}
		if _, ok := c.suspect(seenAt(at, ahead, 0)); ok {
			t.Errorf("%s is suspected when it is adopted", ahead)
		}
		// Others that were refused then took another time to hear of it.
		if c.adopt(offset-2*time.Second, at, logger) || c.adopt(offset+2*time.Second, at, logger) {
			t.Errorf("%s is adopted more than once", ahead)
		}
	}
	if c.offset() != 0 {
		t.Errorf("the offset is %s with a clock that is right enough", c.offset())
	}
}

// A Date that says something else each time, and does not help, changes nothing and
// costs a token now and then.
func TestDateThatJumpsIsNotBelieved(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	tentative := 0
	for i := range 600 {
		seen := seenAt(clock.now(), time.Duration(i%5-2)*2*time.Minute, 0)
		if fresh, ok := p.replaceRejected(t.Context(), p.join(t, "room-1"), seen); ok {
			if fresh.tentative {
				tentative++
			}
			p.resent(fresh, http.StatusUnauthorized)
		}
		clock.advance(100 * time.Millisecond)
	}
	if tentative < 2 || tentative > 7 || p.state.clock.offset() != 0 {
		t.Errorf("%d tokens in a minute by Dates that did not help, offset %s", tentative, p.state.clock.offset())
	}
	if n := p.state.tokens.Mints(); n > 10 {
		t.Errorf("%d other tokens in a minute", n)
	}
}

// An upstream that refuses every token, with a clock that is off, does other sites
// no harm.
func TestClockOfWhatRefusesEverythingIsNotAdopted(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	good := mustShare(t, shared, clock, withCertificate())
	other := mustShare(t, shared, clock, Credentials{AppID: otherAppID, AppCertificate: testCertificate})
	strict, odd := newVendor(t, clock, testCertificate), newVendor(t, clock)
	odd.ahead = 5 * time.Minute
	toGood, toOdd := newCaller(t, good, clock, strict), newCaller(t, other, clock, odd)
	for i := range 50 {
		if status := toOdd.call(joinPath, bareJoin); status != 401 || len(odd.sent()) > 2 {
			t.Fatalf("%d after %d sends", status, len(odd.sent()))
		}
		if status := toGood.call(joinPath, bareJoin); status != 200 || len(strict.sent()) != 1 {
			t.Fatalf("call %d of the other site: %d after %d sends", i, status, len(strict.sent()))
		}
		clock.advance(time.Second)
	}
}

// Upstreams whose clocks differ do not fill the log.
func TestClocksThatDifferAreNotToldOfEachTime(t *testing.T) {
	for name, ahead := range map[string][]time.Duration{
		"one is off":   {0, 5 * time.Minute},
		"both are off": {-4 * time.Minute, 4 * time.Minute},
	} {
		clock := newTestClock()
		shared := testState(t, clock)
		logger, logs := observed()
		p, err := newProject(withCertificate(), Settings{ExpiresIn: caddy.Duration(time.Minute)}.withDefaults(), shared, logger, clock.now)
		if err != nil {
			t.Fatal(err)
		}
		v := newVendor(t, clock, testCertificate)
		c := newCaller(t, p, clock, v)
		c.carrier.logger = logger
		before := told(logs)
		for i := range 600 {
			v.set(func() { v.ahead = ahead[i%2] })
			if status := c.call(joinPath, bareJoin); status != 200 {
				t.Fatalf("%s, call %d: %d", name, i, status)
			}
			clock.advance(100 * time.Millisecond)
		}
		if n := told(logs) - before; n < 2 || n > 14 {
			t.Errorf("%s: %d lines in a minute", name, n)
		}
	}
}

// told is how many lines there are above the debug level.
func told(logs *observer.ObservedLogs) int {
	return logs.Filter(func(e observer.LoggedEntry) bool { return e.Level > zapcore.DebugLevel }).Len()
}

func TestObservingAnAnswerAllocatesNothing(t *testing.T) {
	var c vendorClock
	logger, _ := observed()
	now := time.Now()
	header := http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}
	if n := testing.AllocsPerRun(100, func() { c.observe(c.sighting(header, now, now), logger) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var c vendorClock
	logger, _ := observed()
	now := time.Now()
	header := http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}
	b.ReportAllocs()
	for b.Loop() {
		c.observe(c.sighting(header, now, now), logger)
	}
}

// With a host clock that is minutes off, each call succeeds, and only the first
// is sent twice.
func TestTokensAreDatedByTheVendorsClockOnceItRefusesOne(t *testing.T) {
	for _, ahead := range []time.Duration{-4 * time.Minute, -45 * time.Second, -9*time.Minute - 50*time.Second} {
		p, clock := mustProject(t, withCertificate())
		v := newVendor(t, clock, testCertificate)
		v.ahead = ahead
		c := newCaller(t, p, clock, v)
		for i, body := range []string{bareJoin, bareJoin, `{"properties":{"channel":"other","agent_rtc_uid":"7","token":"` + "given" + `"}}`} {
			want := 1
			if i == 0 {
				want = 2
			}
			if i == 2 {
				v.set(func() { v.status = http.StatusOK })
			}
			status := c.call(joinPath, body)
			sent := v.sent()
			if i < 2 && status != http.StatusOK || len(sent) != want {
				t.Errorf("ahead by %s, call %d: %d after %d sends", ahead, i, status, len(sent))
			}
			last := sent[len(sent)-1]
			if late := clock.now().Add(ahead).Sub(last.token.After(0)); late < 0 || late > 2*time.Second {
				t.Errorf("ahead by %s, call %d: the token is dated %s before the vendor's now", ahead, i, late)
			}
			if i < 2 {
				if inner := tokenOfBody(t, last.body); inner.IssuedAt != last.token.IssuedAt && i == 0 {
					t.Errorf("ahead by %s: the body's token is dated otherwise", ahead)
				}
			}
		}
		// By this host's clock the tokens live as long as ever.
		if left := time.Unix(0, p.join(t, "room-1").minted.expiresAt).Sub(clock.now()); left > 24*time.Hour || left < 24*time.Hour-3*time.Second {
			t.Errorf("ahead by %s: the token is kept for %s", ahead, left)
		}
	}
}

// A host clock that is slow makes tokens of a short life that are over when they
// come.
func TestSlowClockIsCorrectedToo(t *testing.T) {
	p, clock := mustProject(t, withCertificate(), func(s *Settings) { s.ExpiresIn = 60e9 })
	v := newVendor(t, clock, testCertificate)
	v.ahead = 4 * time.Minute
	c := newCaller(t, p, clock, v)
	for want := range 2 {
		if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != 2-want {
			t.Errorf("%d after %d sends", status, len(v.sent()))
		}
	}
	// The clock is put right: the next refusal says so.
	v.set(func() { v.ahead = 0 })
	if status := c.call(joinPath, bareJoin); status != 200 || p.state.clock.offset() != 0 {
		t.Errorf("%d, offset %s after the clock was put right", status, p.state.clock.offset())
	}
}

// What cannot be believed, or is no reason, costs no more sends than any refusal.
func TestRefusalThatIsNotTheClocksDoing(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*vendor)
	}{
		{"11 minutes", func(v *vendor) { v.ahead = -11 * time.Minute }},
		{"no Date", func(v *vendor) { v.ahead, v.noDate = -4*time.Minute, true }},
		{"the clock is right", func(v *vendor) { v.certificates = nil }},
	} {
		p, clock := mustProject(t, withCertificate())
		v := newVendor(t, clock, testCertificate)
		test.change(v)
		c := newCaller(t, p, clock, v)
		for want := 2; want > 0; want-- {
			if status := c.call(joinPath, bareJoin); status != 401 || len(v.sent()) != want {
				t.Errorf("%s: %d after %d sends, want %d", test.name, status, len(v.sent()), want)
			}
		}
		if p.state.clock.offset() != 0 {
			t.Errorf("%s: an offset of %s", test.name, p.state.clock.offset())
		}
	}
}

// The clock is learnt during a back-off, too, and ends it.
func TestLearntOffsetEndsTheBackOff(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	v := newVendor(t, clock, testCertificate)
	v.ahead, v.noDate = -4*time.Minute, true
	c := newCaller(t, p, clock, v)
	c.call(joinPath, bareJoin)
	if c.call(joinPath, bareJoin); len(v.sent()) != 1 {
		t.Fatal("no back-off")
	}
	v.set(func() { v.noDate = false })
	if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != 2 {
		t.Errorf("%d after %d sends", status, len(v.sent()))
	}
}
