package cache

import (
	"context"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// benchKey is as large as the key of a token.
type benchKey struct {
	appID       string
	certificate [32]byte
	channel     string
	account     string
	lifetime    uint32
}

var theKey = benchKey{"0123456789abcdef0123456789abcdef", [32]byte{1}, "room-7", "1001", 86400}

type benchSource struct{}

func (benchSource) Mint(context.Context, benchKey) (Credential[*string], error) {
	value := "007"
	now := time.Now()
	return Credential[*string]{Value: &value, IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour)}, nil
}

// BenchmarkHit is the lookup of a credential that is there, beside a plain Get
// of the LRU that it is built on.
func BenchmarkHit(b *testing.B) {
	b.Run("credential", func(b *testing.B) {
		c := New[benchKey, *string](Config{})
		defer c.Close()
		source := benchSource{}
		if _, err := c.Get(b.Context(), theKey, source); err != nil {
			b.Fatal(err)
		}
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get(ctx, theKey, source); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("golang-lru", func(b *testing.B) {
		entries, err := lru.New[benchKey, *string](DefaultSize)
		if err != nil {
			b.Fatal(err)
		}
		entries.Add(theKey, new(string))
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := entries.Get(theKey); !ok {
				b.Fatal("not there")
			}
		}
	})
}

func TestHitDoesNotAllocate(t *testing.T) {
	c := New[benchKey, *string](Config{})
	defer c.Close()
	ctx, source := t.Context(), benchSource{}
	if _, err := c.Get(ctx, theKey, source); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = c.Get(ctx, theKey, source) }); n != 0 {
		t.Errorf("a hit makes %g allocations, want none", n)
	}
}
