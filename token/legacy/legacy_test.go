package legacy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/internal/wire"
)

const (
	appID       = "970CA35de60c44645bbae8a215061b33"
	certificate = "5CFd2fd1755d40ecb72977518be15d3b"
	other       = "00000000000000000000000000000000"
	channel     = "7d72365eb983485397e3e3f9d460bdda"
	account     = "2882341273"
	end         = 1446455471
)

type vector struct {
	Name           string          `json:"name"`
	Token          string          `json:"token"`
	AppID          string          `json:"app_id"`
	AppCertificate string          `json:"app_certificate"`
	Channel        string          `json:"channel"`
	Account        string          `json:"account"`
	IssuedAt       uint32          `json:"issued_at"`
	Salt           uint32          `json:"salt"`
	UID            json.RawMessage `json:"uid"`
	ExpiresAt      uint32          `json:"expires_at"`
	Service        string          `json:"service"`
	AllowUpload    string          `json:"allow_upload"`
	Privileges     map[PrivilegeID]uint32
}

func readVectors(t testing.TB, name string) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 2 {
		t.Fatal("no vectors")
	}
	return list
}

// build makes the token of a vector from its fields.
func (v vector) build(t testing.TB) string {
	t.Helper()
	var uid uint32
	if strings.HasPrefix(v.Name, "dynamic") {
		if err := json.Unmarshal(v.UID, &uid); err != nil {
			t.Fatal(err)
		}
	}
	service, _ := ParseService(v.Service)
	var s string
	var err error
	switch v.Name {
	case "dynamic-key-1":
		s, err = GenerateDynamicKey(v.AppID, v.AppCertificate, v.Channel, v.IssuedAt, v.Salt)
	case "dynamic-key-2":
		s, err = GenerateDynamicKey2(v.AppID, v.AppCertificate, v.Channel, v.IssuedAt, v.Salt, uid, v.ExpiresAt)
	case "dynamic-key-3":
		s, err = GenerateDynamicKey3(v.AppID, v.AppCertificate, v.Channel, v.IssuedAt, v.Salt, uid, v.ExpiresAt)
	case "dynamic-key-4":
		s, err = GenerateDynamicKey4(service, v.AppID, v.AppCertificate, v.Channel, v.IssuedAt, v.Salt, uid, v.ExpiresAt)
	case "dynamic-key-5":
		if service == ServiceInChannelPermission {
			s, err = GenerateInChannelPermissionKey(v.AppID, v.AppCertificate, v.Channel, v.IssuedAt, v.Salt, uid, v.ExpiresAt, v.AllowUpload)
		} else {
			s, err = GenerateDynamicKey5(service, v.AppID, v.AppCertificate, v.Channel, v.IssuedAt, v.Salt, uid, v.ExpiresAt)
		}
	case "signaling":
		s, err = GenerateSignalingToken(v.Account, v.AppID, v.AppCertificate, v.ExpiresAt)
	default:
		var uid string
		if err := json.Unmarshal(v.UID, &uid); err != nil {
			t.Fatal(err)
		}
		tok := NewAccessToken(v.AppID, v.Channel, uid)
		tok.IssuedAt, tok.Salt = v.IssuedAt, v.Salt
		for id, at := range v.Privileges {
			tok.SetPrivilege(id, at)
		}
		s, err = tok.Sign(v.AppCertificate)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// complete sets what the token string leaves out.
func (v vector) complete(t testing.TB, tok Token) {
	t.Helper()
	switch x := tok.(type) {
	case *AccessToken:
		x.Channel = v.Channel
		if err := json.Unmarshal(v.UID, &x.UID); err != nil {
			t.Fatal(err)
		}
	case *DynamicKey:
		x.Channel = v.Channel
		if x.Version >= 4 {
			if err := json.Unmarshal(v.UID, &x.UID); err != nil {
				t.Fatal(err)
			}
		}
		if x.Version == 4 {
			x.Service, _ = ParseService(v.Service)
		}
	case *SignalingToken:
		x.Account = v.Account
	}
}

func allVectors(t testing.TB) []vector {
	return append(append(readVectors(t, "accesstoken1.json"), readVectors(t, "legacy.json")...), readVectors(t, "dynamickeys.json")...)
}

func TestVectorsAreBuiltParsedAndVerified(t *testing.T) {
	formats := make(map[string]int)
	for _, v := range allVectors(t) {
		t.Run(v.Name+" "+v.Service+v.AllowUpload, func(t *testing.T) {
			if got := v.build(t); got != v.Token {
				t.Fatalf("built\n%s\nwant\n%s", got, v.Token)
			}
			tok, err := Parse(v.Token)
			if err != nil {
				t.Fatal(err)
			}
			formats[tok.Format()]++
			if !strings.HasPrefix(v.Name, tok.Format()) {
				t.Errorf("format %s", tok.Format())
			}
			if err := tok.Verify(v.AppCertificate); !errors.Is(err, token.ErrSignature) && tok.Format() != "dynamic-key-4" {
				t.Errorf("Verify without channel: %v", err)
			}
			v.complete(t, tok)
			if err := tok.Verify(v.AppCertificate); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if err := tok.Verify(other); !errors.Is(err, token.ErrSignature) {
				t.Errorf("Verify with another certificate: %v", err)
			}
			if err := tok.Verify("x"); !errors.Is(err, token.ErrAppCertificate) {
				t.Errorf("Verify with half a certificate: %v", err)
			}
			if again, err := tok.Sign(v.AppCertificate); err != nil || again != v.Token {
				t.Errorf("rebuilt\n%s, %v\nwant\n%s", again, err, v.Token)
			}
		})
	}
	if len(formats) != 7 {
		t.Errorf("formats seen: %v", formats)
	}
}

func TestFieldsAreReadFromTheirPlaces(t *testing.T) {
	const at, salt, uid, expires = 0x01020304, 0x05060708, 0x090a0b0c, 0x0d0e0f10
	for version := 1; version <= 5; version++ {
		want := DynamicKey{Version: version, AppID: strings.ToLower(appID), IssuedAt: at, Salt: salt, UID: uid, ExpiresAt: expires, Channel: channel, Service: ServiceRecording}
		s, err := want.Sign(certificate)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDynamicKey(s)
		if err != nil {
			t.Fatal(err)
		}
		got.signature = ""
		want.Channel = ""
		switch version {
		case 1:
			want.UID, want.ExpiresAt, want.Service = 0, 0, 0
		case 2, 3:
			want.Service = 0
		case 4:
			want.UID, want.Service = 0, 0
		case 5:
			want.UID = 0
		}
		if fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Errorf("read %+v\nwant %+v", *got, want)
		}
	}
}

func TestBuildersOf006(t *testing.T) {
	build := func(s string, err error) *AccessToken {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		tok, err := ParseAccessToken(s)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	publisher := fmt.Sprint([]Privilege{{1, end}, {2, end}, {3, end}, {4, end}})
	for role, want := range map[Role]string{
		RoleAttendee: publisher, RolePublisher: publisher, RoleAdmin: publisher,
		RoleSubscriber: fmt.Sprint([]Privilege{{1, end}}), 3: fmt.Sprint([]Privilege{{1, end}}),
	} {
		before := uint32(time.Now().Unix())
		tok := build(BuildTokenWithUserAccount(appID, certificate, channel, account, role, end))
		if got := fmt.Sprint(tok.Privileges); got != want {
			t.Errorf("role %d: %s", role, got)
		}
		if tok.IssuedAt < before+86400 || tok.IssuedAt > uint32(time.Now().Unix())+86400 {
			t.Errorf("ts %d", tok.IssuedAt)
		}
		tok.Channel, tok.UID = channel, account
		if err := tok.Verify(certificate); err != nil {
			t.Error(err)
		}
	}
	tok := build(BuildTokenWithUID(appID, certificate, channel, 2882341273, RolePublisher, end))
	tok.Channel, tok.UID = channel, account
	if err := tok.Verify(certificate); err != nil {
		t.Error(err)
	}
	tok.UID = "other"
	if err := tok.Verify(certificate); !errors.Is(err, token.ErrSignature) || !strings.Contains(err.Error(), "uid") {
		t.Errorf("another uid: %v", err)
	}
	tok.Channel = "other"
	if err := tok.Verify(certificate); !errors.Is(err, token.ErrSignature) || !strings.Contains(err.Error(), "channel") {
		t.Errorf("another channel: %v", err)
	}
	tok = build(BuildTokenWithUID(appID, certificate, channel, 0, RolePublisher, end))
	if tok.Channel, tok.UID = channel, ""; tok.Verify(certificate) != nil {
		t.Error("uid 0 is not the empty one")
	}
	tok = build(BuildTokenWithUserAccount(appID, certificate, channel, "0", RolePublisher, end))
	if tok.Channel, tok.UID = channel, "0"; tok.Verify(certificate) != nil {
		t.Error("the account \"0\" does not stay")
	}
	tok = build(BuildRtmToken(appID, certificate, "test_user", end))
	if tok.Channel = "test_user"; tok.Verify(certificate) != nil || fmt.Sprint(tok.Privileges) != fmt.Sprint([]Privilege{{1000, end}}) {
		t.Errorf("rtm: %v", tok.Privileges)
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	drop := func(_ string, err error) error { return err }
	for name, c := range map[string]struct{ err, want error }{
		"app ID":        {drop(BuildTokenWithUserAccount("x", certificate, "c", "a", 1, 1)), token.ErrAppID},
		"rtm app ID":    {drop(BuildRtmToken("x", certificate, "a", 1)), token.ErrAppID},
		"certificate":   {drop(BuildTokenWithUserAccount(appID, "x", "c", "a", 1, 1)), token.ErrAppCertificate},
		"channel":       {drop(BuildTokenWithUserAccount(appID, certificate, long(64), "a", 1, 1)), token.ErrOutOfRange},
		"account":       {drop(BuildTokenWithUserAccount(appID, certificate, "c", long(256), 1, 1)), token.ErrOutOfRange},
		"rtm user":      {drop(BuildRtmToken(appID, certificate, long(65), 1)), token.ErrOutOfRange},
		"longest":       {drop(BuildTokenWithUserAccount(appID, certificate, long(63), long(255), 1, 1)), nil},
		"longest rtm":   {drop(BuildRtmToken(appID, certificate, long(64), 1)), nil},
		"signaling":     {drop(GenerateSignalingToken("a", "x", certificate, 1)), token.ErrAppID},
		"dynamic key":   {drop(GenerateDynamicKey(appID, "x", "c", 1, 1)), token.ErrAppCertificate},
		"dynamic key 5": {drop(GenerateDynamicKey5(1, appID, certificate, long(65536), 1, 1, 1, 1)), token.ErrTooLarge},
		"extra":         {drop(GenerateInChannelPermissionKey(appID, certificate, "c", 1, 1, 1, 1, long(40000))), token.ErrTooLarge},
		"version 6":     {drop((&DynamicKey{Version: 6, AppID: appID}).Sign(certificate)), token.ErrUnsupportedVersion},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	for _, service := range []Service{0, ServiceInChannelPermission, 5} {
		if _, err := GenerateDynamicKey4(service, appID, certificate, "c", 1, 1, 1, 1); err == nil {
			t.Errorf("DynamicKey 4 for service %d", service)
		}
	}
}

func TestSimpleTokenBuilder(t *testing.T) {
	for role, want := range map[SimpleRole]string{
		SimpleRoleAttendee:   "1 2 3 4",
		SimpleRolePublisher:  "1 2 3 4 5 6 10 11 12",
		SimpleRoleSubscriber: "1 7 8 9",
		SimpleRoleAdmin:      "1 2 3 4 101",
	} {
		b := CreateSimpleTokenBuilder(appID, certificate, channel, 7)
		if err := b.InitPrivileges(role); err != nil {
			t.Fatal(err)
		}
		s, err := b.BuildToken()
		if err != nil {
			t.Fatal(err)
		}
		tok, err := ParseAccessToken(s)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range tok.Privileges {
			got = append(got, fmt.Sprint(uint16(p.ID)))
			if p.ExpiresAt != 0 {
				t.Errorf("privilege %d ends", p.ID)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("role %d: %s", role, got)
		}
		if tok.Channel, tok.UID = channel, "7"; tok.Verify(certificate) != nil {
			t.Error("not valid")
		}
	}
	b := CreateSimpleTokenBuilder2(appID, certificate, channel, account)
	if err := b.InitPrivileges(5); err == nil {
		t.Error("role 5 accepted")
	}
	v := readVectors(t, "accesstoken1.json")[0]
	if err := b.InitTokenBuilder(v.Token); err != nil {
		t.Fatal(err)
	}
	b.SetPrivilege(PrivilegeAdministrateChannel, 5)
	b.RemovePrivilege(PrivilegeAdministrateChannel)
	b.SetPrivilege(PrivilegeJoinChannel, end)
	if s, err := b.BuildToken(); err != nil || s != v.Token {
		t.Errorf("%s, %v", s, err)
	}
	if err := b.InitTokenBuilder("006x"); !errors.Is(err, token.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// content006 is a token of any content behind the app ID.
func content006(b []byte) string {
	return "006" + appID + base64.StdEncoding.EncodeToString(b)
}

func TestParseTellsWhatIsWrong(t *testing.T) {
	v1 := readVectors(t, "legacy.json")[0].Token
	v3 := readVectors(t, "legacy.json")[1].Token
	v4 := readVectors(t, "legacy.json")[2].Token
	v5 := readVectors(t, "legacy.json")[3].Token
	v6 := readVectors(t, "accesstoken1.json")[0].Token
	raw6, _ := base64.StdEncoding.DecodeString(v6[35:])
	raw5, _ := base64.StdEncoding.DecodeString(v5[3:])
	new7, err := token.BuildFpaToken(appID, certificate)
	if err != nil {
		t.Fatal(err)
	}
	head := wire.AppendString(nil, strings.Repeat("s", 32))
	head = append(head, make([]byte, 8)...)
	message := func(b ...byte) string { return content006(wire.AppendString(head, string(b))) }
	key5 := func(b []byte) string { return "005" + base64.StdEncoding.EncodeToString(b) }
	change := func(b []byte, i int, c byte) []byte { b = append([]byte(nil), b...); b[i] = c; return b }
	eight := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"empty":                  {"", token.ErrNotToken},
		"JWT":                    {"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", token.ErrNotToken},
		"90 characters":          {strings.Repeat("z", 90), token.ErrNotToken},
		"upper-case key":         {strings.ToUpper(v1[:40]) + v1[40:], token.ErrNotToken},
		"key 1, no app ID":       {v1[:40] + "z" + v1[41:], token.ErrNotToken},
		"key 1, no time":         {v1[:72] + "x" + v1[73:], token.ErrNotToken},
		"key 1, large time":      {v1[:72] + "9999999999" + v1[82:], token.ErrNotToken},
		"key 1, no salt":         {v1[:89] + "x", token.ErrNotToken},
		"key 1, signed salt":     {v1[:82] + "+" + v1[83:], token.ErrNotToken},
		"key 1, upper-case salt": {v1[:82] + strings.ToUpper(v1[82:]), token.ErrNotToken},
		"key 3, cut":             {v3[:112], token.ErrCorrupt},
		"key 3, no uid":          {v3[:93] + "x" + v3[94:], token.ErrCorrupt},
		"key 3, signed uid":      {v3[:93] + "+" + v3[94:], token.ErrCorrupt},
		"key 4, longer":          {v4 + "0", token.ErrCorrupt},
		"key 4, no expiry":       {v4[:102] + "x", token.ErrCorrupt},
		"key 5, cut":             {v5[:len(v5)-4], token.ErrCorrupt},
		"key 5, not base64":      {v5[:len(v5)-1], token.ErrCorrupt},
		"key 5, line break":      {v5[:40] + "\n" + v5[40:], token.ErrCorrupt},
		"key 5, behind":          {key5(append(raw5, 1)), token.ErrCorrupt},
		"key 5, app ID":          {key5(append(append([]byte{1, 0}, wire.AppendString(wire.AppendString(nil, strings.Repeat("A", 40)), "short")...), make([]byte, 14)...)), token.ErrCorrupt},
		"key 5, signature":       {key5(change(raw5, 4, 'g')), token.ErrCorrupt},
		"key 5, lower case":      {key5(change(raw5, 4, 'a')), token.ErrCorrupt},
		"key 5, extra count":     {key5(change(raw5, len(raw5)-2, 9)), token.ErrCorrupt},
		"key 5, extra twice":     {key5(append(change(raw5, len(raw5)-2, 2), 1, 0, 0, 0, 1, 0, 0, 0)), token.ErrCorrupt},
		"key 5, huge":            {"005" + strings.Repeat("A", maxKey5), token.ErrCorrupt},
		"006 alone":              {"006", token.ErrCorrupt},
		"006, app ID":            {"006z" + v6[4:], token.ErrCorrupt},
		"006, no content":        {v6[:35], token.ErrCorrupt},
		"006, cut":               {v6[:len(v6)-4], token.ErrCorrupt},
		"006, not base64":        {v6[:len(v6)-1], token.ErrCorrupt},
		"006, line break":        {v6[:60] + "\r" + v6[60:], token.ErrCorrupt},
		"006, behind":            {content006(append(raw6, 1)), token.ErrCorrupt},
		"006, signature":         {content006(change(raw6, 0, 31)), token.ErrCorrupt},
		"006, no message":        {message(), token.ErrCorrupt},
		"006, no privilege":      {message(append(eight, 1, 0)...), token.ErrCorrupt},
		"006, many":              {message(append(eight, 255, 255)...), token.ErrCorrupt},
		"006, twice":             {message(append(eight, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0)...), token.ErrCorrupt},
		"006, in message":        {message(append(eight, 0, 0, 0)...), token.ErrCorrupt},
		"006, huge":              {"006" + appID + strings.Repeat("A", maxAccessToken), token.ErrCorrupt},
		"007":                    {new7, token.ErrUnsupportedVersion},
		"007, damaged":           {"007x", token.ErrUnsupportedVersion},
		"008":                    {"008abc", token.ErrUnsupportedVersion},
		"signaling, parts":       {"1:" + appID + ":5", token.ErrCorrupt},
		"signaling, app ID":      {"1:x:5:" + strings.ToLower(appID), token.ErrCorrupt},
		"signaling, expiry":      {"1:" + appID + ":05:" + strings.ToLower(appID), token.ErrCorrupt},
		"signaling, large":       {"1:" + appID + ":4294967296:" + strings.ToLower(appID), token.ErrCorrupt},
		"signaling, digest":      {"1:" + appID + ":5:" + appID, token.ErrCorrupt},
		"signaling, short":       {"1:" + appID + ":5:12", token.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := Parse(c.token)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v (parsed %v)", err, c.want, tok)
			}
		})
	}
	for name, err := range map[string]error{
		"006 from 007":       func() error { _, err := ParseAccessToken(new7); return err }(),
		"key from 007":       func() error { _, err := ParseDynamicKey(new7); return err }(),
		"signaling from 007": func() error { _, err := ParseSignalingToken(new7); return err }(),
	} {
		if !errors.Is(err, token.ErrUnsupportedVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tok := range []Token{&AccessToken{AppID: appID}, &DynamicKey{AppID: appID}, &SignalingToken{AppID: appID}} {
		if err := tok.Verify(certificate); !errors.Is(err, token.ErrNotParsed) {
			t.Errorf("%s, not parsed: %v", tok.Format(), err)
		}
	}
}

func TestEveryChangedCharacterIsNoticed(t *testing.T) {
	for _, v := range allVectors(t) {
		for i := range v.Token {
			c := byte('0')
			if v.Token[i] == c {
				c = '1'
			}
			tok, err := Parse(v.Token[:i] + string(c) + v.Token[i+1:])
			if err != nil {
				continue
			}
			v.complete(t, tok)
			if err := tok.Verify(v.AppCertificate); err == nil {
				t.Errorf("%s: character %d changed and nobody noticed", v.Name, i)
			}
		}
	}
}

func TestPrivilegesOf006KeepTheirOrder(t *testing.T) {
	tok := NewAccessToken(appID, channel, account)
	tok.Privileges = []Privilege{{4, 1}, {1, 2}}
	sorted, err := tok.Sign(certificate)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := ParseAccessToken(sorted); p.Unsorted || p.Privileges[0].ID != 1 {
		t.Error("not sorted")
	}
	tok.Unsorted = true
	mixed, err := tok.Sign(certificate)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParseAccessToken(mixed)
	if err != nil || !p.Unsorted || p.Privileges[0].ID != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	p.Channel, p.UID = channel, account
	if again, err := p.Sign(certificate); err != nil || again != mixed || mixed == sorted {
		t.Error("not rebuilt", err)
	}
	tok.Privileges = []Privilege{{4, 1}, {1, 2}, {4, 1}}
	if _, err := tok.Sign(certificate); err == nil {
		t.Error("a privilege twice")
	}
	tok.Privileges = nil
	for id := range maxPrivileges + 1 {
		tok.Privileges = append(tok.Privileges, Privilege{PrivilegeID(id), 1})
	}
	if _, err := tok.Sign(certificate); !errors.Is(err, token.ErrTooLarge) {
		t.Errorf("%d privileges: %v", len(tok.Privileges), err)
	}
	tok.Privileges = tok.Privileges[1:]
	s, err := tok.Sign(certificate)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ParseAccessToken(s); err != nil || len(p.Privileges) != maxPrivileges {
		t.Errorf("as many as fit: %v", err)
	}
}

func TestTimes(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	two := &AccessToken{Privileges: []Privilege{{1, 10}, {2, 20}, {3, 15}}}
	endless := &AccessToken{Privileges: []Privilege{{1, 10}, {2, 0}}}
	for _, c := range []struct {
		tok  Token
		now  time.Time
		want error
	}{
		{two, at(19), nil}, {two, at(20).Add(-1), nil}, {two, at(20), token.ErrExpired},
		{endless, at(1 << 40), nil},
		{&AccessToken{}, at(1), token.ErrExpired},
		{&DynamicKey{Version: 1}, at(1), nil},
		{&DynamicKey{Version: 3, ExpiresAt: 10}, at(9), nil}, {&DynamicKey{Version: 3, ExpiresAt: 10}, at(10), token.ErrExpired},
		{&SignalingToken{ExpiresAt: 10}, at(9), nil}, {&SignalingToken{ExpiresAt: 10}, at(10), token.ErrExpired},
	} {
		if err := c.tok.CheckTime(c.now); !errors.Is(err, c.want) {
			t.Errorf("%+v at %d: %v", c.tok, c.now.Unix(), err)
		}
	}
	if v, ok := two.ExpiresAt(); v != 20 || !ok {
		t.Error(v, ok)
	}
	if _, ok := endless.ExpiresAt(); ok {
		t.Error("ends")
	}
}

func TestNames(t *testing.T) {
	for s, want := range map[Service]string{1: "media", 2: "recording", 3: "public-sharing", 4: "in-channel-permission", 5: "service-5"} {
		if s.String() != want {
			t.Errorf("%d is %s", s, s)
		}
		if got, err := ParseService(want); s < 5 && (got != s || err != nil) || s == 5 && err == nil {
			t.Errorf("%s is %d, %v", want, got, err)
		}
	}
	if PrivilegeRtmLogin.String() != "rtm login" || PrivilegeID(13).String() != "privilege 13" {
		t.Error(PrivilegeRtmLogin, PrivilegeID(13))
	}
	k := &DynamicKey{Extra: []Extra{{2, "x"}}}
	if _, ok := k.AllowUpload(); ok {
		t.Error("allowed")
	}
	k.Extra = []Extra{{1, "3"}}
	if v, ok := k.AllowUpload(); v != AllowUploadAudioVideo || !ok {
		t.Error(v, ok)
	}
	many := &DynamicKey{Version: 5, AppID: appID, Extra: make([]Extra, maxKey5)}
	for i := range many.Extra {
		many.Extra[i].Key = uint16(i)
	}
	if _, err := many.Sign(certificate); !errors.Is(err, token.ErrTooLarge) {
		t.Error(err)
	}
}

func TestSpecOf006IsReadBack(t *testing.T) {
	for _, v := range readVectors(t, "accesstoken1.json") {
		tok, err := ParseAccessToken(v.Token)
		if err != nil {
			t.Fatal(err)
		}
		tok.Unsorted = true
		text, err := json.Marshal(Spec{Token: tok, AppCertificate: certificate})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"version":"006","app_id":"%s","issued_at":1111111,"salt":1,"privileges":{"1":1446455471},"crc_channel":%d,"crc_uid":%d,"signature":"unchecked","unsorted":true}`, appID, tok.CRCChannel, tok.CRCUid)
		if string(text) != want {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
		added := strings.TrimSuffix(string(text), "}") + fmt.Sprintf(`,"channel":%q,"uid":%s,"app_certificate":%q}`, v.Channel, v.UID, certificate)
		spec, err := ReadSpec(strings.NewReader(added))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := spec.Token.Sign(spec.AppCertificate); err != nil || s != v.Token {
			t.Errorf("%s, %v", s, err)
		}
	}
	if _, err := (Spec{}).MarshalJSON(); err == nil {
		t.Error("a spec without a token was written")
	}
	two, err := json.Marshal(Spec{Token: &AccessToken{AppID: appID, Privileges: []Privilege{{1, 2}, {3, 4}}}, Signature: token.SignatureValid})
	if err != nil || !strings.Contains(string(two), `"privileges":{"1":2,"3":4}`) || !strings.Contains(string(two), `"signature":"valid"`) {
		t.Errorf("%s, %v", two, err)
	}
}

func TestSpecsThatAreRefused(t *testing.T) {
	with := func(more string) string { return `{"app_id":"` + appID + `","privileges":{"1":1}` + more + `}` }
	for name, c := range map[string][2]string{
		"text":             {"x", "not valid JSON"},
		"array":            {"[]", "must be an object"},
		"unknown":          {with(`,"expire":1`), `unknown member "expire"`},
		"version":          {with(`,"version":"007"`), `unsupported token version "007"`},
		"app ID":           {`{"app_id":"x"}`, token.ErrAppID.Error()},
		"no app ID":        {`{"privileges":{}}`, `"app_id" is missing`},
		"no privileges":    {`{"app_id":"` + appID + `"}`, `"privileges" is missing`},
		"certificate":      {with(`,"app_certificate":"x"`), token.ErrAppCertificate.Error()},
		"time":             {with(`,"issued_at":-1`), "issued_at must be"},
		"salt":             {with(`,"salt":"1"`), "salt must be"},
		"channel":          {with(`,"channel":1`), "channel must be a string"},
		"uid":              {with(`,"uid":-1`), "uid must be a string, or a number from 0 to 4294967295"},
		"unsorted":         {with(`,"unsorted":1`), "unsorted must be"},
		"privileges":       {`{"privileges":1}`, "privileges must be an object"},
		"privilege":        {`{"privileges":{"a":1}}`, "privileges: "},
		"privilege value":  {`{"privileges":{"1":-1}}`, "privilege 1 must be"},
		"another channel":  {with(`,"crc_channel":1,"channel":"c"`), `"channel" does not fit`},
		"another uid":      {with(`,"crc_uid":1,"uid":"c"`), `"uid" does not fit`},
		"checksum":         {with(`,"crc_uid":1.5`), "crc_uid must be"},
		"channel checksum": {with(`,"crc_channel":true`), "crc_channel must be"},
	} {
		if spec, err := ReadSpec(strings.NewReader(c[0])); err == nil || !strings.Contains(err.Error(), c[1]) || spec != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for uid, want := range map[string]string{`0`: "", `7`: "7", `"0"`: "0", `"a"`: "a"} {
		spec, err := ReadSpec(strings.NewReader(with(`,"uid":` + uid)))
		if err != nil || spec.Token.UID != want {
			t.Errorf("uid %s: %v", uid, err)
		}
	}
}
