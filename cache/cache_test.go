package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// minter is a Source whose credentials are numbered, live for lifetime and take
// delay to make.
type minter struct {
	lifetime, delay time.Duration
	fail            atomic.Bool
	mints           atomic.Int64
}

var errDown = errors.New("the minter is down")

func (m *minter) Mint(ctx context.Context, _ string) (Credential[int64], error) {
	n := m.mints.Add(1)
	if m.delay > 0 {
		select {
		case <-time.After(m.delay):
		case <-ctx.Done():
			return Credential[int64]{}, ctx.Err()
		}
	}
	if m.fail.Load() {
		return Credential[int64]{}, errDown
	}
	now := time.Now()
	return Credential[int64]{Value: n, IssuedAt: now, ExpiresAt: now.Add(m.lifetime)}, nil
}

// noJitter makes the windows as long as they can be.
func noJitter() float64 { return 0 }

// newTest returns a cache that is closed with the test.
func newTest(t *testing.T, cfg Config[string]) *Cache[string, int64] {
	t.Helper()
	if cfg.Jitter == nil {
		cfg.Jitter = noJitter
	}
	c := New[string, int64](cfg)
	t.Cleanup(c.Close)
	return c
}

// want gets the credential of key "k" and checks it.
func want(t *testing.T, c *Cache[string, int64], m *minter, value int64) {
	t.Helper()
	got, err := c.Get(t.Context(), "k", m)
	if err != nil || got != value {
		t.Fatalf("got credential %d, %v; want %d", got, err, value)
	}
}

// The states of a credential that lives for a day: its advisory window is an
// hour, its mandatory one a minute.
func TestCredentialIsRefreshedInTheBackgroundBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 24 * time.Hour, delay: time.Second}
		c := newTest(t, Config[string]{})
		began := time.Now()
		want(t, c, m, 1)
		if took := time.Since(began); took != time.Second {
			t.Errorf("the first caller waited %s, want the mint's second", took)
		}

		time.Sleep(23*time.Hour - time.Nanosecond)
		want(t, c, m, 1)
		synctest.Wait()
		if n := m.mints.Load(); n != 1 {
			t.Fatalf("%d mints while the credential is fresh, want 1", n)
		}

		time.Sleep(time.Nanosecond)
		began = time.Now()
		for range 3 { // advisory: handed out, and one mint behind it
			want(t, c, m, 1)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("callers waited %s in the advisory window, want none", took)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, c, m, 2)
		if n := m.mints.Load(); n != 2 || c.Mints() != 2 {
			t.Errorf("%d mints, %d counted, want 2", n, c.Mints())
		}
	})
}

func TestCallersWaitForTheMintInTheMandatoryWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 24 * time.Hour}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		time.Sleep(24*time.Hour - time.Minute)
		m.delay = 5 * time.Second
		began := time.Now()
		want(t, c, m, 2)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("waited %s, want the mint's 5s", took)
		}
	})
}

// Just before the mandatory window nobody waits yet.
func TestCallersDoNotWaitJustBeforeTheMandatoryWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 24 * time.Hour}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		time.Sleep(24*time.Hour - time.Minute - time.Nanosecond)
		m.delay = 5 * time.Second
		want(t, c, m, 1)
		time.Sleep(5 * time.Second)
	})
}

func TestFailedMintKeepsTheCredentialUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		m.fail.Store(true)

		time.Sleep(time.Hour - time.Nanosecond) // mandatory
		want(t, c, m, 1)
		time.Sleep(time.Nanosecond) // expired
		if got, err := c.Get(t.Context(), "k", m); !errors.Is(err, errDown) || got != 0 {
			t.Fatalf("an expired credential was answered with %d, %v", got, err)
		}
		m.fail.Store(false)
		time.Sleep(time.Minute)
		if got, err := c.Get(t.Context(), "k", m); err != nil || got < 2 {
			t.Errorf("after the back-off: %d, %v", got, err)
		}
	})
}

