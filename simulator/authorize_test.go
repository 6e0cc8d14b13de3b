package simulator_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/AgoraIO-Community/go-tokenbuilder/rtctokenbuilder2"
	"github.com/AgoraIO-Community/go-tokenbuilder/rtmtokenbuilder2"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestCredentialsAreJudged(t *testing.T) {
	const unauthorized, invalid = `{"message":"Unauthorized"}`, `{"message":"Invalid authentication credentials"}`
	at := func(d time.Duration) func(*token.Token) {
		return func(t *token.Token) { t.IssuedAt = uint32(start.Add(d).Unix()) }
	}
	b := newBench(t, simulator.Options{})
	secondary := one
	secondary.AppCertificate = one.AppCertificateSecondary
	forged := one
	forged.AppCertificate = two.AppCertificate
	valid := b.token(one, nil)
	tests := []struct {
		name          string
		authorization []string
		verdict       simulator.Verdict
		status        int
		body          string // "" if accepted
	}{
		{"none", nil, simulator.NoCredential, 401, unauthorized},
		{"empty", []string{""}, simulator.NoCredential, 401, unauthorized},
		{"two", []string{"agora token=" + valid, "agora token=" + valid}, simulator.SeveralValues, 401, invalid},
		{"an empty one first", []string{"", "agora token=" + valid}, simulator.SeveralValues, 401, invalid},
		{"two in one", []string{"agora token=" + valid + ", agora token=" + valid}, simulator.MalformedToken, 401, invalid},
		{"bearer", []string{"Bearer " + valid}, simulator.UnknownScheme, 401, invalid},
		{"bare token", []string{valid}, simulator.UnknownScheme, 401, invalid},
		{"other spelling", []string{"Agora token=" + valid}, simulator.UnknownScheme, 401, invalid},

		{"token", []string{"agora token=" + valid}, simulator.Accepted, 200, ""},
		{"quoted token", []string{`agora token="` + valid + `"`}, simulator.Accepted, 200, ""},
		{"half-quoted token", []string{`agora token="` + valid}, simulator.MalformedToken, 401, invalid},
		{"token half-quoted at the end", []string{"agora token=" + valid + `"`}, simulator.MalformedToken, 401, invalid},
		{"single quotes", []string{"agora token='" + valid + "'"}, simulator.MalformedToken, 401, invalid},
		{"no token behind the scheme", []string{"agora token="}, simulator.MalformedToken, 401, invalid},
		{"only a quote", []string{`agora token="`}, simulator.MalformedToken, 401, invalid},
		{"cut short", []string{"agora token=" + valid[:len(valid)-8]}, simulator.MalformedToken, 401, invalid},
		{"version 006", []string{"agora token=006" + valid[3:]}, simulator.MalformedToken, 401, invalid},

		{"secondary certificate", []string{"agora token=" + b.token(secondary, nil)}, simulator.Accepted, 200, ""},
		{"forged", []string{"agora token=" + b.token(forged, nil)}, simulator.WrongSignature, 401, invalid},
		{"for another app", []string{"agora token=" + b.token(two, nil)}, simulator.OtherProject, 401, invalid},
		{"app ID in another case", []string{"agora token=" + b.token(one, func(t *token.Token) { t.AppID = strings.ToLower(t.AppID) })}, simulator.OtherProject, 401, invalid},

		{"last second", []string{"agora token=" + b.token(one, at(-3599*time.Second))}, simulator.Accepted, 200, ""},
		{"expired now", []string{"agora token=" + b.token(one, at(-3600*time.Second))}, simulator.Expired, 401, invalid},
		{"lives longer than a day", []string{"agora token=" + b.token(one, func(t *token.Token) { at(-24 * time.Hour)(t); t.Expire = 1e6 })}, simulator.Expired, 401, invalid},
		{"just within a day", []string{"agora token=" + b.token(one, func(t *token.Token) { at(-24*time.Hour + time.Second)(t); t.Expire = 1e6 })}, simulator.Accepted, 200, ""},
		{"a minute in the future", []string{"agora token=" + b.token(one, at(time.Minute))}, simulator.Accepted, 200, ""},
		{"more in the future", []string{"agora token=" + b.token(one, at(61*time.Second))}, simulator.IssuedInTheFuture, 401, invalid},

		{"without RTC", []string{"agora token=" + b.token(one, func(t *token.Token) { t.Services = t.Services[1:] })}, simulator.NoRTC, 401, invalid},
		{"without RTM", []string{"agora token=" + b.token(one, func(t *token.Token) { t.Services = t.Services[:1] })}, simulator.Accepted, 200, ""},
		{"for another channel", []string{"agora token=" + b.token(one, func(t *token.Token) { t.Services[0].Channel = "stop" })}, simulator.Accepted, 200, ""},

		{"basic", []string{basic(one.CustomerID, one.CustomerSecret)}, simulator.Accepted, 200, ""},
		{"basic in lower case", []string{"basic" + basic(one.CustomerID, one.CustomerSecret)[5:]}, simulator.Accepted, 200, ""},
		{"basic with a wrong secret", []string{basic(one.CustomerID, "test:secret")}, simulator.WrongCustomer, 401, invalid},
		{"basic with a wrong ID", []string{basic("customer-two", one.CustomerSecret)}, simulator.WrongCustomer, 401, invalid},
		{"basic without ID and secret", []string{basic("", "")}, simulator.WrongCustomer, 401, invalid},
		{"basic that is not base64", []string{"Basic %%%"}, simulator.MalformedBasic, 401, invalid},
		{"basic without colon", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("customer-one"))}, simulator.MalformedBasic, 401, invalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b.ResetCalls()
			got := b.send("GET", api.PrefixGlobal+"/v2/projects/"+one.AppID+"/agents", "", test.authorization...)
			calls := b.Calls()
			if got.status != test.status || len(calls) != 1 || calls[0].Verdict != test.verdict {
				t.Fatalf("answer %d, calls %v; want %d, verdict %q", got.status, calls, test.status, test.verdict)
			}
			if test.body != "" && got.text != test.body {
				t.Errorf("body %s, want %s", got.text, test.body)
			}
		})
	}
}

