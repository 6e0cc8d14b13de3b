package token

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// full has every service with every field, each value another one, so that
// any two that are exchanged or packed in another width show.
func full() *Token {
	return &Token{
		AppID: testAppID, IssuedAt: 0x01020304, Expire: 0x05060708, Salt: 0x090a0b0c,
		Services: []Service{
			{Type: ServiceRTC, Channel: "rc", Account: "ra", Privileges: Privileges{{1, 0x11121314}, {4, 0x15161718}}},
			{Type: ServiceRTM, Account: "ma", Privileges: Privileges{{1, 1}}},
			{Type: ServiceStreaming, Channel: "sc", Account: "sa", Privileges: Privileges{{1, 2}, {2, 3}}},
			{Type: ServiceFPA, Privileges: Privileges{{1, 0}}},
			{Type: ServiceChat, Account: "ca", Privileges: Privileges{{2, 4}}},
			{Type: ServiceFCDN, Channel: "fc", Account: "fa", Privileges: Privileges{{1, 5}, {2, 6}}},
			{Type: ServiceEducation, Room: "er", Account: "ea", Role: -2, Privileges: Privileges{{3, 7}}},
			{Type: ServiceRTM2, Account: "2a", Privileges: Privileges{{1, 8}}, Permissions: Permissions{
				{Resource: 0, Permissions: []Permission{{0, []string{"b", "a", "b"}}, {1, nil}}},
				{Resource: 4, Permissions: []Permission{{1, []string{"u"}}}},
			}},
		},
	}
}

// fullContent is full, packed by hand.
var fullContent = strings.Join([]string{
	"2000" + hex.EncodeToString([]byte(testAppID)), "04030201", "08070605", "0c0b0a09", "0800",
	"0100", "0200", "0100", "14131211", "0400", "18171615", "0200", "7263", "0200", "7261",
	"0200", "0100", "0100", "01000000", "0200", "6d61",
	"0300", "0200", "0100", "02000000", "0200", "03000000", "0200", "7363", "0200", "7361",
	"0400", "0100", "0100", "00000000",
	"0500", "0100", "0200", "04000000", "0200", "6361",
	"0600", "0200", "0100", "05000000", "0200", "06000000", "0200", "6663", "0200", "6661",
	"0700", "0100", "0300", "07000000", "0200", "6572", "0200", "6561", "feff",
	"0800", "0100", "0100", "08000000", "0200", "3261",
	"0200", "0000", "0200", "0000", "0300", "0100", "62", "0100", "61", "0100", "62", "0100", "0000",
	"0400", "0100", "0100", "0100", "0100", "75",
}, "")

// encode makes a token string of content, however wrong, with the standard
// library alone.
func encode(t testing.TB, content []byte, certificate string, issuedAt, salt uint32) string {
	t.Helper()
	mac := func(key, message []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(message)
		return h.Sum(nil)
	}
	k1 := mac(binary.LittleEndian.AppendUint32(nil, issuedAt), []byte(certificate))
	k2 := mac(binary.LittleEndian.AppendUint32(nil, salt), k1)
	return compress(t, append(append([]byte{32, 0}, mac(k2, content)...), content...))
}

func compress(t testing.TB, payload []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(payload)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return Version + base64.StdEncoding.EncodeToString(b.Bytes())
}

// inflated is the payload of a token string, by the standard library alone.
func inflated(t testing.TB, s string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, Version))
	if err != nil {
		t.Fatal(err)
	}
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryFieldIsPackedInItsPlace(t *testing.T) {
	tok := full()
	content, err := hex.DecodeString(fullContent)
	if err != nil {
		t.Fatal(err)
	}
	want := inflated(t, encode(t, content, testCertificate, tok.IssuedAt, tok.Salt))
	s := mustSign(t, tok)
	if got := inflated(t, s); !bytes.Equal(got, want) {
		t.Errorf("packed\n%x\nwant\n%x", got, want)
	}
	parsed, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := shown(t, parsed), shown(t, tok); got != want {
		t.Errorf("parsed\n%s\nwant\n%s", got, want)
	}
	if parsed.Unsorted || len(parsed.Unparsed.Data) > 0 {
		t.Errorf("Unsorted %t, Unparsed %d bytes", parsed.Unsorted, len(parsed.Unparsed.Data))
	}
}

