package token

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func signed(t testing.TB, channel, account string) (*Token, string) {
	t.Helper()
	tok, err := NewConvoAI(testAppID, channel, account, 3600, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := mustSign(t, tok)
	parsed, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, s
}

func TestParseTellsWhatIsWrong(t *testing.T) {
	_, good := signed(t, "room-1", "1001")
	raw := inflated(t, good)
	with := func(change func(p []byte) []byte) string {
		return compress(t, change(append([]byte(nil), raw...)))
	}
	const services = 34 + 34 + 12 // where the number of services stands
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"empty":            {"", ErrNotToken},
		"short":            {"00", ErrNotToken},
		"JWT":              {"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", ErrNotToken},
		"header form":      {"agora token=" + good, ErrNotToken},
		"space in front":   {" " + good, ErrNotToken},
		"version alone":    {"007", ErrCorrupt},
		"006":              {"006" + testAppID + "IAA", ErrUnsupportedVersion},
		"005":              {"005AQAo", ErrUnsupportedVersion},
		"008":              {"008" + good[3:], ErrUnsupportedVersion},
		"000":              {"000abc", ErrNotToken},
		"signaling":        {"1:" + testAppID + ":1:2", ErrNotToken},
		"not base64":       {"007!!!!", ErrCorrupt},
		"no padding":       {strings.TrimRight(compress(t, append(raw, 1)), "="), ErrCorrupt},
		"line break":       {good[:60] + "\n" + good[60:], ErrCorrupt},
		"carriage return":  {good[:60] + "\r" + good[60:], ErrCorrupt},
		"not zlib":         {"007" + base64.StdEncoding.EncodeToString([]byte("hello, world")), ErrCorrupt},
		"wrong checksum":   {"007" + base64.StdEncoding.EncodeToString(flipLast(t, good)), ErrCorrupt},
		"cut in base64":    {good[:len(good)-4], ErrCorrupt},
		"cut by one":       {good[:len(good)-1], ErrCorrupt},
		"data behind":      {"007" + base64.StdEncoding.EncodeToString(append(decoded(t, good), 0)), ErrCorrupt},
		"empty content":    {compress(t, nil), ErrCorrupt},
		"short signature":  {with(func(p []byte) []byte { p[0] = 31; return p }), ErrCorrupt},
		"long signature":   {with(func(p []byte) []byte { p[0] = 33; return p }), ErrCorrupt},
		"signature of 33":  {with(func(p []byte) []byte { return append([]byte{33, 0, 0}, p[2:]...) }), ErrCorrupt},
		"loose base64":     {looseBase64(t), ErrCorrupt},
		"app ID not hex":   {with(func(p []byte) []byte { p[36] = 'g'; return p }), ErrCorrupt},
		"app ID too short": {with(func(p []byte) []byte { p[34] = 31; return p }), ErrCorrupt},
		"many services":    {with(func(p []byte) []byte { p[services+1] = 0xff; return p }), ErrCorrupt},
		"one service more": {with(func(p []byte) []byte { p[services]++; return p }), ErrCorrupt},
		"many privileges":  {with(func(p []byte) []byte { p[services+2+2+1] = 0xff; return p }), ErrCorrupt},
		"same privilege":   {with(func(p []byte) []byte { p[services+2+2+2] = 2; return p }), ErrCorrupt},
		"long channel":     {with(func(p []byte) []byte { p[services+2+2+2+24+1] = 0xff; return p }), ErrCorrupt},
		"huge":             {"007" + strings.Repeat("A", maxText), ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := Parse(c.token)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if tok != nil {
				t.Error("a token beside the error")
			}
			if strings.Contains(err.Error(), testAppID) || len(c.token) > 8 && strings.Contains(err.Error(), c.token[3:]) {
				t.Error("the error quotes the token")
			}
		})
	}
}