func TestPhoneNumbersTakeAnyAppOfTheAccount(t *testing.T) {
	b := newBench(t, simulator.Options{})
	b.authorization = "agora token=" + b.token(two, nil)
	b.call("GET", "/v2/phone-numbers", "").want(200, "")
	unknown := two
	unknown.AppID = "33333333333333333333333333333333"
	b.authorization = "agora token=" + b.token(unknown, nil)
	b.call("GET", "/v2/phone-numbers", "").want(401, "")
	if got := b.Calls()[1].Verdict; got != simulator.UnknownProject {
		t.Errorf("verdict %q", got)
	}
}

func TestCustomerOfAnotherAppIsForbidden(t *testing.T) {
	b := newBench(t, simulator.Options{})
	for _, appID := range []string{two.AppID, "_", "33333333333333333333333333333333"} {
		b.send("GET", api.PrefixGlobal+"/v2/projects/"+appID+"/agents", "", basic(one.CustomerID, one.CustomerSecret)).want(403, api.ReasonInvalidPermission)
	}
}

func TestTokenOfAProjectWithoutCertificateIsRefused(t *testing.T) {
	onlyBasic := simulator.Project{AppID: one.AppID, CustomerID: "c", CustomerSecret: "s"}
	b := newBench(t, simulator.Options{Projects: []simulator.Project{onlyBasic}})
	b.call("GET", "/v2/projects/{appid}/agents", "").want(401, "")
	b.authorization = basic("c", "s")
	b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
}

func TestRequireRTMRefusesTokensWithoutIt(t *testing.T) {
	b := newBench(t, simulator.Options{RequireRTM: true})
	b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
	b.authorization = "agora token=" + b.token(one, func(t *token.Token) { t.Services = t.Services[:1] })
	b.call("GET", "/v2/projects/{appid}/agents", "").want(401, "")
	if got := b.Calls()[1].Verdict; got != simulator.NoRTM {
		t.Errorf("verdict %q", got)
	}
	b.authorization = basic(one.CustomerID, one.CustomerSecret)
	b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
}

