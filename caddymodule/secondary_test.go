package caddymodule

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const secondaryCertificate = "fedcba9876543210fedcba9876543210"

func withSecondary() Credentials {
	return Credentials{AppID: testAppID, AppCertificate: testCertificate, AppCertificateSecondary: secondaryCertificate}
}

func TestOtherCertificateIsUsedOnceTheOneInUseIsRefused(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	core, logs := observed()
	newSite := func() *project {
		t.Helper()
		p, err := newProject(withSecondary(), Settings{}.withDefaults(), shared, core, clock.now)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := newSite()
	v := newVendor(t, clock, testCertificate, secondaryCertificate)
	c := newCaller(t, p, clock, v)
	expect := func(step, certificate string, sends int) {
		t.Helper()
		if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != sends {
			t.Fatalf("%s: %d after %d sends, want 200 after %d", step, status, len(v.sent()), sends)
		}
		last := v.sent()[sends-1]
		if last.token.Verify(certificate) != nil {
			t.Errorf("%s: the header is signed with the other certificate", step)
		}
		if tokenOfBody(t, last.body).Verify(certificate) != nil {
			t.Errorf("%s: the body's token is signed with the other certificate", step)
		}
		if first := v.sent()[0]; strings.Replace(first.body, propertiesToken(first.body), "", 1) != strings.Replace(last.body, propertiesToken(last.body), "", 1) {
			t.Errorf("%s: another body but for the token", step)
		}
	}
	warnings := func() []string {
		var list []string
		for _, entry := range logs.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("certificate that was in use").All() {
			list = append(list, entry.ContextMap()["in_use"].(string)+" of "+entry.ContextMap()["app_id_ends_in"].(string))
		}
		return list
	}
	expect("both are good", testCertificate, 1)
	v.set(func() { v.certificates = []string{secondaryCertificate} })
	expect("the primary is refused", secondaryCertificate, 2)
	expect("the next call", secondaryCertificate, 1)
	if n := shared.tokens.Len(); n != 1 {
		t.Errorf("%d tokens, want that of the one in use", n)
	}
	// Other sites, and the next configuration, know.
	c.gate = testGate(t, clock, newSite())
	c.gate.endpoints = endpoints(t, v.URL)
	p.close()
	expect("after a reload", secondaryCertificate, 1)

	v.set(func() { v.certificates = []string{testCertificate} })
	clock.advance(restMin) // a change at once is not worth another line
	expect("the other way round", testCertificate, 2)
	if got := strings.Join(warnings(), ", "); got != "app_certificate_secondary of 1b33, app_certificate of 1b33" {
		t.Errorf("warned of %q", got)
	}
	for _, entry := range logs.All() {
		line, _ := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(entry.Entry, entry.Context)
		for _, secret := range []string{testCertificate, secondaryCertificate, testAppID} {
			if strings.Contains(strings.ReplaceAll(line.String(), "1b33", ""), secret) {
				t.Error("the log shows a value")
			}
		}
	}
}

func TestBothCertificatesRefused(t *testing.T) {
	p, clock := mustProject(t, withSecondary())
	v := newVendor(t, clock)
	c := newCaller(t, p, clock, v)
	if status := c.call(joinPath, bareJoin); status != 401 || len(v.sent()) != 2 {
		t.Fatalf("%d after %d sends", status, len(v.sent()))
	}
	if sent := v.sent(); sent[0].token.Verify(testCertificate) != nil || sent[1].token.Verify(secondaryCertificate) != nil {
		t.Error("not one send with each")
	}
	mints := p.state.tokens.Mints()
	for i := range 20 {
		if status := c.call(joinPath, bareJoin); status != 401 || len(v.sent()) != 1 {
			t.Errorf("call %d: %d after %d sends", i, status, len(v.sent()))
		}
		if v.sent()[0].token.Verify(testCertificate) != nil {
			t.Errorf("call %d: not signed with the one in use", i)
		}
	}
	if n := p.state.tokens.Mints() - mints; n > 1 {
		t.Errorf("%d tokens were made in the back-off", n)
	}
	// The primary is good after all: found out by the first call.
	v.set(func() { v.certificates = []string{testCertificate} })
	if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != 1 {
		t.Errorf("%d after %d sends", status, len(v.sent()))
	}
	// The secondary is: found out when the back-off is over.
	v.set(func() { v.certificates = []string{secondaryCertificate} })
	clock.advance(restMin)
	if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != 2 {
		t.Errorf("%d after %d sends", status, len(v.sent()))
	}
}

// A refusal that the clock explains says nothing of the certificate; nor does that
// of a token which was dated before the clock was corrected.
func TestClockIsNoReasonToChangeTheCertificate(t *testing.T) {
	p, clock := mustProject(t, withSecondary())
	v := newVendor(t, clock, testCertificate, secondaryCertificate)
	v.ahead = -4 * time.Minute
	c := newCaller(t, p, clock, v)
	early := p.join(t, "early")
	if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != 2 {
		t.Fatalf("%d after %d sends", status, len(v.sent()))
	}
	if v.sent()[1].token.Verify(testCertificate) != nil {
		t.Error("resent with the other certificate")
	}
	fresh, ok := p.replaceRejected(t.Context(), early, seenAt(clock.now(), v.ahead, 0))
	if !ok || fresh.signer != p.signing().signers[primary] || fresh.minted.offset == 0 {
		t.Error("a token of before the correction is not replaced by one of after it")
	}
}

// Where the pair changes, what was learnt of the old one does not count.
func TestNewPairBeginsWithItsPrimary(t *testing.T) {
	file, credentials := certificateFile(t, testCertificate)
	credentials.AppCertificateSecondary = secondaryCertificate
	p, clock := mustProject(t, credentials)
	v := newVendor(t, clock, secondaryCertificate)
	c := newCaller(t, p, clock, v)
	c.call(joinPath, bareJoin)
	if p.signing().inUse() != p.signing().signers[secondary] {
		t.Fatal("the secondary is not in use")
	}
	writeTestFile(t, file, otherAppID+"\n")
	clock.advance(fileCheckInterval)
	v.set(func() { v.certificates = []string{otherAppID} })
	if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) != 1 {
		t.Errorf("%d after %d sends", status, len(v.sent()))
	}
}

