package legacy

import (
	"errors"
	"testing"

	"github.com/caddy-convoai/convoai/token"
)

func FuzzParseAccessToken(f *testing.F) {
	for _, v := range readVectors(f, "accesstoken1.json") {
		f.Add(v.Token)
	}
	fuzz(f)
}

func FuzzParseDynamicKey(f *testing.F) {
	for _, v := range readVectors(f, "dynamickeys.json") {
		f.Add(v.Token)
	}
	fuzz(f)
}

func fuzz(f *testing.F) {
	f.Add("")
	f.Add("1:" + appID + ":5:00000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := Parse(s)
		if err != nil {
			if !errors.Is(err, token.ErrNotToken) && !errors.Is(err, token.ErrUnsupportedVersion) && !errors.Is(err, token.ErrCorrupt) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if k, ok := tok.(*DynamicKey); ok && k.Version == 4 {
			k.Service = ServiceMedia
		}
		if err := tok.Verify(certificate); err != nil && !errors.Is(err, token.ErrSignature) {
			t.Fatalf("Verify: %v", err)
		}
		built, err := tok.Sign(certificate)
		if err != nil {
			t.Fatalf("Sign: %v", err)
		}
		again, err := Parse(built)
		if err != nil {
			t.Fatalf("Parse of the rebuilt token: %v", err)
		}
		if again.Format() != tok.Format() || len(built) != len(s) {
			t.Fatalf("rebuilt as %s of %d characters from %s of %d", again.Format(), len(built), tok.Format(), len(s))
		}
		if k, ok := again.(*DynamicKey); ok && k.Version == 4 {
			k.Service = ServiceMedia
		}
		if x, ok := again.(*AccessToken); ok {
			if err := x.Verify(certificate); err != nil {
				t.Fatalf("rebuilt, not valid: %v", err)
			}
		}
	})
}
