package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A week of one request per second: the first one waits for a mint and no other
// does, and none gets a credential with less than its mandatory window left.
func TestAWeekOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &expiring{lifetime: 24 * time.Hour, delay: 100 * time.Millisecond}
		c := New[string, time.Time](Config[string]{})
		defer c.Close()
		began := time.Now()
		for n := 0; time.Since(began) < 7*24*time.Hour; n++ {
			asked := time.Now()
			expiresAt, result, err := c.Lookup(t.Context(), "k", m)
			if err != nil || (result == Minted) != (n == 0) || n > 0 && time.Since(asked) > 0 {
				t.Fatalf("request %d: %s after %s, %v", n, result, time.Since(asked), err)
			}
			if left := time.Until(expiresAt); left < time.Minute {
				t.Fatalf("request %d has a credential with %s left", n, left)
			}
			time.Sleep(time.Second)
		}
		// Each serves 23h to 23h06m.
		if n := c.Mints(); n != 8 {
			t.Errorf("%d mints, want 8", n)
		}
	})
}

// expiring is a Source whose credentials are known by when they expire.
type expiring struct {
	lifetime, delay time.Duration
	mu              sync.Mutex             // guards minted
	minted          map[string][]time.Time // if not nil
}

func (m *expiring) Mint(_ context.Context, key string) (Credential[time.Time], error) {
	time.Sleep(m.delay)
	now := time.Now()
	if m.minted != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.minted[key] = append(m.minted[key], now)
	}
	return Credential[time.Time]{Value: now.Add(m.lifetime), IssuedAt: now, ExpiresAt: now.Add(m.lifetime)}, nil
}

func (m *expiring) count(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.minted[key])
}

// Keys that came in together are not refreshed together.
func TestRefreshesOfManyKeysAreSpread(t *testing.T) {
	const keys = 100_000
	synctest.Test(t, func(t *testing.T) {
		m := &expiring{lifetime: 24 * time.Hour, minted: map[string][]time.Time{}}
		c := New[string, time.Time](Config[string]{Size: keys})
		defer c.Close()
		began := time.Now()
		for i := range keys {
			key := fmt.Sprint(i)
			for range 2 { // made, and used
				if _, err := c.Get(t.Context(), key, m); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(24*time.Hour - time.Minute)
		if n := c.Mints(); n != 2*keys {
			t.Fatalf("%d mints, want %d", n, 2*keys)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		var at []time.Duration
		for key, times := range m.minted {
			if len(times) != 2 {
				t.Fatalf("key %s was made %d times", key, len(times))
			}
			at = append(at, times[1].Sub(began))
		}
		slices.Sort(at)
		first, last := at[0], at[len(at)-1]
		// The advisory window is an hour. A random number below 1 falls short
		// of a whole tenth by a hair.
		if first < 23*time.Hour || last-first < 359*time.Second {
			t.Errorf("refreshed from %s to %s, want over 6m from 23h on", first, last)
		}
		// Evenly: no second of the 360 has more than twice its share.
		perSecond := map[int64]int{}
		for _, d := range at {
			perSecond[int64(d/time.Second)]++
		}
		for second, n := range perSecond {
			if n > 2*keys/360 {
				t.Errorf("%d refreshes in second %d, want about %d", n, second, keys/360)
			}
		}
	})
}

// A key that nobody has asked for since it was made is not refreshed, and is
// gone when it expires. One that was asked for goes on for another lifetime.
func TestUnusedKeysAreLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &expiring{lifetime: time.Hour, minted: map[string][]time.Time{}}
		c := New[string, time.Time](Config[string]{Jitter: noJitter})
		defer c.Close()
		get := func(key string) {
			t.Helper()
			if _, err := c.Get(t.Context(), key, m); err != nil {
				t.Fatal(err)
			}
		}
		get("once")
		get("twice")
		get("twice")
		get("late")
		time.Sleep(50 * time.Minute) // advisory since 48m
		get("late")
		synctest.Wait()
		if n := m.count("late"); n != 2 {
			t.Errorf("minted %d times once it is asked for in its advisory window, want 2 at once", n)
		}
		time.Sleep(10*time.Minute + time.Nanosecond)
		if n := c.Len(); n != 2 {
			t.Errorf("%d keys after an hour, want the two that were used", n)
		}
		time.Sleep(time.Hour)
		if n := c.Len(); n != 0 {
			t.Errorf("%d keys after another hour of silence, want none", n)
		}
		if a, b, d := m.count("once"), m.count("twice"), m.count("late"); a != 1 || b != 2 || d != 2 {
			t.Errorf("minted %d, %d and %d times, want 1, 2 and 2", a, b, d)
		}
		c.mu.Lock()
		if c.refreshing {
			t.Error("the refresher has nothing to do and has not ended")
		}
		c.mu.Unlock()
		get("again") // starts it again
		get("again")
		time.Sleep(49 * time.Minute)
		if n := m.count("again"); n != 2 {
			t.Errorf("minted %d times after a pause, want 2", n)
		}
	})
}