func TestSecondaryThatIsThePrimaryIsNone(t *testing.T) {
	credentials := withSecondary()
	credentials.AppCertificateSecondary = testCertificate
	p, clock := mustProject(t, credentials)
	if p.signing().other() != nil {
		t.Error("there is another")
	}
	v := newVendor(t, clock)
	c := newCaller(t, p, clock, v)
	if status := c.call(joinPath, bareJoin); status != 401 || len(v.sent()) != 2 {
		t.Errorf("%d after %d sends", status, len(v.sent()))
	}
}

// Calls that are refused at a time change the certificate once.
func TestManyRefusalsChangeTheCertificateOnce(t *testing.T) {
	p, _ := mustProject(t, withSecondary())
	var refused []credential
	for range 10 {
		refused = append(refused, p.join(t, "room-1"))
	}
	for i, c := range refused {
		fresh, ok := p.replaceRejected(t.Context(), c, sighting{})
		if !ok || fresh.signer != p.signing().signers[secondary] {
			t.Fatalf("call %d is not sent with the secondary", i)
		}
		p.resent(fresh, 200)
		if p.signing().inUse() != p.signing().signers[secondary] {
			t.Fatalf("after call %d the secondary is not in use", i)
		}
	}
}

// While the vendor replaces a certificate, some of its hosts may know one and some
// the other. No call fails for it, and the log is not filled.
func TestHostsThatKnowDifferentCertificates(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	logger, logs := observed()
	p, err := newProject(withSecondary(), Settings{}.withDefaults(), shared, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	v := newVendor(t, clock)
	c := newCaller(t, p, clock, v)
	before := told(logs)
	for i := range 600 {
		v.set(func() { v.certificates = []string{[]string{testCertificate, secondaryCertificate}[i%2]} })
		if status := c.call(joinPath, bareJoin); status != 200 || len(v.sent()) > 2 {
			t.Fatalf("call %d: %d after %d sends", i, status, len(v.sent()))
		}
		clock.advance(100 * time.Millisecond)
	}
	if n := told(logs) - before; n < 2 || n > 7 {
		t.Errorf("%d lines in a minute", n)
	}
}
