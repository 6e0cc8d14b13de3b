package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
	"github.com/caddy-convoai/convoai/token"
)

// testGate is a gate for projects, with their clock.
func testGate(t *testing.T, clock *testClock, projects ...*project) *Gate {
	t.Helper()
	g := &Gate{
		Settings:       Settings{MaxBody: defaultMaxBody},
		checks:         checks,
		projects:       make(map[string]*project),
		defaultProject: projects[0],
		access:         policy(t, nil, nil),
		prefix:         api.PrefixGlobal,
		budget:         defaultFailoverBudget,
		endpoints:      groupOf(t, region.US.Endpoints()),
		warned:         new(atomic.Bool),
		metrics:        projects[0].state.metrics,
		now:            clock.now,
	}
	for _, p := range projects {
		g.projects[p.appID] = p
	}
	var err error
	if g.headers, err = newHeaderPolicy([]string{"Digest", "Content-Digest", "Repr-Digest"}); err != nil {
		t.Fatal(err)
	}
	g.logger, _ = observed()
	return g
}

// passed is what a gate made of a request: what goes upstream, or its answer.
type passed struct {
	*http.Request
	body   string
	answer *httptest.ResponseRecorder
}

// pass sends a request with a body through g.
func pass(t *testing.T, g *Gate, path, body string, headers ...string) passed {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	s := passed{answer: httptest.NewRecorder()}
	err := g.ServeHTTP(s.answer, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		call := callOf(r.Context())
		s.Request = (&attempt{Context: r.Context(), content: call.body}).request(call, r.Header)
		read, err := io.ReadAll(s.Request.Body)
		s.body = string(read)
		again, _ := s.Request.GetBody()
		if repeated, _ := io.ReadAll(again); string(repeated) != s.body {
			t.Error("another body when the call is repeated")
		}
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// headerToken and bodyToken parse the two tokens of a join.
func (s passed) headerToken(t *testing.T) *token.Token {
	t.Helper()
	return mustParse(t, strings.TrimPrefix(s.Header.Get("Authorization"), "agora token="))
}

func (s passed) bodyToken(t *testing.T) (text string, parsed *token.Token) {
	t.Helper()
	var body struct {
		Properties struct{ Token string }
	}
	if err := json.Unmarshal([]byte(s.body), &body); err != nil {
		t.Fatal(err)
	}
	return body.Properties.Token, mustParse(t, body.Properties.Token)
}

func mustParse(t *testing.T, text string) *token.Token {
	t.Helper()
	parsed, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Verify(testCertificate); err != nil {
		t.Fatal(err)
	}
	return parsed
}

const (
	joinPath = "/v2/projects/_/join"
	callPath = "/v2/projects/_/call"
	bareJoin = `{"name":"a","properties":{"channel":"room-1","agent_rtc_uid":"1001"}}`
)

// A body token is a token of its own: as old as its body, never one of the cache.
func TestBodyTokensAreIssuedWhenTheirBodyComes(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	start := clock.now()
	seen := map[string]bool{}
	for _, after := range []time.Duration{0, 0, time.Second, 20 * time.Hour, 50 * time.Hour} {
		clock.set(start.Add(after))
		join := pass(t, g, joinPath, bareJoin)
		text, body := join.bodyToken(t)
		if int64(body.IssuedAt) != clock.now().Unix() || body.Expire != 86400 {
			t.Errorf("after %s: issued %s later, for %d s", after, body.After(0).Sub(start), body.Expire)
		}
		if seen[text] {
			t.Errorf("after %s: a body token was used again", after)
		}
		seen[text] = true
		if join.Header.Get("Authorization") == "agora token="+text {
			t.Errorf("after %s: the header's token is the body's", after)
		}
		if after == 20*time.Hour {
			if header := join.headerToken(t); int64(header.IssuedAt) != start.Unix() {
				t.Errorf("the header's token was issued after %s; the first is good for a day", header.After(0).Sub(start))
			}
		}
	}
}

func TestBodyTokenLivesForExpiresIn(t *testing.T) {
	p, clock := mustProject(t, withCertificate(), func(s *Settings) { s.ExpiresIn = caddy.Duration(90 * time.Minute) })
	_, body := pass(t, testGate(t, clock, p), joinPath, bareJoin).bodyToken(t)
	all := token.Privileges{{ID: token.PrivilegeJoinChannel, Expire: 5400}, {ID: token.PrivilegePublishAudioStream, Expire: 5400}, {ID: token.PrivilegePublishVideoStream, Expire: 5400}, {ID: token.PrivilegePublishDataStream, Expire: 5400}}
	if want := []token.Service{
		{Type: token.ServiceRTC, Channel: "room-1", Account: "1001", Privileges: all},
		{Type: token.ServiceRTM, Account: "1001", Privileges: token.Privileges{{ID: token.PrivilegeLogin, Expire: 5400}}},
	}; body.Expire != 5400 || !reflect.DeepEqual(body.Services, want) {
		t.Errorf("%d s, services %+v, want %+v", body.Expire, body.Services, want)
	}
}

func TestBodyTokenIsForTheAgentOfTheBody(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	for _, test := range []struct{ uid, rtc, rtm string }{
		{`"1001"`, "1001", "1001"}, {`1001`, "1001", "1001"}, {`"agent ä"`, "agent ä", "agent ä"}, {`"00"`, "00", "00"},
		{`"0"`, "", "0"}, {`0`, "", "0"}, {`""`, "", "0"}, {`null`, "", "0"},
	} {
		join := pass(t, g, joinPath, `{"properties":{"channel":"room-1","agent_rtc_uid":`+test.uid+`,"enable_string_uid":true}}`)
		_, body := join.bodyToken(t)
		if rtc, rtm := body.Services[0].Account, body.Services[1].Account; rtc != test.rtc || rtm != test.rtm {
			t.Errorf("uid %s: RTC %q and RTM %q, want %q and %q", test.uid, rtc, rtm, test.rtc, test.rtm)
		}
		// The header's is the agent's account as it is sent, also where it is "0".
		if header := join.headerToken(t); header.Services[0].Account != test.rtm {
			t.Errorf("uid %s: the header is for %q, want %q", test.uid, header.Services[0].Account, test.rtm)
		}
	}
}

// Filling takes the certificate alone, and the mode decides the header alone.
func TestEveryModeFillsWhereThereIsACertificate(t *testing.T) {
	auth := signed(t, testAppID, newTestClock().now())
	off := false
	for _, test := range []struct {
		name   string
		c      Credentials
		change func(*Settings)
		fills  bool
	}{
		{"app credentials", withCertificate(), nil, true},
		{"app credentials, scope app", withCertificate(), func(s *Settings) { s.Scope = scopeApp }, true},
		{"app credentials, switched off", withCertificate(), func(s *Settings) { s.FillTokens = &off }, false},
		{"Basic with a certificate", Credentials{AppID: testAppID, AppCertificate: testCertificate, CustomerID: "me", CustomerSecret: "s"}, nil, true},
		{"Basic", Credentials{AppID: testAppID, CustomerID: "me", CustomerSecret: "s"}, nil, false},
		{"token with a certificate", Credentials{AppID: testAppID, AppCertificate: testCertificate, AuthToken: auth}, nil, true},
		{"token with a certificate, switched off", Credentials{AppID: testAppID, AppCertificate: testCertificate, AuthToken: auth}, func(s *Settings) { s.FillTokens = &off }, false},
		{"token", Credentials{AppID: testAppID, AuthToken: auth}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var changes []func(*Settings)
			if test.change != nil {
				changes = append(changes, test.change)
			}
			p, clock := mustProject(t, test.c, changes...)
			g := testGate(t, clock, p)
			for _, path := range []string{joinPath, callPath} {
				got := pass(t, g, path, bareJoin)
				if filled := got.body != bareJoin; filled != test.fills {
					t.Errorf("%s: filled: %v, want %v", path, filled, test.fills)
				}
				if got.ContentLength != int64(len(got.body)) {
					t.Errorf("%s: Content-Length %d for %d bytes", path, got.ContentLength, len(got.body))
				}
			}
			// What must be read must be readable; what need not be, passes.
			broken := pass(t, g, joinPath, `{"properties":{}}`)
			mustRead := test.fills || p.signsByBody(api.Join)
			if mustRead != (broken.Request == nil) || mustRead != (broken.answer.Code == http.StatusBadRequest) {
				t.Errorf("a join without a channel: %d %s", broken.answer.Code, broken.answer.Body)
			}
			// Nothing else has a body that anyone reads.
			if update := pass(t, g, "/v2/projects/_/agents/a/update", `{"properties":{"token":"`); update.body != `{"properties":{"token":"` {
				t.Errorf("the body of an update became %q", update.body)
			}
		})
	}
}

func TestDigestsOfACompletedBodyAreDropped(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	digests := []string{"Content-Md5", "x", "Digest", "x", "Content-Digest", "x", "Repr-Digest", "x", "Content-Type", "application/json"}
	for _, test := range []struct {
		body string
		want int
	}{{bareJoin, 0}, {strings.Replace(bareJoin, "{", `{"a":0,`, 1), 0}, {`{"properties":{"channel":"c","token":"given"}}`, 4},
		// What is filled in is as long as the null in its place.
		{`{"properties":{"channel":"ab","token":"T","avatar":{"vendor":"generic","params":{"agora_appid":"X","agora_token":"Y","agora_channel":null}}}}`, 0}} {
		got := pass(t, g, joinPath, test.body, digests...)
		n := 0
		for _, name := range digestHeaders {
			n += len(got.Header.Values(name))
		}
		if n != test.want || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d digests were sent, want %d", test.body, n, test.want)
		}
	}
}