func TestParseRefusesEveryTruncation(t *testing.T) {
	content := inflated(t, mustSign(t, full()))
	for n := range content {
		if _, err := Parse(compress(t, content[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(content), err)
		}
	}
	if _, err := Parse(compress(t, content)); err != nil {
		t.Fatal(err)
	}
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	content := inflated(t, mustSign(t, full()))
	for i := range content {
		changed := append([]byte(nil), content...)
		changed[i] ^= 1
		tok, err := Parse(compress(t, changed))
		if err != nil {
			continue
		}
		if err := tok.Verify(testCertificate); !errors.Is(err, ErrSignature) {
			t.Fatalf("byte %d changed, Verify: %v", i, err)
		}
	}
}

func decoded(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s[len(Version):])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// looseBase64 is a token whose last character has bits set that decode to
// nothing: another string for the same content.
func looseBase64(t testing.TB) string {
	for i := range 9 {
		_, s := signed(t, "room-1", strings.Repeat("1", i+1))
		if strings.HasSuffix(s, "=") && !strings.HasSuffix(s, "==") {
			last := strings.IndexByte(base64Digits, s[len(s)-2])
			return s[:len(s)-2] + base64Digits[last+1:last+2] + "="
		}
	}
	t.Fatal("no token with padding")
	return ""
}

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func flipLast(t testing.TB, s string) []byte {
	b := decoded(t, s)
	b[len(b)-1] ^= 1
	return b
}

func TestPermissionKeysMustDiffer(t *testing.T) {
	for name, old := range map[string][2]string{
		"resources":   {"0400" + "0100" + "0100" + "0100" + "0100" + "75", "0000" + "0100" + "0100" + "0100" + "0100" + "75"},
		"permissions": {"0100" + "62" + "0100" + "0000", "0100" + "62" + "0000" + "0000"},
	} {
		content, err := hex.DecodeString(strings.Replace(fullContent, old[0], old[1], 1))
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(content) == fullContent {
			t.Fatalf("%s: nothing replaced", name)
		}
		if _, err := Parse(encode(t, content, testCertificate, 1, 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	bomb := compress(t, make([]byte, 1<<20))
	parse := func() {
		if _, err := Parse(bomb); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("Parse: %v", err)
		}
	}
	parse()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	parse()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4*MaxPayload {
		t.Errorf("a bomb of 1 MiB takes %d bytes", grown)
	}
	larger := compress(t, make([]byte, 64<<20))
	if _, err := Parse(larger); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Parse: %v", err)
	}
}

func TestSignRefusesWhatTheFormatCannotHold(t *testing.T) {
	const long = 70_000
	many := make([]Privilege, math.MaxUint16+1)
	for i := range many {
		many[i].ID = PrivilegeID(i)
	}
	names := make([]string, math.MaxUint16+1)
	for name, c := range map[string]struct {
		change func(*Token)
		want   error
	}{
		"channel":        {func(tok *Token) { tok.Services[0].Channel = strings.Repeat("c", long) }, ErrTooLarge},
		"account":        {func(tok *Token) { tok.Services[1].Account = strings.Repeat("a", math.MaxUint16+1) }, ErrTooLarge},
		"room":           {func(tok *Token) { tok.Services[6].Room = strings.Repeat("r", long) }, ErrTooLarge},
		"names":          {func(tok *Token) { tok.Services[7].Permissions[0].Permissions[0].Names = names }, ErrTooLarge},
		"name":           {func(tok *Token) { tok.Services[7].Permissions.Add(0, 1, strings.Repeat("n", long)) }, ErrTooLarge},
		"privileges":     {func(tok *Token) { tok.Services[0].Privileges = many }, ErrTooLarge},
		"services":       {func(tok *Token) { tok.Services = make([]Service, maxServices+1) }, ErrTooLarge},
		"unparsed":       {func(tok *Token) { tok.Unparsed.Data = make([]byte, MaxPayload) }, ErrTooLarge},
		"negative":       {func(tok *Token) { tok.Unparsed.Services = -1 }, ErrTooLarge},
		"no service":     {func(tok *Token) { tok.Services = nil }, ErrNoService},
		"app ID":         {func(tok *Token) { tok.AppID = "x" }, ErrAppID},
		"app ID not hex": {func(tok *Token) { tok.AppID = strings.Repeat("g", 32) }, ErrAppID},
		"total": {func(tok *Token) {
			for range 5 {
				tok.Services = append(tok.Services, Service{Type: ServiceRTM, Account: strings.Repeat("a", math.MaxUint16)})
			}
		}, ErrTooLarge},
	} {
		tok := full()
		c.change(tok)
		if s, err := tok.Sign(testCertificate); !errors.Is(err, c.want) || s != "" {
			t.Errorf("%s: %v, %d characters", name, err, len(s))
		}
	}
	for name, change := range map[string]func(*Token){
		"unknown service":  func(tok *Token) { tok.Services[0].Type = 9 },
		"no service type":  func(tok *Token) { tok.Services[0].Type = 0 },
		"privilege twice":  func(tok *Token) { tok.Services[0].Privileges = Privileges{{2, 1}, {1, 1}, {2, 2}} },
		"unsorted twice":   func(tok *Token) { tok.Unsorted = true; tok.Services[0].Privileges = Privileges{{2, 1}, {1, 1}, {2, 2}} },
		"resource twice":   func(tok *Token) { tok.Services[7].Permissions[1].Resource = 0 },
		"permission twice": func(tok *Token) { tok.Services[7].Permissions[0].Permissions[1].Type = 0 },
	} {
		tok := full()
		change(tok)
		if s, err := tok.Sign(testCertificate); err == nil || s != "" {
			t.Errorf("%s: signed", name)
		}
	}
	for _, certificate := range []string{"", "x", testCertificate + "0", strings.Repeat("z", 32)} {
		if _, err := full().Sign(certificate); !errors.Is(err, ErrAppCertificate) {
			t.Errorf("Sign: %v", err)
		}
	}
}

func TestTheLargestContentIsReadBack(t *testing.T) {
	tok := &Token{AppID: testAppID, Expire: 1}
	noise := make([]byte, math.MaxUint16)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for range 3 {
		tok.Services = append(tok.Services, Service{Type: ServiceRTM, Account: string(noise)})
	}
	tok.Services = append(tok.Services, Service{Type: ServiceRTM})
	empty := len(inflated(t, mustSign(t, tok))) - signatureHead
	tok.Services[3].Account = string(noise[:MaxPayload-empty])
	s := mustSign(t, tok)
	parsed, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Verify(testCertificate); err != nil {
		t.Error(err)
	}
	tok.Services[3].Account += "x"
	if _, err := tok.Sign(testCertificate); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestAsManyServicesAsAllowedAreReadBack(t *testing.T) {
	tok := &Token{AppID: testAppID, Services: make([]Service, maxServices)}
	for i := range tok.Services {
		tok.Services[i].Type = ServiceFPA
	}
	s := mustSign(t, tok)
	parsed, err := Parse(s)
	if err != nil || len(parsed.Services) != maxServices {
		t.Fatal(err)
	}
	content := inflated(t, s)[signatureHead:]
	binary.LittleEndian.PutUint16(content[34+12:], maxServices+1)
	content = append(content, 4, 0, 0, 0)
	if _, err := Parse(encode(t, content, testCertificate, 0, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("one service more: %v", err)
	}
}

func TestInflateStopsAtItsLimit(t *testing.T) {
	data := decoded(t, compress(t, make([]byte, 100)))
	var f inflater
	if content, err := f.inflate(data, 100); err != nil || len(content) != 100 {
		t.Errorf("at the limit: %d bytes, %v", len(content), err)
	}
	if _, err := f.inflate(data, 99); !errors.Is(err, errInflatedSize) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestVerifyLooksAtWhatWasParsed(t *testing.T) {
	tok, _ := signed(t, "room-1", "1001")
	tok.IssuedAt, tok.Salt, tok.Services = 1, 2, nil
	if err := tok.Verify(testCertificate); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := tok.Verify("short"); !errors.Is(err, ErrAppCertificate) {
		t.Errorf("Verify with half a certificate: %v", err)
	}
	if err := new(Token).Verify(testCertificate); !errors.Is(err, ErrNotParsed) {
		t.Errorf("Verify of a new token: %v", err)
	}
	// The certificate's characters are the key, so their case counts.
	if err := tok.Verify(strings.ToLower(testCertificate)); !errors.Is(err, ErrSignature) {
		t.Errorf("Verify with the certificate in lower case: %v", err)
	}
}

func TestTimeLimits(t *testing.T) {
	const issued = 1_700_000_000
	for _, c := range []struct {
		expire uint32
		now    time.Time
		want   error
	}{
		{600, time.Unix(issued, 0), nil},
		{600, time.Unix(issued, -1), ErrNotYetValid},
		{600, time.Unix(issued-1, 0), ErrNotYetValid},
		{600, time.Unix(issued+600, -1), nil},
		{600, time.Unix(issued+600, 0), ErrExpired},
		{600, time.Unix(issued+601, 0), ErrExpired},
		{0, time.Unix(issued, 0), ErrExpired},
		{math.MaxUint32, time.Unix(issued+math.MaxUint32, -1), nil},
		{math.MaxUint32, time.Unix(issued+math.MaxUint32, 0), ErrExpired},
	} {
		tok := &Token{IssuedAt: issued, Expire: c.expire}
		if err := tok.CheckTime(c.now); !errors.Is(err, c.want) {
			t.Errorf("lifetime %d at %s: %v, want %v", c.expire, c.now, err, c.want)
		}
	}
	late := &Token{IssuedAt: math.MaxUint32, Expire: math.MaxUint32}
	if got := late.ExpiresAt().Unix(); got != 2*math.MaxUint32 {
		t.Errorf("expires at %d", got)
	}
	if got := late.After(1).Unix(); got != math.MaxUint32+1 {
		t.Errorf("a second later is %d", got)
	}
}

func TestBuildersSetTimeAndSalt(t *testing.T) {
	before := time.Now().Unix()
	salts := make(map[uint32]bool)
	for range 64 {
		tok, _ := signed(t, "room-1", "1001")
		if at := int64(tok.IssuedAt); at < before || at > time.Now().Unix() {
			t.Fatalf("issued at %d", at)
		}
		salts[tok.Salt] = true
	}
	if len(salts) < 60 {
		t.Errorf("%d different salts in 64 tokens", len(salts))
	}
}

func TestSigningIsDeterministicAndConcurrent(t *testing.T) {
	want := make([]string, 32)
	tokens := make([]*Token, len(want))
	for i := range want {
		tokens[i] = full()
		tokens[i].Salt = uint32(i)
		tokens[i].Services[0].Channel = strings.Repeat("x", i*i)
		want[i] = mustSign(t, tokens[i])
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, tok := range tokens {
				s, err := tok.Sign(testCertificate)
				if err != nil || s != want[i] {
					t.Errorf("token %d: another string, %v", i, err)
				}
				parsed, err := Parse(s)
				if err != nil || parsed.Verify(testCertificate) != nil || parsed.Services[0].Channel != tok.Services[0].Channel {
					t.Errorf("token %d: not read back, %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestParsedTokenDoesNotShareBuffers(t *testing.T) {
	first, s := signed(t, "room-1", "1001")
	want := shown(t, first)
	for i := range 8 {
		signed(t, fmt.Sprint("other-", i), "42")
	}
	if got := shown(t, first); got != want {
		t.Errorf("changed to\n%s\nfrom\n%s", got, want)
	}
	if err := first.Verify(testCertificate); err != nil {
		t.Error(err)
	}
	again, err := Parse(s)
	if err != nil || !bytes.Equal([]byte(again.signed), []byte(first.signed)) {
		t.Error("read differently the second time", err)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	_, s := signed(t, "room-1", "1001")
	if n := testing.AllocsPerRun(200, func() {
		tok, err := Parse(s)
		if err != nil || tok.Verify(testCertificate) != nil {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("parse and verify: %v allocations, at most 10", n)
	}
	if n := testing.AllocsPerRun(200, func() { BuildConvoAIToken(testAppID, testCertificate, "room-1", "1001", 3600, 0) }); n > 10 {
		t.Errorf("mint: %v allocations, at most 10", n)
	}
}

func TestServiceReturnsTheFirstOfItsType(t *testing.T) {
	tok := full()
	tok.Services = append(tok.Services, Service{Type: ServiceRTC, Channel: "second"})
	s, ok := tok.Service(ServiceRTC)
	if !ok || s.Channel != "rc" {
		t.Errorf("%t, channel %q", ok, s.Channel)
	}
	s.Channel = "changed"
	if tok.Services[0].Channel != "changed" {
		t.Error("a copy")
	}
	if _, ok := tok.Service(9); ok {
		t.Error("found a service of type 9")
	}
}

func TestConvoAITokenForARandomUid(t *testing.T) {
	tok, err := NewConvoAI(testAppID, "room-1", "0", 3600, 0)
	if err != nil {
		t.Fatal(err)
	}
	rtc, _ := tok.Service(ServiceRTC)
	rtc.Account = ""
	parsed, err := Parse(mustSign(t, tok))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Services[0].Account != "" || parsed.Services[1].Account != "0" {
		t.Errorf("accounts %q and %q", parsed.Services[0].Account, parsed.Services[1].Account)
	}
}

func TestIDsAreThirtyTwoHexadecimalDigits(t *testing.T) {
	for s, want := range map[string]bool{
		testAppID: true, strings.ToLower(testAppID): true, strings.ToUpper(testAppID): true,
		"": false, testAppID[1:]: false, testAppID + "0": false, testAppID[:31] + "g": false, testAppID[:31] + "/": false,
		testAppID[:31] + ":": false, testAppID[:31] + "@": false, testAppID[:31] + "`": false, testAppID[:31] + " ": false, "\x00" + testAppID[1:]: false,
	} {
		if got := ValidID(s); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

func TestSignatureCoversTheHeaderFields(t *testing.T) {
	// The same content signed with a neighbouring time or salt must not verify.
	content := inflated(t, mustSign(t, full()))[signatureHead:]
	at, salt := binary.LittleEndian.Uint32(content[34:]), binary.LittleEndian.Uint32(content[42:])
	for _, c := range []struct {
		at, salt uint32
		want     error
	}{{at, salt, nil}, {at + 1, salt, ErrSignature}, {at, salt + 1, ErrSignature}, {salt, at, ErrSignature}} {
		tok, err := Parse(encode(t, content, testCertificate, c.at, c.salt))
		if err != nil {
			t.Fatal(err)
		}
		if err := tok.Verify(testCertificate); !errors.Is(err, c.want) {
			t.Errorf("signed at %d with salt %d: %v", c.at, c.salt, err)
		}
	}
}
