package caddymodule

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/cache"
)

// BenchmarkFill measures what a join of 2 KiB pays for its token, and what one
// that brings a token pays for being looked at.
func BenchmarkFill(b *testing.B) {
	shared := newState(cache.Config[tokenKey]{})
	b.Cleanup(func() { _ = shared.Destruct() })
	p, err := newProject(Credentials{AppID: vectorAppID, AppCertificate: vectorCertificate},
		Settings{ExpiresIn: caddy.Duration(24 * time.Hour)}.withDefaults(), shared, zap.NewNop(), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct{ name, token string }{{"token missing", ""}, {"token given", "given"}} {
		body := `{"name":"agent","properties":{"channel":"room-1","token":"` + test.token + `","agent_rtc_uid":"1001","llm":{"system_messages":[{"content":"`
		body += strings.Repeat("x", 2048-len(body)-len(`"}]}}}`)) + `"}]}}}`
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			var call Call
			read := make([]byte, len(body), len(body)+p.room(api.Join))
			for b.Loop() {
				copy(read[:len(body)], body)
				_, incomplete, err := p.read(api.Join, read)
				if err != nil {
					b.Fatal(err)
				}
				call.project, call.body = p, read
				if err := call.complete(incomplete); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