// A minter that is down is asked ever less often, and never again for each
// caller.
func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour}
		m.fail.Store(true)
		c := newTest(t, Config[string]{})
		began := time.Now()
		var at []time.Duration
		for len(at) < 9 {
			before := m.mints.Load()
			if _, err := c.Get(t.Context(), "k", m); !errors.Is(err, errDown) {
				t.Fatalf("got %v", err)
			}
			if m.mints.Load() > before {
				at = append(at, time.Since(began))
			}
			time.Sleep(250 * time.Millisecond)
		}
		for i, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			if got := at[i+1] - at[i]; got != wait*time.Second {
				t.Errorf("rested %s after failure %d, want %ds", got, i+1, wait)
			}
		}
	})
}

func TestCredentialThatHasExpiredWhenItComesIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTest(t, Config[string]{})
		if got, err := c.Get(t.Context(), "k", &minter{}); !errors.Is(err, ErrExpired) || got != 0 {
			t.Errorf("got %d, %v, want ErrExpired", got, err)
		}
	})
}

func TestManyCallersShareOneMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour, delay: time.Second}
		c := newTest(t, Config[string]{})
		get := func(value int64) {
			t.Helper()
			var wg sync.WaitGroup
			for range 10_000 {
				wg.Go(func() {
					if got, err := c.Get(t.Context(), "k", m); err != nil || got != value {
						t.Errorf("got %d, %v, want %d", got, err, value)
					}
				})
			}
			wg.Wait()
		}
		get(1)
		time.Sleep(time.Hour - time.Second) // mandatory
		get(2)
		time.Sleep(2 * time.Hour) // expired
		get(3)
		if n := m.mints.Load(); n != 3 {
			t.Errorf("%d mints, want 3", n)
		}
	})
}

func TestCallerThatGoesAwayLeavesTheMintToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour, delay: time.Minute}
		c := newTest(t, Config[string]{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Get(ctx, "k", m); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's own deadline", err)
		}
		want(t, c, m, 1)
		if n := m.mints.Load(); n != 1 {
			t.Errorf("%d mints, want 1", n)
		}
	})
}

func TestRejectReplacesExactlyTheCredentialThatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		if !c.Reject("k", 1) {
			t.Fatal("the first rejection replaces nothing")
		}
		want(t, c, m, 2)
		// Those who held the old one as well are told that there is another.
		for range 10 {
			if !c.Reject("k", 1) {
				t.Error("rejecting what has been replaced reports that nothing will follow")
			}
		}
		want(t, c, m, 2)
		if !c.Reject("unknown", 7) {
			t.Error("rejecting a key that is not there reports that nothing will follow")
		}
		if n := m.mints.Load(); n != 2 {
			t.Errorf("%d mints, want 2", n)
		}
	})
}

func TestLastingRejectionBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 24 * time.Hour}
		c := newTest(t, Config[string]{})
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			got, err := c.Get(t.Context(), "k", m)
			if err != nil {
				t.Fatal(err)
			}
			c.Reject("k", got)
			time.Sleep(100 * time.Millisecond)
		}
		// 1 + 2 + 4 + 8 + 16 + 32 seconds, then once a minute.
		if n := m.mints.Load(); n < 10 || n > 17 {
			t.Errorf("%d mints in 10 minutes of rejections", n)
		}
	})
}

// A rejection long after the last one is no continuation of it.
func TestRejectionsThatAreOverAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 24 * time.Hour}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		for value := int64(1); value < 4; value++ {
			if !c.Reject("k", value) {
				t.Fatalf("rejection %d replaces nothing", value)
			}
			want(t, c, m, value+1)
			time.Sleep(time.Duration(1<<value) * time.Second)
		}
		time.Sleep(time.Hour)
		if !c.Reject("k", 4) {
			t.Fatal("a rejection an hour later replaces nothing")
		}
		want(t, c, m, 5)
		if c.Reject("k", 5) {
			t.Error("a second rejection at once replaces")
		}
		time.Sleep(time.Second)
		if !c.Reject("k", 5) {
			t.Error("the back-off after an hour is longer than a second")
		}
	})
}

