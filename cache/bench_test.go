package cache

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// benchKey is as large as the key of a token.
type benchKey struct {
	appID       string
	certificate *byte
	channel     string
	account     string
	lifetime    uint32
}

// hashBenchKey hashes what tells most keys apart, as a user of the cache would.
func hashBenchKey(seed maphash.Seed, k benchKey) uint64 {
	return maphash.String(seed, k.channel) ^ maphash.String(seed, k.account)<<1
}

func benchKeys(n int) []benchKey {
	keys := make([]benchKey, n)
	for i := range keys {
		keys[i] = benchKey{"0123456789abcdef0123456789abcdef", new(byte), fmt.Sprintf("room-%d", i), "1001", 86400}
	}
	return keys
}

// skipLong leaves out of a short run what takes seconds to fill.
func skipLong(b *testing.B, keys int) {
	b.Helper()
	if keys >= 1_000_000 && testing.Short() {
		b.Skipf("%d keys", keys)
	}
}

type benchSource struct{}

func (benchSource) Mint(context.Context, benchKey) (Credential[*string], error) {
	value := "007"
	now := time.Now()
	return Credential[*string]{Value: &value, IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour)}, nil
}

// BenchmarkHit is the lookup of credentials that are there, in random order and
// by as many goroutines as there are processors, beside a plain Get of
// golang-lru. Run it with -cpu 1,2.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1, 10_000, 1_000_000} {
		run := func(b *testing.B, keys []benchKey, get func(benchKey) bool) {
			order := make([]uint32, min(64*n, 1<<20))
			for i := range order {
				order[i] = rand.Uint32N(uint32(n))
			}
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.Uint32(); pb.Next(); i++ {
					if !get(keys[order[i%uint32(len(order))]]) {
						b.Error("not there")
						return
					}
				}
			})
			b.StopTimer()
		}
		b.Run(fmt.Sprintf("credential/keys=%d", n), func(b *testing.B) {
			skipLong(b, n)
			c := New[benchKey, *string](Config[benchKey]{Size: n, Hash: hashBenchKey})
			defer c.Close()
			ctx, source, keys := b.Context(), benchSource{}, benchKeys(n)
			for _, key := range keys {
				if _, err := c.Get(ctx, key, source); err != nil {
					b.Fatal(err)
				}
			}
			run(b, keys, func(key benchKey) bool {
				_, err := c.Get(ctx, key, source)
				return err == nil
			})
		})
		b.Run(fmt.Sprintf("golang-lru/keys=%d", n), func(b *testing.B) {
			skipLong(b, n)
			entries, err := lru.New[benchKey, *string](n)
			if err != nil {
				b.Fatal(err)
			}
			keys := benchKeys(n)
			for _, key := range keys {
				entries.Add(key, new(string))
			}
			run(b, keys, func(key benchKey) bool {
				_, ok := entries.Get(key)
				return ok
			})
		})
	}
}

// slowSource takes as long as minting a token does.
type slowSource struct{ lifetime time.Duration }

func (s slowSource) Mint(context.Context, benchKey) (Credential[*string], error) {
	for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
	}
	value := "007"
	now := time.Now()
	return Credential[*string]{Value: &value, IssuedAt: now, ExpiresAt: now.Add(s.lifetime)}, nil
}

// BenchmarkAcrossRefreshes is the 99th percentile of a stream of lookups whose
// credential is refreshed ten times a second, and of one whose is not.
func BenchmarkAcrossRefreshes(b *testing.B) {
	key := benchKeys(1)[0]
	for _, test := range []struct {
		name     string
		lifetime time.Duration
	}{{"refreshed", 125 * time.Millisecond}, {"not", 24 * time.Hour}} {
		b.Run(test.name, func(b *testing.B) {
			c := New[benchKey, *string](Config[benchKey]{Hash: hashBenchKey})
			defer c.Close()
			source := slowSource{test.lifetime}
			took := make([]time.Duration, 0, 1<<20)
			for b.Loop() {
				began := time.Now()
				if _, err := c.Get(b.Context(), key, source); err != nil {
					b.Fatal(err)
				}
				if len(took) < cap(took) {
					took = append(took, time.Since(began))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
			b.ReportMetric(float64(c.Mints())/b.Elapsed().Seconds(), "mints/s")
		})
	}
}

// BenchmarkMemory is what the cache itself keeps for a key, beside the key's
// strings and the credential.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			skipLong(b, n)
			keys := benchKeys(n)
			for b.Loop() {
				before := heapInUse()
				c := New[benchKey, *string](Config[benchKey]{Size: n, Hash: hashBenchKey})
				for _, key := range keys {
					if _, err := c.Get(b.Context(), key, benchSource{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(heapInUse()-before)/float64(n), "B/key")
				c.Close()
			}
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHitDoesNotAllocate(t *testing.T) {
	key := benchKeys(1)[0]
	for name, hash := range map[string]func(maphash.Seed, benchKey) uint64{"own hash": hashBenchKey, "default hash": nil} {
		c := New[benchKey, *string](Config[benchKey]{Hash: hash})
		defer c.Close()
		ctx, source := t.Context(), benchSource{}
		if _, err := c.Get(ctx, key, source); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(1000, func() { _, _ = c.Get(ctx, key, source) }); n != 0 {
			t.Errorf("%s: a hit makes %g allocations, want none", name, n)
		}
	}
}