func TestListsArePackedInAscendingOrder(t *testing.T) {
	sorted := full()
	sorted.Services = append(sorted.Services, Service{Type: ServiceRTM2, Account: "second"})
	mixed := full()
	s := mixed.Services
	mixed.Services = []Service{s[7], s[6], s[0], s[5], {Type: ServiceRTM2, Account: "second"}, s[1], s[4], s[2], s[3]}
	mixed.Services[2].Privileges = Privileges{{4, 0x15161718}, {1, 0x11121314}}
	mixed.Services[0].Permissions = Permissions{
		{Resource: 4, Permissions: []Permission{{1, []string{"u"}}}},
		{Resource: 0, Permissions: []Permission{{1, nil}, {0, []string{"b", "a", "b"}}}},
	}
	before := shown(t, mixed)
	if got, want := inflated(t, mustSign(t, mixed)), inflated(t, mustSign(t, sorted)); !bytes.Equal(got, want) {
		t.Errorf("packed\n%x\nwant\n%x", got, want)
	}
	if after := shown(t, mixed); after != before {
		t.Errorf("Sign changed the token:\n%s\n%s", before, after)
	}
}

// Older code in some languages packs in the order of a hash map.
func TestUnsortedTokensAreRebuiltAsTheyWere(t *testing.T) {
	for name, mix := range map[string]func(*Token){
		"services":   func(tok *Token) { s := tok.Services; s[0], s[1] = s[1], s[0] },
		"privileges": func(tok *Token) { p := tok.Services[0].Privileges; p[0], p[1] = p[1], p[0] },
		"resources":  func(tok *Token) { p := tok.Services[7].Permissions; p[0], p[1] = p[1], p[0] },
		"permissions": func(tok *Token) {
			p := tok.Services[7].Permissions[0].Permissions
			p[0], p[1] = p[1], p[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			tok := full()
			mix(tok)
			tok.Unsorted = true
			s := mustSign(t, tok)
			if bytes.Equal(inflated(t, s), inflated(t, mustSign(t, full()))) {
				t.Fatal("packed in ascending order")
			}
			parsed, err := Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			if !parsed.Unsorted {
				t.Error("Unsorted not set")
			}
			if got := mustSign(t, parsed); !bytes.Equal(inflated(t, got), inflated(t, s)) {
				t.Error("rebuilt in another order")
			}
			spec, err := ReadSpec(strings.NewReader(shown(t, parsed)))
			if err != nil {
				t.Fatal(err)
			}
			if got := mustSign(t, spec.Token); !bytes.Equal(inflated(t, got), inflated(t, s)) {
				t.Error("rebuilt from JSON in another order")
			}
		})
	}
}

func TestUnknownServicesSurviveAndVerify(t *testing.T) {
	head, _ := hex.DecodeString(fullContent[:2*(34+12)])
	rtm, _ := hex.DecodeString("020001000100010000000200" + "6d61")
	unknown, _ := hex.DecodeString("0900" + "deadbeef")
	content := bytes.Join([][]byte{head, {3, 0}, rtm, unknown, rtm}, nil)
	s := encode(t, content, testCertificate, 0x01020304, 0x090a0b0c)
	parsed, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Verify(testCertificate); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if len(parsed.Services) != 1 || parsed.Unparsed.Services != 2 || !bytes.Equal(parsed.Unparsed.Data, append(unknown, rtm...)) {
		t.Errorf("%d services, unparsed %d in %x", len(parsed.Services), parsed.Unparsed.Services, parsed.Unparsed.Data)
	}
	if got := mustSign(t, parsed); !bytes.Equal(inflated(t, got), inflated(t, s)) {
		t.Error("not rebuilt")
	}
	spec, err := ReadSpec(strings.NewReader(shown(t, parsed)))
	if err != nil {
		t.Fatal(err)
	}
	if got := mustSign(t, spec.Token); !bytes.Equal(inflated(t, got), inflated(t, s)) {
		t.Error("not rebuilt from JSON")
	}
}

func TestBytesBehindTheServicesSurviveAndVerify(t *testing.T) {
	content, _ := hex.DecodeString(fullContent + "0102")
	s := encode(t, content, testCertificate, 0x01020304, 0x090a0b0c)
	parsed, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Verify(testCertificate); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if got := mustSign(t, parsed); !bytes.Equal(inflated(t, got), inflated(t, s)) {
		t.Error("not rebuilt")
	}
}

func TestHMACIsTheStandardOne(t *testing.T) {
	for size := range 200 {
		key := bytes.Repeat([]byte{byte(size), 7}, 32)[:size%65]
		message := append(make([]byte, sha256.BlockSize), bytes.Repeat([]byte{byte(size)}, size)...)
		h := hmac.New(sha256.New, key)
		h.Write(message[sha256.BlockSize:])
		if got := hmacSHA256(key, message); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Fatalf("other sum for a key of %d and a message of %d bytes", len(key), size)
		}
		if !bytes.Equal(message[:sha256.BlockSize], innerPad[:]) {
			t.Fatal("key material left in the buffer")
		}
	}
}
