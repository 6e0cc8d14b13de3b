package tokenserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// watched returns a server whose token server logs where the test sees it.
func watched(t *testing.T, directive string) (http.Handler, *Handler, *observer.ObservedLogs) {
	t.Helper()
	server := serve(t, directive)
	handlers := server.(*caddyhttp.Server).Routes[0].Handlers
	h := handlers[len(handlers)-1].(*Handler)
	core, logs := observer.New(zapcore.DebugLevel)
	h.logger = zap.New(core)
	return server, h, logs
}

// A refused request leaves a line that says which rule would have granted it. That
// rule, put into the configuration, grants it and no more.
func TestTheLogSaysWhichRuleIsNeeded(t *testing.T) {
	const other = "allow other {\nkinds fpa\n}\nallow near {\nchannels room-7\naccounts 1\n}"
	for _, test := range []struct {
		name, rules, user, path, body string
		needed, nearest, refusedBy    string
	}{
		{"no rule", "", "", "/token", `{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher"}`,
			"allow { kinds rtc; channels room-7; accounts 42; roles publisher }", "", ""},
		{"another rule", other, "ann", "/token", `{"kind":"rtc","channel":"room-7","uid":42}`,
			"allow { users ann; kinds rtc; channels room-7; accounts 42; roles subscriber }", "near", "accounts"},
		{"several kinds", other, "", "/token", `{"kinds":["rtc","rtm"],"channel":"room-7","uid":42}`,
			"allow { kinds rtc rtm; channels room-7; accounts 42; roles subscriber }", "near", "kinds accounts"},
		{"wildcards", other, "", "/token", `{"kind":"rtc","channel":"*","uid":0}`,
			"allow { kinds rtc; channels *; accounts 0; wildcards on; roles subscriber }", "near", "channels accounts wildcards"},
		{"blank", "", "", "/token", `{"kind":"rtc","channel":"","account":"a"}`,
			"allow { kinds rtc; channels *; accounts a; wildcards on; roles subscriber }", "", ""},
		{"app", other, "", "/token", `{"kind":"chat-app"}`,
			"allow { kinds chat-app }", "other", "kinds"},
		{"accounts of their own", "", "", "/token/generate", `{"channelName":"c","uid":"a","serviceRtc":{"enable":true},"serviceChat":{"enableUser":true,"userUuid":"b"}}`,
			"allow { kinds rtc chat-user; channels c; accounts a b; roles subscriber }", "", ""},
		{"text that means something in a Caddyfile", "", `x" y`, "/token", `{"kind":"rtc","channel":"a {b} #c","account":"é; kinds chat-app }"}`,
			`allow { users "x\" y"; kinds rtc; channels "a {b} #c"; accounts "\u00e9; kinds chat-app }"; roles subscriber }`, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			// With a rule of another identity, so that there is one.
			rules := test.rules
			if test.user != "" && rules == "" {
				rules = "allow none {\nusers nobody\nkinds education-app\n}"
			}
			server, _, logs := watched(t, "dialects docker\n"+rules)
			if got := ask(t, server, asked{user: test.user, path: test.path, body: test.body}); got.status != 403 {
				t.Fatal(got)
			}
			lines := logs.FilterMessage("no token: no rule allows it").All()
			if len(lines) != 1 || lines[0].Level != zapcore.WarnLevel {
				t.Fatalf("%d lines", len(lines))
			}
			fields := lines[0].ContextMap()
			if fields["rule_needed"] != test.needed {
				t.Errorf("needed: %v, want %s", fields["rule_needed"], test.needed)
			}
			if test.nearest != "" && (fields["nearest_rule"] != test.nearest || joined(fields["refused_by"]) != test.refusedBy) {
				t.Errorf("nearest: %v %v", fields["nearest_rule"], fields["refused_by"])
			}
			if _, said := fields["signed_in"]; said != (test.user == "") {
				t.Errorf("signed_in: %v", fields["signed_in"])
			}
			if strings.Contains(test.needed, `\u`) {
				return // a Caddyfile has no such escapes
			}
			rule := strings.NewReplacer("; ", "\n", "allow { ", "allow {\n", " }", "\n}").Replace(test.needed)
			server = serve(t, "dialects docker\n"+rule)
			if got := ask(t, server, asked{user: test.user, path: test.path, body: test.body}); got.status != 200 {
				t.Errorf("with that rule: %v", got)
			}
		})
	}
}

