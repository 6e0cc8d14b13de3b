package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

// bareJoin is a join without a token in its body.
func bareJoin(channel string) string {
	return strings.Replace(joinBody(channel, "1"), `"token":"given",`, "", 1)
}

// bodyToken parses properties.token of a body.
func bodyToken(t *testing.T, body string) *token.Token {
	t.Helper()
	_, text, _ := strings.Cut(body, `"token":"`)
	text, _, _ = strings.Cut(text, `"`)
	parsed, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// A host clock that is minutes fast makes tokens from the vendor's future, in
// headers and in bodies. The first refusal says by how much; no call fails.
func TestHostClockThatIsFastFailsNoCall(t *testing.T) {
	vendor, url := newSimulator(t, simulator.Options{
		Projects:        []simulator.Project{{AppID: appA, AppCertificate: certificateA, AppCertificateSecondary: certificateB}},
		FutureTolerance: -1, // none
		VerifyBodyToken: true,
		Skew:            -4 * time.Minute,
		Quota:           -1,
	})
	// The secondary certificate is there to be left alone.
	s := start(t, site(credentialsA, "app_certificate_secondary {env.SECOND}", "upstream "+url, "transport http {\n tls_trust_pool file <CA>\n }"),
		append(envA, "SECOND="+certificateB)...)
	sends := func(body string) []simulator.Call {
		t.Helper()
		vendor.ResetCalls()
		if a := s.send("POST", joinA, body); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return vendor.Calls()
	}
	first := sends(bareJoin("room-1"))
	if len(first) != 2 || first[0].Verdict != simulator.IssuedInTheFuture || first[1].Verdict != simulator.Accepted {
		t.Fatalf("the first call was sent as %v, want a refusal and a success", first)
	}
	if got := first[1].Credential.Token; got.Verify(certificateA) != nil {
		t.Error("signed with the secondary certificate, although the clock explains the refusal")
	}
	if got := bodyToken(t, string(first[1].Body)); got.Verify(certificateA) != nil || got.CheckTime(first[1].Time) != nil {
		t.Error("the token of the body was not made anew by the vendor's clock")
	}
	if calls := sends(bareJoin("room-2")); len(calls) != 1 {
		t.Errorf("a later call was sent %d times", len(calls))
	}
	s.logged("this host's clock differs")
	s.logged("tokens are dated by the vendor's clock")
	if n := strings.Count(s.stderr.String(), "clock differs"); n != 1 {
		t.Errorf("%d warnings of the clock, want 1", n)
	}

	// The host's clock is set right, which is to say: the vendor's agrees. Tokens
	// are dated four minutes back now, which nobody minds; then the clock is wrong
	// the other way round.
	vendor.SetSkew(0)
	room := 100
	waitFor(t, "the log to say that the clocks agree", func() bool { // not within a second of what it said before
		room++
		sends(bareJoin(fmt.Sprint("room-", room)))
		return strings.Contains(s.stderr.String(), "agrees with the upstream's again")
	})
	vendor.SetSkew(-8 * time.Minute)
	if calls := sends(bareJoin("room-5")); len(calls) != 2 {
		t.Errorf("sent %d times after the clock has moved on", len(calls))
	}
}

// What the vendor's Date says is not believed beyond ten minutes.
func TestClockThatIsFarOffIsNotCorrected(t *testing.T) {
	vendor, url := newSimulator(t, simulator.Options{
		Projects:        []simulator.Project{{AppID: appA, AppCertificate: certificateA}},
		FutureTolerance: -1,
		Skew:            -11 * time.Minute,
	})
	s := start(t, site(credentialsA, "upstream "+url, "transport http {\n tls_trust_pool file <CA>\n }"), envA...)
	for i := range 3 {
		if a := s.send("POST", joinA, bareJoin("room-1")); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("call %d: %d %s", i, a.StatusCode, a.body)
		}
	}
	for _, call := range vendor.Calls() {
		if late := time.Since(call.Credential.Token.After(0)); late > time.Minute || late < 0 {
			t.Errorf("a token is dated %s before now", late)
		}
	}
	s.logged("too much to be corrected for")
	if n := strings.Count(s.stderr.String(), "clock differs"); n != 1 {
		t.Errorf("%d warnings of the clock, want 1", n)
	}
}
