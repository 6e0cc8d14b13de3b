package token

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

const (
	testAppID        = "970CA35de60c44645bbae8a215061b33"
	testCertificate  = "5CFd2fd1755d40ecb72977518be15d3b"
	otherCertificate = "00000000000000000000000000000000"
)

type vector struct {
	Name           string          `json:"name"`
	Token          string          `json:"token"`
	AppCertificate string          `json:"app_certificate"`
	PayloadHex     string          `json:"payload_hex"`
	Raw            json.RawMessage `json:"-"`
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/accesstoken2.json")
	if err != nil {
		t.Fatal(err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(data, &raws); err != nil {
		t.Fatal(err)
	}
	vectors := make([]vector, len(raws))
	for i, raw := range raws {
		if err := json.Unmarshal(raw, &vectors[i]); err != nil {
			t.Fatal(err)
		}
		vectors[i].Raw = raw
	}
	if len(vectors) < 17 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	return vectors
}

// payload returns what a token string contains, decompressed.
func payload(t testing.TB, s string) []byte {
	t.Helper()
	parsed, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return append(append([]byte{32, 0}, parsed.signature...), parsed.signed...)
}

func TestVectorsAreVerifiedAndRebuilt(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			want, err := hex.DecodeString(v.PayloadHex)
			if err != nil {
				t.Fatal(err)
			}
			if got := payload(t, v.Token); !bytes.Equal(got, want) {
				t.Fatalf("decompressed\n%x\nwant\n%x", got, want)
			}
			parsed, err := Parse(v.Token)
			if err != nil {
				t.Fatal(err)
			}
			if err := parsed.Verify(v.AppCertificate); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if err := parsed.Verify(otherCertificate); !errors.Is(err, ErrSignature) {
				t.Errorf("Verify with another certificate: %v", err)
			}
			again, err := parsed.Sign(v.AppCertificate)
			if err != nil {
				t.Fatal(err)
			}
			if got := payload(t, again); !bytes.Equal(got, want) {
				t.Errorf("rebuilt from what was parsed\n%x\nwant\n%x", got, want)
			}
		})
	}
}

// The vectors list a token's fields in the form of a spec.
func TestVectorsAreBuiltFromTheirFields(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(v.Raw, &fields); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"name", "token", "payload_hex", "signature_valid", "note"} {
				delete(fields, name)
			}
			text, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := ReadSpec(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			built, err := spec.Token.Sign(spec.AppCertificate)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(payload(t, built)); got != v.PayloadHex {
				t.Errorf("built\n%s\nwant\n%s", got, v.PayloadHex)
			}
			parsed, err := Parse(v.Token)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := shown(t, parsed), shown(t, spec.Token); got != want {
				t.Errorf("parsed\n%s\nfields\n%s", got, want)
			}
		})
	}
}

// shown returns everything that a token's exported fields say.
func shown(t testing.TB, tok *Token) string {
	t.Helper()
	text, err := json.Marshal(Spec{Token: tok})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The builders, at the time and with the salt of the vendor's reference.
func TestBuildersMatchTheReference(t *testing.T) {
	account := "2882341273"
	build := map[string]func() (*Token, error){
		"convoai_default":    func() (*Token, error) { return NewConvoAI(testAppID, "room-1", "1001", 86400, 0) },
		"convoai_stop":       func() (*Token, error) { return NewConvoAI(testAppID, "stop", "0", 86400, 86400) },
		"rtc_uid0_publisher": func() (*Token, error) { return NewTokenWithUid(testAppID, "room-1", 0, RolePublisher, 3600, 1800) },
		"rtc_subscriber": func() (*Token, error) {
			return NewTokenWithUserAccount(testAppID, "room-1", account, RoleSubscriber, 3600, 3600)
		},
		"rtm_only":  func() (*Token, error) { return NewRtmToken(testAppID, "test_user", 900) },
		"fpa":       func() (*Token, error) { return NewFpaToken(testAppID) },
		"chat_app":  func() (*Token, error) { return NewChatAppToken(testAppID, 600) },
		"apaas_app": func() (*Token, error) { return NewAppToken(testAppID, 600) },
	}
	found := 0
	for _, v := range readVectors(t) {
		f, ok := build[v.Name]
		if !ok {
			continue
		}
		found++
		t.Run(v.Name, func(t *testing.T) {
			tok, err := f()
			if err != nil {
				t.Fatal(err)
			}
			tok.IssuedAt, tok.Salt = 1700000000, 12345678
			if got := hex.EncodeToString(payload(t, mustSign(t, tok))); got != v.PayloadHex {
				t.Errorf("built\n%s\nwant\n%s", got, v.PayloadHex)
			}
		})
	}
	if found != len(build) {
		t.Errorf("found %d of %d vectors", found, len(build))
	}
}
