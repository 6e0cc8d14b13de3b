package caddymodule

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/cache"
	"github.com/caddy-convoai/convoai/token"
)

const (
	testAppID       = "970CA35de60c44645bbae8a215061b33"
	testCertificate = "5CFd2fd1755d40ecb72977518be15d3b"
	otherAppID      = "0123456789abcdef0123456789abcdef"
)

// testProject is a project with its own cache and clock.
func testProject(t *testing.T, c Credentials, change ...func(*Settings)) (*project, *testClock, error) {
	t.Helper()
	clock := newTestClock()
	p, err := sharingProject(t, testState(t, clock), clock, c, change...)
	return p, clock, err
}

// testState is a state with a clock of its own.
func testState(t testing.TB, clock *testClock) *state {
	t.Helper()
	shared := newState(cache.Config[tokenKey]{Now: clock.now})
	t.Cleanup(func() { _ = shared.Destruct() })
	return shared
}

// sharingProject is a project that shares its state with others.
func sharingProject(t *testing.T, shared *state, clock *testClock, c Credentials, change ...func(*Settings)) (*project, error) {
	t.Helper()
	s := Settings{}.withDefaults()
	for _, change := range change {
		change(&s)
	}
	logger, _ := observed()
	return newProject(c, s, shared, logger, clock.now)
}

func mustProject(t *testing.T, c Credentials, change ...func(*Settings)) (*project, *testClock) {
	t.Helper()
	p, clock, err := testProject(t, c, change...)
	if err != nil {
		t.Fatal(err)
	}
	return p, clock
}

func withCertificate() Credentials {
	return Credentials{AppID: testAppID, AppCertificate: testCertificate}
}

