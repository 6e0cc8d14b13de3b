package caddymodule

import (
	"testing"
	"testing/synctest"
	"time"
)

// The token of a channel that nobody asks for again is left to run out, which is
// no reason to wake anybody; one that is asked for must be refreshed. The refresher
// stands still here, because the clock of the cache is not the one of its timer.
func TestExpiryIsThatOfTokensThatSomebodyMayNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := newTestClock()
		shared := testState(t, clock)
		p := mustShare(t, shared, clock, withCertificate())
		began := clock.now()
		check := func(when string, first time.Time, overdue time.Duration) {
			t.Helper()
			e := shared.expiry()
			if !e.first.Equal(first) || !e.firstConfigured.IsZero() {
				t.Errorf("%s: the first token expires %s, the first configured one %s; want %s and none", when, e.first, e.firstConfigured, first)
			}
			// The refresh is due an hour before the end, less a tenth at most.
			if early := e.overdue - overdue; early > 0 || early < -6*time.Minute-time.Second {
				t.Errorf("%s: a refresh is overdue by %s, want %s less 6m at most", when, e.overdue, overdue)
			}
		}
		var none time.Time
		check("without tokens", none, 0)
		p.join(t, "once")
		synctest.Wait()
		expires := began.Truncate(time.Second).Add(24 * time.Hour)
		check("at first", expires, 0)
		clock.advance(10 * time.Minute)
		p.join(t, "twice")
		p.join(t, "twice")
		synctest.Wait()
		check("later", expires, 0)

		clock.advance(23*time.Hour - 3*time.Minute) // 53 minutes before the end of the first
		check("when the first is due", expires.Add(10*time.Minute), 0)
		clock.advance(40 * time.Minute)
		check("when the second should have been refreshed", expires.Add(10*time.Minute), 37*time.Minute)
		p.join(t, "once") // which wakes the refresher
		synctest.Wait()
		check("when the first is asked for after all", clock.now().Add(24*time.Hour), 0)
	})
}

func TestExpiryOfConfiguredTokensIsKnownByItself(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	mustShare(t, shared, clock, withCertificate()).join(t, "room")
	shared.add(mustShare(t, shared, clock, Credentials{AppID: testAppID, AuthToken: signed(t, testAppID, clock.now())}))
	shared.add(mustShare(t, shared, clock, Credentials{AppID: otherAppID, AuthToken: signed(t, otherAppID, clock.now().Add(-time.Minute))}))
	want := clock.now().Truncate(time.Second).Add(59 * time.Minute)
	if e := shared.expiry(); !e.first.Equal(want) || !e.firstConfigured.Equal(want) {
		t.Errorf("the first token expires %s, the first configured one %s, want %s", e.first, e.firstConfigured, want)
	}
}

// A file that cannot be used counts for as long as it is there.
func TestUnusableSecretsAreCountedWhileTheyAreThere(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	clock := newTestClock()
	shared := testState(t, clock)
	p := mustShare(t, shared, clock, c)
	shared.add(p)
	shared.add(mustShare(t, shared, clock, Credentials{AppID: otherAppID, CustomerID: "me", CustomerSecret: "literal"}))
	for i, step := range []struct {
		content string
		want    int
	}{{testCertificate, 0}, {"none", 1}, {"none at all", 1}, {otherAppID + "\n", 0}, {"", 1}, {otherAppID + "\n\n", 0}} {
		writeTestFile(t, file, step.content)
		clock.advance(fileCheckInterval)
		p.follow()
		if n := shared.unusableSecrets(); n != step.want {
			t.Errorf("step %d: %d secrets cannot be used, want %d", i, n, step.want)
		}
	}
}