// What the source needs from hour 20 on is not there: requests go on until the
// credential expires, then they fail, and when the source is back they go on
// within the back-off.
func TestSourceThatFailsFromHour20(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: 24 * time.Hour}
		c := newTest(t, Config[string]{})
		began := time.Now()
		step := func() error {
			time.Sleep(time.Second)
			_, err := c.Get(t.Context(), "k", m)
			return err
		}
		want(t, c, m, 1)
		expiresAt := began.Add(24 * time.Hour)
		for time.Since(began) < 20*time.Hour {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		m.fail.Store(true)
		for time.Until(expiresAt) > time.Second {
			if err := step(); err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		}
		for time.Since(began) < 25*time.Hour {
			if err := step(); !errors.Is(err, errDown) {
				t.Fatalf("after %s: %v, want the source's error", time.Since(began), err)
			}
		}
		// 1 + 2 + … + 32 s, then once a minute.
		if n := m.mints.Load(); n > 2*60+8 {
			t.Errorf("%d mints by hour 25", n)
		}
		m.fail.Store(false)
		healed := time.Now()
		for step() != nil {
		}
		if took := time.Since(healed); took > backoffMax+time.Second {
			t.Errorf("went on %s after the source was back", took)
		}
	})
}

// The refresher does not oversleep what came in while it slept, nor a clock that
// was set ahead.
func TestRefresherWakesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		c := newTest(t, Config[string]{Now: now})
		source := func(lifetime time.Duration) (sourceFunc, *atomic.Int64) {
			mints := new(atomic.Int64)
			return func() (Credential[int64], error) {
				return Credential[int64]{Value: mints.Add(1), IssuedAt: now(), ExpiresAt: now().Add(lifetime)}, nil
			}, mints
		}
		day, ofDay := source(24 * time.Hour)
		short, ofShort := source(10 * time.Second)
		get := func(key string, source sourceFunc) {
			t.Helper()
			for range 2 { // made, and used
				if _, err := c.Get(t.Context(), key, source); err != nil {
					t.Fatal(err)
				}
			}
		}
		get("day", day)
		synctest.Wait() // asleep until then
		get("short", short)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if n := ofShort.Load(); n != 2 {
			t.Errorf("%d mints of what was due after 8s, want 2", n)
		}
		time.Sleep(time.Minute) // it is let go
		ahead.Store(int64(23*time.Hour + 30*time.Minute))
		time.Sleep(maxSleep)
		synctest.Wait()
		if n := ofDay.Load(); n != 2 {
			t.Errorf("%d mints a minute after the clock was set ahead, want 2", n)
		}
	})
}

// Calls that found the credential due just before a refresh of it failed do not
// have it tried again at once.
func TestHurryDoesNotCutARestShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour}
		c := newTest(t, Config[string]{})
		want(t, c, m, 1)
		want(t, c, m, 1)
		m.fail.Store(true)
		time.Sleep(48 * time.Minute)
		synctest.Wait()
		before := m.mints.Load()
		e := c.index.find(c.hash(c.seed, "k"), "k")
		for range 100 {
			c.hurry(e, c.clock.read())
			synctest.Wait()
		}
		if n := m.mints.Load(); before != 2 || n != before {
			t.Errorf("%d mints, then %d while the key rests, want 2 and none", before, n-before)
		}
		time.Sleep(backoffMin)
		synctest.Wait()
		if n := m.mints.Load(); n != before+1 {
			t.Errorf("%d mints after the rest, want 1", n-before)
		}
	})
}

// The refresher is a convenience. Without it callers find the credential in its
// mandatory window, and make the next one.
func TestCallersAreServedWhereTheRefresherIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &minter{lifetime: time.Hour}
		c := newTest(t, Config[string]{Jitter: noJitter})
		stuck := make(chan struct{})
		calls := 0
		blocker := sourceFunc(func() (Credential[int64], error) {
			if calls++; calls > 1 {
				<-stuck
			}
			now := time.Now()
			return Credential[int64]{Value: 1, IssuedAt: now, ExpiresAt: now.Add(time.Minute)}, nil
		})
		for range 2 {
			if _, err := c.Get(t.Context(), "blocker", blocker); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		var mandatory int
		for time.Since(began) < 3*time.Hour {
			asked := time.Now()
			value, result, err := c.Lookup(t.Context(), "k", m)
			if err != nil || time.Since(asked) > 0 || value != m.mints.Load() && result != Stale && result != Hit {
				t.Fatalf("after %s: %d %s %v", time.Since(began), value, result, err)
			}
			if result == Minted {
				mandatory++
			}
			time.Sleep(time.Second)
		}
		if n := m.mints.Load(); n != 4 || mandatory != 4 {
			t.Errorf("%d mints in 3h, %d of them for waiting callers, want 4 and 4", n, mandatory)
		}
		close(stuck)
	})
}