// The tokens of two apps share nothing, with equal channels and uids.
func TestEachAppFillsWithItsOwnCertificate(t *testing.T) {
	const otherCertificate = "fedcba9876543210fedcba9876543210"
	first, clock := mustProject(t, withCertificate())
	second, _ := mustProject(t, Credentials{AppID: otherAppID, AppCertificate: otherCertificate})
	g := testGate(t, clock, first, second)
	for _, test := range []struct{ appID, certificate, wrong string }{{testAppID, testCertificate, otherCertificate}, {otherAppID, otherCertificate, testCertificate}} {
		var body struct {
			Properties struct {
				Token  string
				Avatar struct{ Params map[string]string }
			}
			SIP struct {
				Token string `json:"rtc_token"`
			}
		}
		got := pass(t, g, "/v2/projects/"+test.appID+"/call",
			`{"sip":{"rtc_uid":"7"},"properties":{"channel":"room-1","agent_rtc_uid":"1001","avatar":{"vendor":"generic","params":{"agora_uid":"9"}}}}`)
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Fatal(err)
		}
		params := body.Properties.Avatar.Params
		if params["agora_appid"] != test.appID || params["agora_channel"] != "room-1" {
			t.Errorf("avatar of app %s in channel %s", params["agora_appid"], params["agora_channel"])
		}
		for account, text := range map[string]string{"1001": body.Properties.Token, "7": body.SIP.Token, "9": params["agora_token"]} {
			made, err := token.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if made.AppID != test.appID || made.Verify(test.certificate) != nil || made.Verify(test.wrong) == nil ||
				made.Services[0].Channel != "room-1" || made.Services[0].Account != account || made.Services[1].Account != account {
				t.Errorf("the token for %s is %+v of app %s", account, made.Services, made.AppID)
			}
		}
	}
}

