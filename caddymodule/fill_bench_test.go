package caddymodule

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
)

// BenchmarkFill measures what a join of 2 KiB pays for its token, and what one
// that brings a token pays for being looked at.
func BenchmarkFill(b *testing.B) {
	p, err := newProject(Credentials{AppID: vectorAppID, AppCertificate: vectorCertificate},
		Settings{ExpiresIn: caddy.Duration(24 * time.Hour)}.withDefaults(), nil, zap.NewNop(), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct{ name, token string }{{"token missing", ""}, {"token given", "given"}} {
		body := `{"name":"agent","properties":{"channel":"room-1","token":"` + test.token + `","agent_rtc_uid":"1001","llm":{"system_messages":[{"content":"`
		body += strings.Repeat("x", 2048-len(body)-len(`"}]}}}`)) + `"}]}}}`
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			read := make([]byte, len(body), len(body)+p.room(api.Join))
			for b.Loop() {
				copy(read[:len(body)], body)
				_, incomplete, err := p.read(api.Join, read)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := incomplete.Complete(p.appID, p.bodyToken); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