// However short credentials live, callers cannot make the cache mint without
// end.
func TestMintRateOfShortLifetimesIsBounded(t *testing.T) {
	for seconds := time.Duration(1); seconds < 60; seconds++ {
		for name, jitter := range map[string]func() float64{"least jitter": noJitter, "most jitter": func() float64 { return 0.999999 }} {
			synctest.Test(t, func(t *testing.T) {
				m := &minter{lifetime: seconds * time.Second}
				c := newTest(t, Config[string]{Jitter: jitter})
				const span = 5 * time.Minute
				for began := time.Now(); time.Since(began) < span; time.Sleep(20 * time.Millisecond) {
					if _, err := c.Get(t.Context(), "k", m); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				// A credential serves four fifths of its life at least.
				if n, most := m.mints.Load(), int64(span/(m.lifetime*4/5))+1; n > most || n < int64(span/m.lifetime) {
					t.Errorf("%s, lifetime %s: %d mints in %s, want %d at most", name, m.lifetime, n, span, most)
				}
			})
		}
	}
}

// named makes the credential of a key from the key alone.
type named struct{}

func (named) Mint(_ context.Context, key [3]string) (Credential[[3]string], error) {
	now := time.Now()
	return Credential[[3]string]{Value: key, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, nil
}

// Whatever the parts of a key are, nobody gets the credential of another key.
func TestDifferentKeysNeverShareACredential(t *testing.T) {
	c := New[[3]string, [3]string](Config[[3]string]{Size: 100})
	defer c.Close()
	parts := []string{"", "a", "b", "ab", "ba", "a:b", ":", "\x00", "a\x00b", "0", "00", "ü", " "}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		key := [3]string{parts[random.IntN(len(parts))], parts[random.IntN(len(parts))], parts[random.IntN(len(parts))]}
		if got, err := c.Get(t.Context(), key, named{}); err != nil || got != key {
			t.Fatalf("key %q has credential %q, %v", key, got, err)
		}
	}
	if n := c.Len(); n != 100 {
		t.Errorf("%d keys are kept, want the 100 that fit", n)
	}
}

func TestPurgeDropsTheKeysThatItIsToldTo(t *testing.T) {
	c := New[[3]string, [3]string](Config[[3]string]{})
	defer c.Close()
	for _, first := range []string{"a", "b"} {
		for _, second := range []string{"1", "2", "3"} {
			if _, err := c.Get(t.Context(), [3]string{first, second}, named{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Purge(func(key [3]string) bool { return key[0] == "a" })
	if n := c.Len(); n != 3 {
		t.Errorf("%d keys are left, want 3", n)
	}
	before := c.Mints()
	_, _ = c.Get(t.Context(), [3]string{"b", "1"}, named{})
	_, _ = c.Get(t.Context(), [3]string{"a", "1"}, named{})
	if n := c.Mints() - before; n != 1 {
		t.Errorf("%d mints after the purge, want 1 for the key that was dropped", n)
	}
}

func TestCloseEndsMintsAndWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour, delay: time.Hour}
		c := New[string, int64](Config[string]{})
		result := make(chan error, 1)
		go func() {
			_, err := c.Get(context.Background(), "k", m)
			result <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("the waiting caller got %v", err)
		}
		if _, err := c.Get(t.Context(), "other", m); !errors.Is(err, ErrClosed) {
			t.Errorf("a caller after Close got %v", err)
		}
	})
}

// Calls that are under way when the cache is closed, or come later, find nothing
// to stumble over, and leave nothing behind.
func TestCallsBesideCloseDoNoHarm(t *testing.T) {
	m := &minter{lifetime: time.Hour}
	c := New[string, int64](Config[string]{Size: 20, Jitter: noJitter})
	for i := range 20 {
		if _, err := c.Get(t.Context(), fmt.Sprint(i), m); err != nil {
			t.Fatal(err)
		}
	}
	var found []*entry[string, int64]
	c.index.each(func(e *entry[string, int64]) bool {
		found = append(found, e)
		return true
	})
	c.Close()
	for _, e := range found {
		c.hurry(e, time.Now().UnixNano()) // as a call does that found e when it was due
	}
	for i := range 100 {
		if _, err := c.Get(t.Context(), fmt.Sprint("late ", i), m); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after Close got %v", err)
		}
	}
	indexed := 0
	c.index.each(func(*entry[string, int64]) bool { indexed++; return true })
	if indexed > 20 || indexed != c.Len() {
		t.Errorf("%d keys in the index of a closed cache for 20, which has %d", indexed, c.Len())
	}
}