func TestUnfilledAppsAreNamedOnce(t *testing.T) {
	on, off := true, false
	basic := func(appID string) Credentials {
		return Credentials{AppID: appID, CustomerID: "me", CustomerSecret: "secret"}
	}
	third := "11111111111111111111111111111111"
	for _, test := range []struct {
		name  string
		gates [][]Credentials
		fill  *bool
		want  [][]string
	}{
		{"certificate", [][]Credentials{{withCertificate()}}, &on, nil},
		{"Basic", [][]Credentials{{basic(testAppID)}}, &on, [][]string{{testAppID}}},
		{"Basic, switched off", [][]Credentials{{basic(testAppID)}}, &off, nil},
		{"two of three", [][]Credentials{{basic(testAppID), {AppID: otherAppID, AppCertificate: testCertificate}, basic(third)}}, &on, [][]string{{testAppID, third}}},
		{"several handlers", [][]Credentials{{basic(testAppID)}, {basic(testAppID)}, {basic(testAppID), basic(third)}}, &on, [][]string{{testAppID}, {third}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := new(App)
			log, logs := observed()
			for _, gate := range test.gates {
				s := Settings{Apps: gate, FillTokens: test.fill}.withDefaults()
				projects := make(map[string]*project)
				for _, c := range gate {
					p, _ := mustProject(t, c, func(settings *Settings) { settings.FillTokens = test.fill })
					projects[p.appID] = p
				}
				a.warnOfUnfilled(projects, s, log)
			}
			var got [][]string
			for _, entry := range logs.All() {
				var ids []string
				for _, id := range entry.ContextMap()["app_ids"].([]any) {
					ids = append(ids, id.(string))
				}
				got = append(got, ids)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("warnings about %v, want %v", got, test.want)
			}
		})
	}
}

// Nothing of a body is in what the gate logs, whatever becomes of it.
func TestBodiesAreNotLogged(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	logger, logs := observed()
	g.logger = logger
	const canary = "canary-93c1"
	for _, body := range []string{
		canary, `{"` + canary + `":`, `{"properties":{"channel":["` + canary + `"]}}`, `{"properties":{"channel":"` + canary + strings.Repeat("x", 64) + `"}}`,
		`{"properties":{"channel":"` + canary + `","agent_rtc_uid":["` + canary + `"]}}`, `{"name":"` + canary + `","properties":{"channel":"` + canary + `"}}`,
	} {
		if got := pass(t, g, joinPath, body); strings.Contains(got.answer.Body.String(), canary) {
			t.Errorf("the answer repeats the body: %s", got.answer.Body)
		}
	}
	if len(logs.All()) == 0 {
		t.Error("nothing was logged")
	}
	for _, entry := range logs.All() {
		context, _ := json.Marshal(entry.ContextMap())
		if strings.Contains(entry.Message+string(context), canary) {
			t.Errorf("logged: %s", entry.Message)
		}
	}
}
