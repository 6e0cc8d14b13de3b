package main

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"hash"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkReference has the loops that the guarded paths are compared with. They
// use the standard library alone, allocate nothing, and do the kind of work that
// the paths do, because another program on the same core disturbs each kind
// differently. A change of one changes the baseline.
func BenchmarkReference(b *testing.B) {
	lookup, scan, sign := newLookup(), newScan(), newSign()
	sign() // the first one allocates
	for _, reference := range []struct {
		name string
		work func() bool
	}{
		{"lookup", lookup},
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

// newLookup returns a loop that finds something under a lock by a key of strings,
// and looks at the clock.
func newLookup() func() bool {
	type key struct{ app, channel, account string }
	k := key{"0123456789abcdef0123456789abcdef", "room-1", "1001"}
	var mu sync.Mutex
	until := map[key]time.Time{k: time.Now().Add(24 * time.Hour)}
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Before(until[k])
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