func joined(list any) string {
	var texts []string
	for _, text := range list.([]any) {
		texts = append(texts, text.(string))
	}
	return strings.Join(texts, " ")
}

// Callers must not fill the log.
func TestDenialsDoNotFillTheLog(t *testing.T) {
	server, h, logs := watched(t, "")
	now := time.Now()
	h.denials = newThrottle(func() time.Time { return now })
	lines := func() int { return logs.FilterLevelExact(zapcore.WarnLevel).Len() }
	for range 10 * throttleBurst {
		ask(t, server, asked{body: `{"kind":"rtc","channel":"c","uid":1}`})
		ask(t, server, asked{body: `{}`})
		ask(t, server, asked{header: map[string]string{"Origin": "https://evil.example"}})
	}
	if lines() != throttleBurst {
		t.Fatalf("%d lines, want %d", lines(), throttleBurst)
	}
	now = now.Add(throttleInterval)
	for range 10 {
		ask(t, server, asked{body: `{"kind":"rtc","channel":"c","uid":1}`})
	}
	if lines() != throttleBurst+1 {
		t.Fatalf("%d lines after an interval, want %d", lines(), throttleBurst+1)
	}
	if last := logs.FilterLevelExact(zapcore.WarnLevel).All()[throttleBurst]; last.ContextMap()["skipped_before"] != int64(2*10*throttleBurst-throttleBurst) {
		t.Errorf("skipped: %v", last.ContextMap())
	}
	now = now.Add(-time.Hour) // a clock that is set back
	ask(t, server, asked{body: `{"kind":"rtc","channel":"c","uid":1}`})
	now = now.Add(time.Hour + throttleInterval)
	ask(t, server, asked{body: `{"kind":"rtc","channel":"c","uid":1}`})
	if lines() < throttleBurst+2 {
		t.Error("silent for ever after the clock was set back")
	}
}

// No line has a token in it, at any level.
func TestTokensAreNotLogged(t *testing.T) {
	server, _, logs := watched(t, "dialects docker rtc chat-go chat-java token-service\n"+allowAll)
	tokens := 0
	for _, test := range dialectCases {
		got := ask(t, server, asked{method: test.method, path: test.path, body: test.body, header: map[string]string{"Content-Type": test.contentType}})
		if at := strings.Index(got.body, "007eF4"); at >= 0 {
			tokens++
		}
	}
	if tokens < 20 || logs.FilterMessage("token granted").Len() < tokens {
		t.Fatalf("%d tokens, %d lines", tokens, logs.Len())
	}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, line := range logs.All() {
		text, err := encoder.EncodeEntry(line.Entry, line.Context)
		if err != nil {
			t.Fatal(err)
		}
		if s := text.String(); strings.Contains(s, "007eF") || strings.Contains(s, certificate) {
			t.Error("a line has a token or the certificate in it")
		}
	}
}

func TestWarningsAtLoad(t *testing.T) {
	for _, test := range []struct{ directive, want string }{
		{"", "has no rule"},
		{"allow x {\nchannels *\naccounts *\nwildcards on\n}", "wildcards are on"},
		{"allow x {\nchannels *\naccounts {user}\n}", ""},
	} {
		_, h, logs := watched(t, test.directive)
		h.warn()
		lines := logs.FilterLevelExact(zapcore.WarnLevel).All()
		if test.want == "" && len(lines) > 0 || test.want != "" && (len(lines) != 1 || !strings.Contains(lines[0].Message, test.want)) {
			t.Errorf("%q: %v", test.directive, lines)
		}
	}
}

// A log line of a request that another handler answers is not the token server's.
func TestOtherPathsAreNotLogged(t *testing.T) {
	server, _, logs := watched(t, "")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/elsewhere", nil))
	if logs.Len() > 0 {
		t.Error(logs.All())
	}
}
