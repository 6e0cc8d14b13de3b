package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// steppedClock is a wall clock that can be put back.
type steppedClock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *steppedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *steppedClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// A clock that was ahead and is put right leaves nothing behind: neither
// credentials of the future nor rests that end there.
func TestClockThatIsPutBack(t *testing.T) {
	broken := errors.New("broken")
	for _, step := range []time.Duration{-time.Hour, -48 * time.Hour} {
		clock := &steppedClock{at: time.Unix(1700000000, 0)}
		c := New[string, int64](Config[string]{Now: clock.now, Jitter: noJitter})
		defer c.Close()
		n, fail := int64(0), false
		source := sourceFunc(func() (Credential[int64], error) {
			if fail {
				return Credential[int64]{}, broken
			}
			n++
			return Credential[int64]{Value: n, IssuedAt: clock.now(), ExpiresAt: clock.now().Add(24 * time.Hour)}, nil
		})
		get := func(key, when string, want int64) {
			t.Helper()
			if got, err := c.Get(t.Context(), key, source); err != nil || got != want {
				t.Errorf("%s, %s: got %d, %v, want %d", step, when, got, err, want)
			}
		}

		fail = true
		for range 8 { // up to the longest rest
			if _, err := c.Get(t.Context(), "failed", source); !errors.Is(err, broken) {
				t.Fatal(err)
			}
			clock.step(backoffMax)
		}
		if _, err := c.Get(t.Context(), "failed", source); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		fail = false
		if _, err := c.Get(t.Context(), "failed", source); !errors.Is(err, broken) {
			t.Fatalf("%v: does not rest after a failure, so the test proves nothing", err)
		}
		clock.step(step)
		get("failed", "after failures", 1)

		get("rejected", "at first", 2)
		if !c.Reject("rejected", 2) {
			t.Fatal("a first rejection replaces nothing")
		}
		get("rejected", "after a rejection", 3)
		if c.Reject("rejected", 3) {
			t.Fatal("does not rest after a rejection, so the test proves nothing")
		}
		clock.step(step)
		get("rejected", "with a credential of the future", 4)
		if !c.Reject("rejected", 4) {
			t.Errorf("%s: still rests from a rejection that lies in the future", step)
		}
		get("rejected", "after another rejection", 5)

		get("kept", "at first", 6)
		clock.step(step)
		get("kept", "with a credential of the future", 7)
		get("kept", "again", 7)
	}
}

// A clock that is put back while a credential is made may date its issue after
// its expiry. It is over when it expires all the same.
func TestIssueAfterExpiry(t *testing.T) {
	clock := &steppedClock{at: time.Unix(1700000000, 0)}
	c := New[string, time.Time](Config[string]{Now: clock.now, Jitter: noJitter})
	defer c.Close()
	source := timesFunc(func() (issuedAt, expiresAt time.Time) {
		return clock.now().Add(50 * time.Second), clock.now().Add(10 * time.Second)
	})
	for range 100 {
		expiresAt, err := c.Get(t.Context(), "k", source)
		if err != nil || !clock.now().Before(expiresAt) {
			t.Fatalf("got a credential that expired %s ago, %v", clock.now().Sub(expiresAt), err)
		}
		clock.step(time.Second)
	}
}

// timesFunc is a Source whose credentials are known by when they expire.
type timesFunc func() (issuedAt, expiresAt time.Time)

func (f timesFunc) Mint(context.Context, string) (Credential[time.Time], error) {
	issuedAt, expiresAt := f()
	return Credential[time.Time]{Value: expiresAt, IssuedAt: issuedAt, ExpiresAt: expiresAt}, nil
}
