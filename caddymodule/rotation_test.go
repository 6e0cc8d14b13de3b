package caddymodule

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
)

// certificateFile is a file with a certificate in it, and a credential that reads
// it.
func certificateFile(t *testing.T, content string) (file string, c Credentials) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "certificate")
	writeTestFile(t, file, content)
	return file, Credentials{AppID: testAppID, AppCertificate: "{file." + file + "}"}
}

func writeTestFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// join returns the credential of a join.
func (p *project) join(t *testing.T, channel string) credential {
	t.Helper()
	c, err := p.authorize(t.Context(), api.Join, api.Session{Channel: channel, Account: "1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustShare(t *testing.T, shared *state, clock *testClock, c Credentials) *project {
	t.Helper()
	p, err := sharingProject(t, shared, clock, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Nobody can ask for the tokens of a certificate that has been replaced: they
// take no room until others push them out.
func TestTokensOfAReplacedCertificateAreDropped(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	clock := newTestClock()
	shared := testState(t, clock)
	p := mustShare(t, shared, clock, c)
	other := mustShare(t, shared, clock, Credentials{AppID: otherAppID, AppCertificate: testCertificate})
	for _, channel := range []string{"a", "b", "c", "d"} {
		p.join(t, channel)
		other.join(t, channel)
	}
	if n := shared.tokens.Len(); n != 8 {
		t.Fatalf("%d tokens, want 8", n)
	}
	writeTestFile(t, file, otherAppID+"\n") // of another length, as file systems with coarse times need
	clock.advance(fileCheckInterval)
	p.join(t, "a")
	if n := shared.tokens.Len(); n != 5 {
		t.Errorf("%d tokens, want one of the new certificate and the other app's four", n)
	}
	before := shared.tokens.Mints()
	other.join(t, "d")
	if shared.tokens.Mints() != before {
		t.Error("the other app, which has the same certificate, lost its tokens")
	}
}

// A certificate that comes back within a moment costs no call.
func TestCertificateThatIsReplacedAndComesBackFailsNoCall(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	p, clock := mustProject(t, c)
	p.join(t, "a")
	for i, content := range []string{otherAppID + "\n", testCertificate + "\n\n", otherAppID + "\n\n\n", testCertificate} {
		writeTestFile(t, file, content)
		clock.advance(fileCheckInterval)
		c := p.join(t, "a")
		if parsed(t, c).Verify(trimEnd(content)) != nil {
			t.Errorf("content %d: signed with another certificate", i)
		}
	}
}

// A site that is still on the old certificate keeps its tokens.
func TestTokensOfACertificateInUseElsewhereAreKept(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	clock := newTestClock()
	shared := testState(t, clock)
	p := mustShare(t, shared, clock, c)
	stays := mustShare(t, shared, clock, withCertificate())
	kept := p.join(t, "a")
	writeTestFile(t, file, otherAppID+"\n")
	clock.advance(fileCheckInterval)
	p.join(t, "a")
	if stays.join(t, "a").minted != kept.minted {
		t.Error("its token was dropped")
	}
	stays.close()
	if n := shared.tokens.Len(); n != 1 {
		t.Errorf("%d tokens, want the one of the new certificate", n)
	}
}

// What a reload leaves out goes, what it keeps stays.
func TestReloadDropsTheTokensOfWhatItLeavesOut(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	both := func(certificate string) (changed, same *project) {
		return mustShare(t, shared, clock, Credentials{AppID: testAppID, AppCertificate: certificate}),
			mustShare(t, shared, clock, Credentials{AppID: otherAppID, AppCertificate: testCertificate})
	}
	changed, same := both(testCertificate)
	changed.join(t, "a")
	kept := same.join(t, "a")
	newChanged, newSame := both(otherAppID)
	changed.close()
	same.close()
	if n := shared.tokens.Len(); n != 1 || newSame.join(t, "a").minted != kept.minted {
		t.Errorf("%d tokens after the reload, want that of the app that has not changed", n)
	}
	if parsed(t, newChanged.join(t, "a")).Verify(otherAppID) != nil {
		t.Error("the new certificate is not used")
	}
	// A straggler of the old configuration leaves nothing behind.
	changed.join(t, "a")
	if n := shared.tokens.Len(); n != 2 {
		t.Errorf("%d tokens, want one of each app", n)
	}
}

// A file that is written twice within the resolution of its times, with contents
// of one size, looks as if it had been written once.
func TestSecondChangeWithinAFilesResolutionIsSeen(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	p, clock := mustProject(t, c)
	clock.set(info.ModTime().Add(time.Second))
	p.join(t, "a")
	writeTestFile(t, file, otherAppID)
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	clock.advance(fileCheckInterval)
	if parsed(t, p.join(t, "a")).Verify(otherAppID) != nil {
		t.Error("the second content was not read")
	}
}

// Each body token is signed with what is configured when it is made.
func TestBodyTokensFollowTheCertificatesFile(t *testing.T) {
	file, c := certificateFile(t, testCertificate)
	p, clock := mustProject(t, c)
	g := testGate(t, clock, p)
	bodyToken := func() *token.Token { return tokenOfBody(t, pass(t, g, joinPath, bareJoin).body) }
	if bodyToken().Verify(testCertificate) != nil {
		t.Error("not signed with the first certificate")
	}
	writeTestFile(t, file, otherAppID+"\n")
	clock.advance(fileCheckInterval)
	if bodyToken().Verify(otherAppID) != nil {
		t.Error("not signed with the second certificate")
	}
}