// A second that is nearly over does not make a credential of one second useless.
func TestCredentialThatExpiresWhileItIsMadeIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(999*time.Millisecond + 999*time.Microsecond)
		c := newTest(t, Config[string]{})
		n := int64(0)
		source := sourceFunc(func() (Credential[int64], error) {
			n++
			second := time.Unix(time.Now().Unix(), 0)
			time.Sleep(time.Microsecond)
			return Credential[int64]{Value: n, IssuedAt: second, ExpiresAt: second.Add(time.Second)}, nil
		})
		if value, err := c.Get(t.Context(), "k", source); err != nil || value != 2 {
			t.Errorf("got %d, %v, want the second", value, err)
		}
	})
}

// The host is suspended, the container frozen, or the clock set: what counts is
// what the wall clock says now.
func TestStepsOfTheClock(t *testing.T) {
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		step     time.Duration
		want     Result
	}{
		{"an hour ahead, within the life", 24 * time.Hour, time.Hour, Hit},
		{"an hour back, within the life", 24 * time.Hour, -time.Hour, Minted},
		{"a little back", 24 * time.Hour, -30 * time.Second, Hit},
		{"into the advisory window", 24 * time.Hour, 23*time.Hour + 30*time.Minute, Stale},
		{"into the mandatory window", 24 * time.Hour, 24*time.Hour - 30*time.Second, Minted},
		{"beyond the life", 24 * time.Hour, 25 * time.Hour, Minted},
		{"an hour ahead, beyond the life", time.Hour, time.Hour, Minted},
	} {
		clock := &steppedClock{at: time.Unix(1700000000, 0)}
		c := New[string, int64](Config[string]{Now: clock.now, Jitter: noJitter})
		defer c.Close()
		var n atomic.Int64
		source := sourceFunc(func() (Credential[int64], error) {
			now := clock.now()
			return Credential[int64]{Value: n.Add(1), IssuedAt: now, ExpiresAt: now.Add(test.lifetime)}, nil
		})
		for range 2 {
			if _, err := c.Get(t.Context(), "k", source); err != nil {
				t.Fatal(err)
			}
		}
		clock.step(test.step)
		if _, result, err := c.Lookup(t.Context(), "k", source); err != nil || result != test.want {
			t.Errorf("%s: %s, %v, want %s", test.name, result, err, test.want)
		}
		// What is handed out once more is being replaced behind it.
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			if _, result, err := c.Lookup(t.Context(), "k", source); err == nil && result == Hit {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Errorf("%s: no fresh credential came", test.name)
				break
			}
		}
		if got, want := n.Load(), int64(2); test.want != Hit && got != want {
			t.Errorf("%s: %d mints, want %d", test.name, got, want)
		}
	}
}

// An eviction passes over what was used since the last one looked.
func TestRecentlyUsedKeysAreKept(t *testing.T) {
	c := New[[3]string, [3]string](Config[[3]string]{Size: 10})
	defer c.Close()
	get := func(key string) {
		t.Helper()
		if _, err := c.Get(t.Context(), [3]string{key}, named{}); err != nil {
			t.Fatal(err)
		}
	}
	get("kept")
	for i := range 100 {
		get("kept")
		get(fmt.Sprint(i))
	}
	before := c.Mints()
	get("kept")
	if c.Mints() != before || c.Len() != 10 {
		t.Errorf("the key in use was evicted, or %d keys are kept in place of 10", c.Len())
	}
	get("98")
	if c.Mints() != before {
		t.Error("the newest key but one was evicted")
	}
	get("0")
	if c.Mints() == before {
		t.Error("the oldest key was not evicted")
	}
}

// Reads beside writes of every kind, on keys that share few buckets.
func TestConcurrentUse(t *testing.T) {
	c := New[[3]string, [3]string](Config[[3]string]{Size: 8})
	defer c.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 3000 {
				key := [3]string{fmt.Sprint((g + i) % 13)}
				got, err := c.Get(context.Background(), key, named{})
				if err != nil || got != key {
					t.Errorf("key %q has %q, %v", key, got, err)
					return
				}
				switch i % 50 {
				case 1:
					c.Reject(key, got)
				case 2:
					c.Purge(func(k [3]string) bool { return k == key })
				case 3:
					c.Each(func(i Info[[3]string]) bool { return i.ExpiresAt.After(i.IssuedAt) })
				}
			}
		})
	}
	wg.Wait()
	if n := c.Len(); n > 8 {
		t.Errorf("%d keys are kept in a cache of 8", n)
	}
	indexed := 0
	c.index.each(func(*entry[[3]string, [3]string]) bool { indexed++; return true })
	if indexed != c.Len() || len(c.queue) > c.Len() {
		t.Errorf("%d keys: %d in the index, %d in the queue", c.Len(), indexed, len(c.queue))
	}
}
