package main

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"hash/maphash"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkReference has the loops that the guarded paths are compared with. They
// use the standard library alone, allocate nothing, and do the kind of work that
// the paths do, because another program on the same core disturbs each kind
// differently. A change of one changes the baseline.
func BenchmarkReference(b *testing.B) {
	lookup, split, scan, sign := newLookup(), newSplit(), newScan(), newSign()
	sign() // the first one allocates
	for _, reference := range []struct {
		name string
		work func() bool
	}{
		{"lookup", lookup},
		{"split", split},
		{"scan", scan},
		{"sign", sign},
		{"scan and sign", func() bool { return scan() && sign() }},
	} {
		b.Run(reference.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !reference.work() {
					b.Fatal("the work is not done")
				}
			}
		})
	}
}

// newLookup returns a loop that hashes a key of strings, finds what is kept for it,
// takes no lock, and looks at the clock.
func newLookup() func() bool {
	type key struct{ app, channel, account string }
	type entry struct {
		key   key
		until time.Duration
		used  atomic.Bool
	}
	k := key{"0123456789abcdef0123456789abcdef", "room-1", "1001"}
	start, seed := time.Now(), maphash.MakeSeed()
	hash := func() uint64 { return maphash.String(seed, k.channel) ^ maphash.String(seed, k.account)<<1 }
	buckets := make([]atomic.Pointer[entry], 1<<10)
	buckets[hash()%uint64(len(buckets))].Store(&entry{key: k, until: 24 * time.Hour})
	return func() bool {
		now := time.Since(start)
		e := buckets[hash()%uint64(len(buckets))].Load()
		if e == nil || e.key != k || now >= e.until {
			return false
		}
		if !e.used.Load() {
			e.used.Store(true)
		}
		return true
	}
}

// newSplit returns a loop that takes a path apart and compares its segments.
func newSplit() func() bool {
	path := "/api/conversational-ai-agent/v2/projects/0123456789abcdef0123456789abcdef/agents/A42AK62PE74LN47MF46E/leave"
	names := [4]string{"api", "projects", "agents", "leave"}
	return func() bool {
		found := 0
		for rest, more := path[1:], true; more; {
			var segment string
			segment, rest, more = strings.Cut(rest, "/")
			for _, name := range names {
				if segment == name {
					found++
				}
			}
		}
		return found == len(names)
	}
}

// newScan returns a loop that copies a JSON body of 1 KiB and reads it to its end.
func newScan() func() bool {
	body := []byte(`{"name":"agent","properties":{"channel":"room-1","token":"given","agent_rtc_uid":"1001","remote_rtc_uids":["1002"],"enable_string_uid":false,"idle_timeout":120,` +
		`"llm":{"url":"https://example.com/v1/chat/completions","max_history":32,"system_messages":[{"role":"system","content":"` + strings.Repeat("x", 700) + `"}]}}}`)
	read := make([]byte, len(body))
	return func() bool {
		copy(read, body)
		return json.Valid(read)
	}
}

// newSign returns a loop that signs, compresses and encodes as much as a token is.
func newSign() func() bool {
	content := []byte(strings.Repeat("0123456789abcdef room-1 1001 ", 5))
	macs := [3]hash.Hash{}
	for i := range macs {
		macs[i] = hmac.New(sha256.New, content[:32])
	}
	var packed bytes.Buffer
	w, err := zlib.NewWriterLevel(&packed, zlib.BestSpeed)
	if err != nil {
		panic(err)
	}
	sum, text := make([]byte, 0, sha256.Size), make([]byte, 0, 1024)
	return func() bool {
		for _, mac := range macs {
			mac.Reset()
			mac.Write(content)
			sum = mac.Sum(sum[:0])
		}
		packed.Reset()
		w.Reset(&packed)
		w.Write(sum)
		w.Write(content)
		if w.Close() != nil {
			return false
		}
		text = base64.StdEncoding.AppendEncode(text[:0], packed.Bytes())
		return len(text) > 0
	}
}