// signed is a token of an app that was issued at a time and lives for an hour.
func signed(t *testing.T, appID string, issuedAt time.Time) string {
	t.Helper()
	made, err := token.NewConvoAI(appID, "room", "1", 3600, 0)
	if err != nil {
		t.Fatal(err)
	}
	made.IssuedAt = uint32(issuedAt.Unix())
	text, err := made.Sign(testCertificate)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parsed(t *testing.T, c credential) *token.Token {
	t.Helper()
	got, err := token.Parse(c.secret)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestModeFollowsTheVendorsPrecedence(t *testing.T) {
	auth := signed(t, testAppID, newTestClock().now())
	for _, test := range []struct {
		name string
		c    Credentials
		want string
	}{
		{"certificate", withCertificate(), modeApp},
		{"token", Credentials{AppID: testAppID, AuthToken: auth}, modeToken},
		{"token beside a certificate", Credentials{AppID: testAppID, AuthToken: auth, AppCertificate: testCertificate}, modeToken},
		{"Basic", Credentials{AppID: testAppID, CustomerID: "me", CustomerSecret: "s"}, modeBasic},
		{"Basic beside a certificate", Credentials{AppID: testAppID, CustomerID: "me", CustomerSecret: "s", AppCertificate: testCertificate}, modeBasic},
	} {
		if p, _ := mustProject(t, test.c); p.mode != test.want {
			t.Errorf("%s: mode %s, want %s", test.name, p.mode, test.want)
		}
	}
}

func TestCredentialsThatCannotBeAreRefused(t *testing.T) {
	now := newTestClock().now()
	for _, test := range []struct {
		name string
		c    Credentials
		want string
	}{
		{"nothing", Credentials{AppID: testAppID}, "app_certificate, customer_id or auth_token is required"},
		{"no app ID", Credentials{AppCertificate: testCertificate}, "app_id must be 32 hexadecimal digits"},
		{"malformed app ID", Credentials{AppID: "canary", AppCertificate: testCertificate}, "app_id must be 32 hexadecimal digits"},
		{"malformed certificate", Credentials{AppID: testAppID, AppCertificate: "canary"}, "app_certificate must be 32 hexadecimal digits"},
		{"secret missing", Credentials{AppID: testAppID, CustomerID: "canary"}, "customer_secret is required"},
		{"ID missing", Credentials{AppID: testAppID, CustomerSecret: "canary"}, "customer_id is required"},
		{"Basic and token", Credentials{AppID: testAppID, CustomerID: "canary", CustomerSecret: "canary", AuthToken: "canary"}, "mutually exclusive"},
		{"ID with a colon", Credentials{AppID: testAppID, CustomerID: "ca:nary", CustomerSecret: "canary"}, "must not contain a colon"},
		{"ID with a line feed", Credentials{AppID: testAppID, CustomerID: "ca\nnary", CustomerSecret: "canary"}, "printable ASCII"},
		{"secret with a line feed", Credentials{AppID: testAppID, CustomerID: "me", CustomerSecret: "ca\r\nnary"}, "printable ASCII"},
		{"no token", Credentials{AppID: testAppID, AuthToken: "canary"}, "auth_token: "},
		{"token of version 006", Credentials{AppID: testAppID, AuthToken: "006canary"}, "auth_token: "},
		{"token of another app", Credentials{AppID: otherAppID, AuthToken: signed(t, testAppID, now)}, "another app_id"},
		{"app ID in another case", Credentials{AppID: strings.ToLower(testAppID), AuthToken: signed(t, testAppID, now)}, "another app_id"},
	} {
		_, _, err := testProject(t, test.c)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		} else if strings.Contains(err.Error(), "nary") {
			t.Errorf("%s: the error repeats a value", test.name)
		}
	}
}

func TestMintedTokenIsForTheOperation(t *testing.T) {
	session := api.Session{Channel: "room-7", Account: "1001"}
	for _, test := range []struct {
		op               *api.Operation
		scope            string
		channel, account string
	}{
		{api.Join, scopeSession, "room-7", "1001"},
		{api.Call, scopeSession, "room-7", "1001"},
		{api.Leave, scopeSession, "stop", "0"},
		{api.List, scopeSession, "stop", "0"},
		{api.PhoneNumberAdd, scopeSession, "stop", "0"},
		{api.Join, scopeApp, "stop", "0"},
		{api.Call, scopeApp, "stop", "0"},
	} {
		p, clock := mustProject(t, withCertificate(), func(s *Settings) { s.Scope, s.ExpiresIn = test.scope, caddy.Duration(time.Hour) })
		c, err := p.authorize(t.Context(), test.op, session)
		if err != nil {
			t.Fatal(err)
		}
		got := parsed(t, c)
		rtc, _ := got.Service(token.ServiceRTC)
		rtm, _ := got.Service(token.ServiceRTM)
		if rtc == nil || rtm == nil || rtc.Channel != test.channel || rtc.Account != test.account || rtm.Account != test.account {
			t.Errorf("%s with scope %s: for %+v", test.op, test.scope, got.Services)
		}
		if got.Verify(testCertificate) != nil || got.AppID != testAppID || got.Expire != 3600 || got.IssuedAt != uint32(clock.now().Unix()) {
			t.Errorf("%s: app %s, issued at %d for %d s", test.op, got.AppID, got.IssuedAt, got.Expire)
		}
		if c.header != "agora token="+c.secret {
			t.Errorf("%s: the header is not the token's", test.op)
		}
	}
}

func TestPreBuiltTokenIsRefusedFromItsExpiryOn(t *testing.T) {
	clock := newTestClock()
	auth := signed(t, testAppID, clock.now())
	for _, configured := range []string{auth, "agora token=" + auth, `AGORA TOKEN="` + auth + `"`} {
		p, clock := mustProject(t, Credentials{AppID: testAppID, AuthToken: configured})
		clock.advance(time.Hour - 1)
		c, err := p.authorize(t.Context(), api.List, api.Session{})
		if err != nil || c.header != "agora token="+auth || c.minted != nil {
			t.Fatalf("a nanosecond before its expiry: %v", err)
		}
		clock.advance(1)
		if _, err := p.authorize(t.Context(), api.List, api.Session{}); !errors.Is(err, errTokenExpired) {
			t.Errorf("at its expiry: %v", err)
		}
	}
}

func TestExpiredPreBuiltTokenIsWarnedOfAtLoad(t *testing.T) {
	clock := newTestClock()
	logger, logs := observed()
	t.Setenv("CONVOAI_TEST_TOKEN", signed(t, testAppID, clock.now().Add(-time.Hour)))
	if _, err := newProject(Credentials{AppID: testAppID, AuthToken: "{env.CONVOAI_TEST_TOKEN}"}, Settings{}.withDefaults(), testState(t, clock), logger, clock.now); err != nil {
		t.Fatal(err)
	}
	if n := logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

func TestQuotedTokens(t *testing.T) {
	on := true
	quote := func(s *Settings) { s.QuoteToken = &on }
	auth := signed(t, testAppID, newTestClock().now())
	for _, c := range []Credentials{withCertificate(), {AppID: testAppID, AuthToken: auth}} {
		p, _ := mustProject(t, c, quote)
		got, err := p.authorize(t.Context(), api.List, api.Session{})
		if err != nil || got.header != `agora token="`+got.secret+`"` {
			t.Errorf("%s: not quoted, %v", p.mode, err)
		}
	}
}

func TestBasicCredential(t *testing.T) {
	p, _ := mustProject(t, Credentials{AppID: testAppID, CustomerID: "me", CustomerSecret: "a:b c"})
	c, err := p.authorize(t.Context(), api.Join, api.Session{})
	if err != nil || c.header != "Basic "+base64.StdEncoding.EncodeToString([]byte("me:a:b c")) || c.minted != nil {
		t.Errorf("not the configured credential, %v", err)
	}
}

func TestOnlyMintedTokensAreReplacedWhenRefused(t *testing.T) {
	p, _ := mustProject(t, withCertificate())
	first, err := p.authorize(t.Context(), api.List, api.Session{})
	if err != nil {
		t.Fatal(err)
	}
	second, ok := p.replaceRejected(t.Context(), first, sighting{})
	if !ok || second.secret == first.secret || parsed(t, second).Verify(testCertificate) != nil {
		t.Fatal("the refused token was not replaced")
	}
	// Another call that was sent with the old one gets the same new one.
	if again, ok := p.replaceRejected(t.Context(), first, sighting{}); !ok || again.secret != second.secret {
		t.Error("a second refusal of the old token made another")
	}
	if _, ok := p.replaceRejected(t.Context(), second, sighting{}); ok {
		t.Error("a token that was refused at once again was replaced within the back-off")
	}
	for _, c := range []Credentials{
		{AppID: testAppID, CustomerID: "me", CustomerSecret: "s", AppCertificate: testCertificate},
		{AppID: testAppID, AuthToken: signed(t, testAppID, newTestClock().now()), AppCertificate: testCertificate},
	} {
		p, _ := mustProject(t, c)
		got, err := p.authorize(t.Context(), api.List, api.Session{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.replaceRejected(t.Context(), got, sighting{}); ok {
			t.Errorf("%s: a credential that is not ours to make was replaced", p.mode)
		}
	}
}

func TestReplacedCertificateSignsTheNextToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "certificate")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(testCertificate)
	p, clock := mustProject(t, Credentials{AppID: testAppID, AppCertificate: "{file." + file + "}"})
	get := func() credential {
		t.Helper()
		c, err := p.authorize(t.Context(), api.List, api.Session{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := get()
	write(otherAppID)
	clock.advance(fileCheckInterval)
	fresh := get()
	if fresh.secret == old.secret || parsed(t, fresh).Verify(otherAppID) != nil {
		t.Error("not signed with the new certificate")
	}
	if fresh.key.signer == old.key.signer {
		t.Error("kept by the same key as the tokens of the old certificate")
	}
}

func TestCallerToken(t *testing.T) {
	site := func(s *Settings) { s.CallerToken = "site" }
	own := withCertificate()
	own.CallerToken = "own"
	for _, test := range []struct {
		c      Credentials
		change []func(*Settings)
		given  string
		want   bool
	}{
		{withCertificate(), nil, "", true},
		{withCertificate(), nil, "anything", true},
		{withCertificate(), []func(*Settings){site}, "site", true},
		{withCertificate(), []func(*Settings){site}, "", false},
		{withCertificate(), []func(*Settings){site}, "Site", false},
		{withCertificate(), []func(*Settings){site}, "site ", false},
		{own, []func(*Settings){site}, "own", true},
		{own, []func(*Settings){site}, "site", false},
	} {
		p, _ := mustProject(t, test.c, test.change...)
		if got := p.callerMay(test.given); got != test.want {
			t.Errorf("a caller with %q may: %t", test.given, got)
		}
	}
}

// A mode that a directive names replaces the global one as a whole.
func TestModesOfDirectiveAndGlobalOptionDoNotMix(t *testing.T) {
	basic := Credentials{AppID: testAppID, AppCertificate: testCertificate, CustomerID: "me", CustomerSecret: "global"}
	for _, test := range []struct {
		name             string
		own, global, get Credentials
	}{
		{"nothing of its own", Credentials{}, basic, basic},
		{"a token over Basic", Credentials{AuthToken: "t"}, basic, Credentials{AppID: testAppID, AppCertificate: testCertificate, AuthToken: "t"}},
		{"Basic over a token", Credentials{CustomerID: "me", CustomerSecret: "own"}, Credentials{AppID: testAppID, AuthToken: "t"}, Credentials{AppID: testAppID, CustomerID: "me", CustomerSecret: "own"}},
		{"another customer", Credentials{CustomerID: "you", CustomerSecret: "own"}, basic, Credentials{AppID: testAppID, AppCertificate: testCertificate, CustomerID: "you", CustomerSecret: "own"}},
		{"half a customer", Credentials{CustomerID: "you"}, basic, Credentials{AppID: testAppID, AppCertificate: testCertificate, CustomerID: "you"}},
		{"a certificate over a pair", Credentials{AppCertificate: "own"}, withSecondary(), Credentials{AppID: testAppID, AppCertificate: "own"}},
		{"nothing over a pair", Credentials{}, withSecondary(), withSecondary()},
		{"half a pair", Credentials{AppCertificateSecondary: "own"}, withSecondary(), Credentials{AppID: testAppID, AppCertificateSecondary: "own"}},
		{"another app", Credentials{AppID: otherAppID, AppCertificate: "own"}, basic, Credentials{AppID: otherAppID, AppCertificate: "own"}},
		{"another app without a credential", Credentials{AppID: otherAppID}, basic, Credentials{AppID: otherAppID}},
	} {
		s := Settings{Credentials: test.own}.over(Settings{Credentials: test.global})
		if s.Credentials != test.get {
			t.Errorf("%s: the settings are those of something else", test.name)
		}
	}
}

func TestAppsOfADirectiveReplaceTheGlobalOnes(t *testing.T) {
	global := Settings{Credentials: Credentials{AppID: testAppID, AppCertificate: "g"}, Apps: []Credentials{{AppID: otherAppID, AppCertificate: "g"}}}
	if got := (Settings{}).over(global).apps(); len(got) != 2 {
		t.Errorf("a directive without apps has %d, want the global 2", len(got))
	}
	own := Settings{Apps: []Credentials{{AppID: otherAppID, AppCertificate: "own"}}}
	if got := own.over(global).apps(); len(got) != 1 || got[0].AppCertificate != "own" {
		t.Errorf("a directive with an app has %d apps", len(got))
	}
	own = Settings{Credentials: Credentials{AppID: otherAppID, AppCertificate: "own"}}
	if got := own.over(global).apps(); len(got) != 1 || got[0].AppID != otherAppID {
		t.Errorf("a directive with an app_id has %d apps", len(got))
	}
}