func TestFutureToleranceCanBeTakenAway(t *testing.T) {
	b := newBench(t, simulator.Options{FutureTolerance: -1})
	b.authorization = "agora token=" + b.token(one, func(t *token.Token) { t.IssuedAt++ })
	b.call("GET", "/v2/projects/{appid}/agents", "").want(401, "")
	b.advance(time.Second)
	b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
}

func TestSkewedClockJudgesTokens(t *testing.T) {
	b := newBench(t, simulator.Options{Skew: -5 * time.Minute})
	got := b.call("GET", "/v2/projects/{appid}/agents", "").want(401, "")
	// What a client learns from Date lets it date a token that is accepted.
	date, err := time.Parse(time.RFC1123, got.header.Get("Date"))
	if err != nil {
		t.Fatal(err)
	}
	b.authorization = "agora token=" + b.token(one, func(t *token.Token) { t.IssuedAt = uint32(date.Unix()) })
	b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
	b.SetSkew(2 * time.Hour)
	b.call("GET", "/v2/projects/{appid}/agents", "").want(401, "")
}

func TestRenewedCertificateRefusesOldTokens(t *testing.T) {
	b := newBench(t, simulator.Options{})
	id := b.join("a", "room-1")
	renewed := one
	renewed.AppCertificate, renewed.AppCertificateSecondary = "44444444444444444444444444444444", ""
	if err := b.SetProjects(renewed); err != nil {
		t.Fatal(err)
	}
	b.call("GET", agentPath(id, ""), "").want(401, "")
	b.authorization = "agora token=" + b.token(renewed, nil)
	b.call("GET", agentPath(id, ""), "").want(200, "")
	if b.SetProjects(simulator.Project{}) == nil {
		t.Error("a project without app ID is accepted")
	}
	b.call("GET", agentPath(id, ""), "").want(200, "")
}

// The vendor's own builder, so that not only our tokens are tried on our parser.
func TestTokensOfTheVendorsBuilderAreJudged(t *testing.T) {
	b := newBench(t, simulator.Options{Now: time.Now, RequireRTM: true})
	must := func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	publisher := rtctokenbuilder2.Role(rtctokenbuilder2.RolePublisher)
	tests := []struct {
		name, token string
		verdict     simulator.Verdict
	}{
		{"RTC and RTM", must(rtctokenbuilder2.BuildTokenWithRtm(one.AppID, one.AppCertificate, "room-1", "1001", publisher, 3600, 3600)), simulator.Accepted},
		{"for stop", must(rtctokenbuilder2.BuildTokenWithRtm(one.AppID, one.AppCertificate, "stop", "0", publisher, 86400, 86400)), simulator.Accepted},
		{"RTC alone", must(rtctokenbuilder2.BuildTokenWithUid(one.AppID, one.AppCertificate, "room-1", 1001, publisher, 3600, 3600)), simulator.NoRTM},
		{"RTM alone", must(rtmtokenbuilder2.BuildToken(one.AppID, one.AppCertificate, "1001", 3600)), simulator.NoRTC},
		{"other certificate", must(rtctokenbuilder2.BuildTokenWithRtm(one.AppID, two.AppCertificate, "room-1", "1001", publisher, 3600, 3600)), simulator.WrongSignature},
		{"other app", must(rtctokenbuilder2.BuildTokenWithRtm(two.AppID, two.AppCertificate, "room-1", "1001", publisher, 3600, 3600)), simulator.OtherProject},
		{"expired", must(rtctokenbuilder2.BuildTokenWithRtm(one.AppID, one.AppCertificate, "room-1", "1001", publisher, 0, 0)), simulator.Expired},
	}
	for _, test := range tests {
		b.ResetCalls()
		b.authorization = "agora token=" + test.token
		b.call("GET", "/v2/projects/{appid}/agents", "")
		if got := b.Calls()[0].Verdict; got != test.verdict {
			t.Errorf("%s: verdict %q, want %q", test.name, got, test.verdict)
		}
	}
}
