package caddymodule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/cache"
)

// The credentials of the vendor's published test vectors.
const (
	vectorAppID       = "970CA35de60c44645bbae8a215061b33"
	vectorCertificate = "5CFd2fd1755d40ecb72977518be15d3b"
)

// BenchmarkHeaderLookup measures what a call pays for its Authorization header
// when the token is in the cache.
func BenchmarkHeaderLookup(b *testing.B) {
	for _, channels := range []int{1, 1000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			shared := newState(cache.Config[tokenKey]{})
			b.Cleanup(func() { _ = shared.Destruct() })
			off := false
			p, err := newProject(Credentials{AppID: vectorAppID, AppCertificate: vectorCertificate},
				Settings{ExpiresIn: caddy.Duration(24 * time.Hour), Scope: scopeSession, QuoteToken: &off},
				shared, zap.NewNop(), time.Now)
			if err != nil {
				b.Fatal(err)
			}
			sessions := make([]api.Session, channels)
			for i := range sessions {
				sessions[i] = api.Session{Channel: fmt.Sprintf("room-%d", i), Account: "1001"}
				if _, err := p.authorize(b.Context(), api.Join, sessions[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c, err := p.authorize(b.Context(), api.Join, sessions[i%channels])
				if err != nil || !strings.HasPrefix(c.header, "agora token=007") {
					b.Fatal("no token")
				}
				i++
			}
		})
	}
}
