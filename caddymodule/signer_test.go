package caddymodule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-convoai/convoai/token"
)

const otherCertificate = "ffffffffffffffffffffffffffffffff"

// signingApp is an app whose tokens can be signed, with a state and a clock of its
// own.
func signingApp(t *testing.T, s Settings) (*App, *testClock) {
	t.Helper()
	clock := newTestClock()
	return &App{Settings: s, state: testState(t, clock), now: clock.now}, clock
}

func mustSigner(t *testing.T, a *App, c Credentials) *TokenSigner {
	t.Helper()
	logger, _ := observed()
	s, err := a.TokenSigner(c, logger)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// handOut signs a token and returns it parsed.
func handOut(t *testing.T, s *TokenSigner) *token.Token {
	t.Helper()
	unsigned, err := token.NewTokenWithUid(s.AppID(), "room", 1, token.RoleSubscriber, 60, 60)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Sign("rtc", unsigned)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestTokenSignerTakesWhatIsLeftOutFromTheDefaults(t *testing.T) {
	pair := func(appID, certificate string) Credentials {
		return Credentials{AppID: appID, AppCertificate: certificate}
	}
	basic := Credentials{AppID: testAppID, CustomerID: "id", CustomerSecret: "secret"}
	both := Settings{Credentials: pair(testAppID, testCertificate), Apps: []Credentials{pair(otherAppID, otherCertificate)}}
	for _, test := range []struct {
		name                   string
		defaults               Settings
		own                    Credentials
		wantAppID, certificate string // "" is an error
	}{
		{"all from the defaults", both, Credentials{}, testAppID, testCertificate},
		{"another app of the defaults", both, Credentials{AppID: otherAppID}, otherAppID, otherCertificate},
		{"first of several apps", Settings{Apps: both.Apps}, Credentials{}, otherAppID, otherCertificate},
		{"own certificate", both, Credentials{AppCertificate: otherCertificate}, testAppID, otherCertificate},
		{"own pair", both, pair(otherAppID, testCertificate), otherAppID, testCertificate},
		{"own pair without defaults", Settings{}, pair(testAppID, testCertificate), testAppID, testCertificate},
		{"own pair beside another mode", Settings{Credentials: basic}, pair(testAppID, testCertificate), testAppID, testCertificate},
		{"certificate beside another mode", Settings{Credentials: Credentials{
			AppID: testAppID, AppCertificate: testCertificate, CustomerID: "id", CustomerSecret: "secret",
		}}, Credentials{}, testAppID, testCertificate},
		{"nothing", Settings{}, Credentials{}, "", ""},
		{"no certificate", Settings{Credentials: basic}, Credentials{}, "", ""},
		{"no certificate of that app", Settings{Credentials: pair(testAppID, testCertificate)}, Credentials{AppID: otherAppID}, "", ""},
		{"app ID that is none", both, Credentials{AppID: "canary", AppCertificate: testCertificate}, "", ""},
		{"certificate that is none", both, Credentials{AppCertificate: "canary"}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			app, _ := signingApp(t, test.defaults)
			logger, _ := observed()
			s, err := app.TokenSigner(test.own, logger)
			if test.wantAppID == "" {
				if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "app_") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			parsed := handOut(t, s)
			if parsed.AppID != test.wantAppID || s.AppID() != test.wantAppID {
				t.Error("signed for another app")
			}
			if err := parsed.Verify(test.certificate); err != nil {
				t.Error(err)
			}
		})
	}
}

// Tokens that are handed out are signed with what the file holds now.
func TestTokenSignerFollowsTheFile(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	app, clock := signingApp(t, Settings{})
	s := mustSigner(t, app, c)
	if err := handOut(t, s).Verify(testCertificate); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, file, otherCertificate+"\n")
	clock.advance(2 * fileCheckInterval)
	if err := handOut(t, s).Verify(otherCertificate); err != nil {
		t.Error(err)
	}
	writeTestFile(t, file, "half a certificate")
	clock.advance(2 * fileCheckInterval)
	if err := handOut(t, s).Verify(otherCertificate); err != nil {
		t.Error(err)
	}
}

// Tokens that are handed out are dated like those of the sidecar's own calls.
func TestTokenSignerGoesByTheVendorsClock(t *testing.T) {
	app, clock := signingApp(t, Settings{})
	s := mustSigner(t, app, withCertificate())
	if !s.Now().Equal(clock.now()) {
		t.Errorf("now is %v, want %v", s.Now(), clock.now())
	}
	logger, _ := observed()
	app.state.clock.adopt(5*time.Minute, clock.now(), logger)
	if want := clock.now().Add(5 * time.Minute); !s.Now().Equal(want) {
		t.Errorf("now is %v, want %v", s.Now(), want)
	}
}

type unsignable struct{ err error }

func (u unsignable) Sign(string) (string, error) { return "", u.err }

// counted is the value of a counter.
func counted(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var metric dto.Metric
	if err := counter.Write(&metric); err != nil {
		t.Fatal(err)
	}
	return metric.GetCounter().GetValue()
}

func TestTokenSignerCounts(t *testing.T) {
	app, _ := signingApp(t, Settings{})
	s := mustSigner(t, app, withCertificate())
	m := app.state.metrics
	handOut(t, s)
	broken := errors.New("broken")
	if _, err := s.Sign("rtc", unsignable{broken}); !errors.Is(err, broken) {
		t.Error(err)
	}
	s.Answered(200, "")
	s.Answered(403, "NotAllowed")
	s.Answered(403, "NotAllowed")
	for name, got := range map[string][2]float64{
		"mints, ok":     {counted(t, m.mints.WithLabelValues("rtc", "ok")), 1},
		"mints, error":  {counted(t, m.mints.WithLabelValues("rtc", "error")), 1},
		"requests, 200": {counted(t, m.requests.WithLabelValues("token", "200")), 1},
		"requests, 403": {counted(t, m.requests.WithLabelValues("token", "403")), 2},
		"rejected":      {counted(t, m.rejected.WithLabelValues("NotAllowed")), 2},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", name, got[0], got[1])
		}
	}
}
