package caddymodule

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-convoai/convoai/api"
)

// Nobody can ask for the tokens of a certificate that has been replaced: they
// take no room until others push them out.
func TestTokensOfAReplacedCertificateAreDropped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "certificate")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(testCertificate)
	p, clock := mustProject(t, Credentials{AppID: testAppID, AppCertificate: "{file." + file + "}"})
	other, _ := mustProject(t, Credentials{AppID: otherAppID, AppCertificate: testCertificate})
	other.tokens = p.tokens // all apps share a cache
	get := func(p *project, channel string) {
		t.Helper()
		if _, err := p.authorize(t.Context(), api.Join, api.Session{Channel: channel, Account: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, channel := range []string{"a", "b", "c", "d"} {
		get(p, channel)
		get(other, channel)
	}
	if n := p.tokens.Len(); n != 8 {
		t.Fatalf("%d tokens, want 8", n)
	}
	write(otherAppID + "\n") // of another length, as file systems with coarse times need
	clock.advance(fileCheckInterval)
	get(p, "a")
	if n := p.tokens.Len(); n != 5 {
		t.Errorf("%d tokens, want one of the new certificate and the other app's four", n)
	}
	before := p.tokens.Mints()
	get(other, "d")
	if p.tokens.Mints() != before {
		t.Error("the other app, which has the same certificate, lost its tokens")
	}
}
