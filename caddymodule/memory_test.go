package caddymodule

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/cache"
)

// maxBytesPerToken is what docs/credentials.md promises.
const maxBytesPerToken = 1024

// TestMemoryPerToken measures what a channel of its own costs: key, token and
// all that the cache keeps with them. (The race detector adds to it.)
func TestMemoryPerToken(t *testing.T) {
	if raceDetector {
		t.Skip("memory is another under the race detector")
	}
	const channels = 10_000
	shared := newState(cache.Config[tokenKey]{Size: channels})
	t.Cleanup(func() { _ = shared.Destruct() })
	off := false
	p, err := newProject(Credentials{AppID: vectorAppID, AppCertificate: vectorCertificate},
		Settings{ExpiresIn: caddy.Duration(24 * time.Hour), Scope: scopeSession, QuoteToken: &off},
		shared, zap.NewNop(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	before := heapInUse()
	for i := range channels {
		// As a parsed body has them: strings of their own.
		session := api.Session{Channel: fmt.Sprintf("conversation-%016d", i), Account: fmt.Sprint(1000 + i)}
		if _, err := p.authorize(t.Context(), api.Join, session); err != nil {
			t.Fatal(err)
		}
	}
	per := (heapInUse() - before) / channels
	t.Logf("%d bytes per token", per)
	if per > maxBytesPerToken {
		t.Errorf("%d bytes per token, want %d at most", per, maxBytesPerToken)
	}
	if n := shared.tokens.Len(); n != channels {
		t.Errorf("%d tokens are kept, want %d", n, channels)
	}
	runtime.KeepAlive(p)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