// Time is the wall clock: a machine that sleeps for a day wakes with credentials
// that have expired.
func TestWallClockThatJumpsExpiresCredentials(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	c := New[string, int64](Config[string]{Now: clock, Jitter: noJitter})
	defer c.Close()
	n := int64(0)
	source := sourceFunc(func() (Credential[int64], error) {
		n++
		return Credential[int64]{Value: n, IssuedAt: clock(), ExpiresAt: clock().Add(time.Hour)}, nil
	})
	get := func(want int64) {
		t.Helper()
		if got, err := c.Get(t.Context(), "k", source); err != nil || got != want {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
	}
	get(1)
	// Round drops the monotonic reading, as a suspended machine does.
	mu.Lock()
	now = now.Round(0).Add(25 * time.Hour)
	mu.Unlock()
	get(2)
	mu.Lock()
	now = now.Add(-24 * time.Hour)
	mu.Unlock()
	get(3) // to a clock that was turned back, the second comes from the future

	// A little is no reason.
	mu.Lock()
	now = now.Add(-30 * time.Second)
	mu.Unlock()
	get(3)
}

type sourceFunc func() (Credential[int64], error)

func (f sourceFunc) Mint(context.Context, string) (Credential[int64], error) { return f() }

// A fleet that started at one time does not refresh at one time.
func TestJitterSpreadsRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(jitter float64) time.Duration {
			m := &minter{lifetime: 24 * time.Hour}
			c := newTest(t, Config[string]{Jitter: func() float64 { return jitter }})
			want(t, c, m, 1)
			began := time.Now()
			for m.mints.Load() == 1 {
				time.Sleep(time.Second)
				if _, err := c.Get(t.Context(), "k", m); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			return time.Since(began)
		}
		for jitter, wanted := range map[float64]time.Duration{0: 23 * time.Hour, 0.5: 23*time.Hour + 3*time.Minute, 0.999999: 23*time.Hour + 6*time.Minute} {
			if got := at(jitter); got != wanted {
				t.Errorf("refreshed after %s with jitter %g, want %s", got, jitter, wanted)
			}
		}
	})
}

// A token that lives for seconds is not left alone for a minute because one mint
// has failed.
func TestBackOffIsShortForShortLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 8 * time.Second}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		m.fail.Store(true)
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
			_, _ = c.Get(t.Context(), "k", m)
			synctest.Wait()
		}
		m.fail.Store(false)
		time.Sleep(2 * time.Second)
		if _, err := c.Get(t.Context(), "k", m); err != nil {
			t.Errorf("2s after the minter came back: %v", err)
		}
	})
}

// Nor is one that lives for an instant tried again without end.
func TestBackOffIsNotShorterForAnInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Millisecond}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		m.fail.Store(true)
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Millisecond) {
			_, _ = c.Get(t.Context(), "k", m)
			synctest.Wait()
		}
		if n := m.mints.Load(); n > 4*60+2 {
			t.Errorf("%d mints in a minute of failures", n)
		}
	})
}
