package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// BenchmarkCall is a join through a whole server, beside a stock reverse_proxy
// that sends a fixed Authorization header: the same request, the same upstream on
// loopback, no connection of a caller. What it allocates besides is what both do.
// Run it with -tags convoai_bare to see what observing costs.
func BenchmarkCall(b *testing.B) {
	upstream := benchUpstream(b)
	directive := `convoai {
		app_id          {$AGORA_APP_ID}
		app_certificate {env.AGORA_APP_CERTIFICATE}
		upstream        http://` + upstream + `
	}`
	b.Setenv("AGORA_APP_ID", vectorAppID)
	b.Setenv("AGORA_APP_CERTIFICATE", vectorCertificate)
	const accessLog = "log {\n output convoaitest\n}\n"
	for _, site := range []struct{ name, body string }{
		{"stock", "reverse_proxy " + upstream + " {\n header_up Authorization \"agora token=" + strings.Repeat("x", 240) + "\"\n}\n"},
		{"sidecar", directive},
		{"sidecar, access log", accessLog + directive},
		{"sidecar, access log, log_fields", accessLog + strings.Replace(directive, "{\n", "{\nlog_fields on\n", 1)},
		{"sidecar, access log, log_append", accessLog + `
			log_append convoai_operation {http.convoai.operation}
			log_append convoai_app {http.convoai.app_id_ends_in}
			log_append convoai_agent {http.convoai.agent_id}
			log_append convoai_upstream {http.convoai.upstream}
			log_append convoai_region {http.convoai.region}
			log_append convoai_attempts {http.convoai.attempts}
			log_append convoai_auth_mode {http.convoai.auth_mode}
			log_append convoai_error {http.convoai.error.reason}
			log_append convoai_duration_sidecar {http.convoai.duration.sidecar}
			log_append convoai_duration_connect {http.convoai.duration.connect}
			log_append convoai_duration_upstream {http.convoai.duration.upstream}
			` + directive},
	} {
		b.Run(site.name, func(b *testing.B) {
			server := serverOf(b, "", site.body)
			body := `{"name":"agent","properties":{"channel":"room-1","token":"given","agent_rtc_uid":"1001","llm":{"system_messages":[{"content":"` +
				strings.Repeat("x", 850) + `"}]}}}`
			r, err := http.NewRequest("POST", "http://localhost/v2/projects/"+vectorAppID+"/join", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr, r.RequestURI = "127.0.0.1:9", r.URL.Path
			r.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}, "Accept": {"*/*"}}
			r.ContentLength = int64(len(body))
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(body))
				w := &benchWriter{header: make(http.Header)}
				ctx, cancel := context.WithCancel(b.Context()) // as net/http makes one for each request
				if server.ServeHTTP(w, r.WithContext(ctx)); w.status != http.StatusOK {
					b.Fatalf("answered %d", w.status)
				}
				cancel()
			}
		})
	}
}

func init() {
	caddy.RegisterModule(nullLog{})
}

// nullLog is an output that lines of a log are made for, unlike discard.
type nullLog struct{}

func (nullLog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.convoaitest", New: func() caddy.Module { return new(nullLog) }}
}

func (*nullLog) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }
func (*nullLog) String() string                                { return "nothing" }
func (*nullLog) WriterKey() string                             { return "convoaitest" }
func (l *nullLog) OpenWriter() (io.WriteCloser, error)         { return l, nil }
func (*nullLog) Write(p []byte) (int, error)                   { return len(p), nil }
func (*nullLog) Close() error                                  { return nil }

type benchWriter struct {
	header http.Header
	status int
}

func (w *benchWriter) Header() http.Header         { return w.header }
func (w *benchWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *benchWriter) WriteHeader(status int)      { w.status = status }
func (w *benchWriter) Flush()                      {}

func (w *benchWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *benchWriter) SetWriteDeadline(time.Time) error { return nil }

// benchUpstream answers every request with a small JSON body, without allocating,
// and returns its address.
func benchUpstream(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	const body = `{"agent_id":"1NT29X10YHxxxxxWJOXLYHNYB","status":"RUNNING"}`
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					length := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if len(line) <= 2 {
							break
						}
						if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							for _, digit := range bytes.TrimSpace(value) {
								length = length*10 + int(digit-'0')
							}
						}
					}
					if _, err := r.Discard(length); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
