package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.Token)
	}
	f.Add(mustSign(f, full()))
	f.Add(compress(f, bytes.Repeat([]byte{0}, 4096)))
	f.Add("007")
	f.Add("006" + testAppID)
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrNotToken) && !errors.Is(err, ErrUnsupportedVersion) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		rebuildable(t, tok)
	})
}

// FuzzParseContent reaches deeper: the compressor and base64 are in the way of
// FuzzParse.
func FuzzParseContent(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(inflated(f, v.Token))
	}
	f.Add(inflated(f, mustSign(f, full())))
	f.Fuzz(func(t *testing.T, content []byte) {
		tok, err := parseContent(string(content))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if len(content) <= MaxPayload {
			rebuildable(t, tok)
		}
	})
}

// rebuildable checks that signing a parsed token again, directly or by way of
// its spec, packs the same content.
func rebuildable(t *testing.T, tok *Token) {
	t.Helper()
	tok.Warnings()
	if err := tok.Verify(testCertificate); err != nil && !errors.Is(err, ErrSignature) {
		t.Fatalf("Verify: %v", err)
	}
	text, err := json.Marshal(Spec{Token: tok})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tok.Sign(testCertificate)
	if len(tok.Services)+tok.Unparsed.Services == 0 {
		if !errors.Is(err, ErrNoService) {
			t.Fatalf("Sign without services: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	again, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse of the rebuilt token: %v", err)
	}
	if again.signed != tok.signed {
		t.Fatalf("rebuilt\n%x\nfrom\n%x", again.signed, tok.signed)
	}
	if len(text) > MaxSpec {
		return
	}
	spec, err := ReadSpec(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("ReadSpec: %v", err)
	}
	if fromSpec, err := spec.Token.Sign(testCertificate); err != nil || fromSpec != s {
		t.Fatalf("from the spec: another token, %v", err)
	}
}

func FuzzReadSpec(f *testing.F) {
	f.Add(`{"version":"007","app_id":"970CA35de60c44645bbae8a215061b33","app_certificate":"5CFd2fd1755d40ecb72977518be15d3b","issued_at":1,"expire":2,"salt":3,"services":[{"type":1,"name":"rtc","privileges":{"1":4},"channel":"c","account":{"hex":"ff"}}]}`)
	f.Add(`{"app_id":"970CA35de60c44645bbae8a215061b33","expire":2,"unsorted":true,"unparsed":{"services":1,"data":"0900"},"services":[{"type":7,"role":-1,"room":"r"},{"name":"rtm2","permissions":{"0":{"1":["a"]}}}]}`)
	f.Add(`{"services":[{"type":1,"privileges":{"1":1,"1":2}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := ReadSpec(strings.NewReader(text))
		if err != nil {
			return
		}
		s, err := spec.Token.Sign(testCertificate)
		if err != nil {
			return
		}
		tok, err := Parse(s)
		if err != nil {
			t.Fatalf("built from a spec, not readable: %v", err)
		}
		rebuildable(t, tok)
	})
}

func FuzzBuildParseBuild(f *testing.F) {
	f.Add(testAppID, uint32(1), uint32(2), uint32(3), uint16(1), uint16(8), "room-1", "1001", int16(-1), uint32(600), "a")
	f.Add(testAppID, uint32(1)<<31, ^uint32(0), uint32(0), uint16(7), uint16(7), "", "\xff", int16(3), uint32(0), "")
	f.Fuzz(func(t *testing.T, id string, issued, expire, salt uint32, first, second uint16, channel, account string, role int16, privilege uint32, name string) {
		tok := &Token{AppID: id, IssuedAt: issued, Expire: expire, Salt: salt}
		for _, st := range []uint16{first, second} {
			s := Service{Type: ServiceType(st), Channel: channel, Account: account, Room: channel, Role: role}
			s.Privileges.Set(PrivilegeID(second), privilege)
			s.Privileges.Set(1, expire)
			s.Permissions.Add(ResourceType(first), PermissionType(second), name, account)
			s.Permissions.Add(ResourceType(second), 0)
			tok.Services = append(tok.Services, s)
		}
		s, err := tok.Sign(testCertificate)
		if err != nil {
			return
		}
		parsed, err := Parse(s)
		if err != nil {
			t.Fatalf("built, not readable: %v", err)
		}
		if err := parsed.Verify(testCertificate); err != nil {
			t.Fatalf("built, not valid: %v", err)
		}
		if again, err := parsed.Sign(testCertificate); err != nil || again != s {
			t.Fatalf("built again: another token, %v", err)
		}
		rebuildable(t, parsed)
	})
}
