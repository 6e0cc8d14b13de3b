//lint:file-ignore SA1019 Tokens of the 006 age are deprecated, and some clients know no others.

package tokenserver

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// allowAll grants every kind, to find out what is minted.
var allowAll = "allow all {\nkinds " + strings.ReplaceAll(kindNames, ",", "") + "\nchannels *\naccounts *\nwildcards on\nroles publisher subscriber\nmax_expire 24h\n}"

func TestNativeTokens(t *testing.T) {
	server := serve(t, allowAll)
	for _, test := range []struct {
		body, kinds, channel, account, want string
	}{
		{`{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher","expire":600}`, "rtc", "room-7", "42",
			`600 [{"type":1,"name":"rtc","privileges":{"1":600,"2":600,"3":600,"4":600},"channel":"room-7","account":"42"}]`},
		{`{"kind":"rtc","channel":"room-7","uid":42,"role":"subscriber"}`, "rtc", "room-7", "42",
			`3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"room-7","account":"42"}]`},
		{`{"kinds":["rtc"],"channel":"room-7","account":"42","expire":0}`, "rtc", "room-7", "42",
			`3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"room-7","account":"42"}]`},
		{`{"kind":"rtc","channel":"room-7","uid":4294967295,"expire":4294967295}`, "rtc", "room-7", "4294967295",
			`86400 [{"type":1,"name":"rtc","privileges":{"1":86400},"channel":"room-7","account":"4294967295"}]`},
		{`{"kind":"rtc","channel":"*","uid":0}`, "rtc", "*", "",
			`3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"*","account":""}]`},
		{`{"kind":"rtc","channel":"","account":"0"}`, "rtc", "", "0",
			`3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"","account":"0"}]`},
		{`{"kind":"rtc","channel":"a~b |","account":"j\u00f6rg \ud83d\ude00"}`, "rtc", "a~b |", "jörg 😀",
			`3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"a~b |","account":"jörg 😀"}]`},
		{` { "k\u0069nd" : "rtm" , "account" : "u" , "expire" : 60 } `, "rtm", "-", "u",
			`60 [{"type":2,"name":"rtm","privileges":{"1":60},"account":"u"}]`},
		{`{"kind":"rtm","account":"u","channel":"not in it","role":"publisher"}`, "rtm", "-", "u",
			`3600 [{"type":2,"name":"rtm","privileges":{"1":3600},"account":"u"}]`},
		{`{"kinds":["rtm","rtc"],"channel":"c","account":"u","role":"publisher","expire":60}`, "rtm rtc", "c", "u",
			`60 [{"type":1,"name":"rtc","privileges":{"1":60,"2":60,"3":60,"4":60},"channel":"c","account":"u"},{"type":2,"name":"rtm","privileges":{"1":60},"account":"u"}]`},
		{`{"kind":"convoai","channel":"c","account":"u","expire":60}`, "convoai", "c", "u",
			`60 [{"type":1,"name":"rtc","privileges":{"1":60,"2":60,"3":60,"4":60},"channel":"c","account":"u"},{"type":2,"name":"rtm","privileges":{"1":60},"account":"u"}]`},
		{`{"kind":"chat-user","account":"u","expire":60}`, "chat-user", "-", "u",
			`60 [{"type":5,"name":"chat","privileges":{"1":60},"account":"u"}]`},
		{`{"kind":"chat-app","expire":60}`, "chat-app", "-", "-",
			`60 [{"type":5,"name":"chat","privileges":{"2":60},"account":""}]`},
		{`{"kind":"chat-app","account":"not in it","expire":60}`, "chat-app", "-", "-",
			`60 [{"type":5,"name":"chat","privileges":{"2":60},"account":""}]`},
		{`{"kind":"education-user","account":"u","expire":60}`, "education-user", "-", "u",
			`60 [{"type":7,"name":"education","privileges":{"2":60},"room":"","account":"u","role":-1}]`},
		{`{"kind":"education-app","expire":60}`, "education-app", "-", "-",
			`60 [{"type":7,"name":"education","privileges":{"3":60},"room":"","account":"","role":-1}]`},
		{`{"kind":"education-room-user","channel":"r","account":"u","expire":60}`, "education-room-user", "r", "u",
			`60 [{"type":2,"name":"rtm","privileges":{"1":60},"account":"u"},{"type":5,"name":"chat","privileges":{"1":60},"account":"7b774effe4a349c6dd82ad4f4f21d34c"},{"type":7,"name":"education","privileges":{"1":60},"room":"r","account":"u","role":2}]`},
		{`{"kind":"education-room-user","channel":"r","account":"u","expire":60,"role":"publisher"}`, "education-room-user", "r", "u",
			`60 [{"type":2,"name":"rtm","privileges":{"1":60},"account":"u"},{"type":5,"name":"chat","privileges":{"1":60},"account":"7b774effe4a349c6dd82ad4f4f21d34c"},{"type":7,"name":"education","privileges":{"1":60},"room":"r","account":"u","role":1}]`},
		{`{"kind":"education-room-user","channel":"r","account":"u","expire":60,"role":3}`, "education-room-user", "r", "u",
			`60 [{"type":2,"name":"rtm","privileges":{"1":60},"account":"u"},{"type":5,"name":"chat","privileges":{"1":60},"account":"7b774effe4a349c6dd82ad4f4f21d34c"},{"type":7,"name":"education","privileges":{"1":60},"room":"r","account":"u","role":3}]`},
		{`{"kind":"fpa","expire":60}`, "fpa", "-", "-",
			`60 [{"type":4,"name":"fpa","privileges":{"1":0}}]`},
		{`{"kinds":["rtc","fpa","chat-user"],"channel":"c","uid":7,"expire":60}`, "rtc fpa chat-user", "c", "7",
			`60 [{"type":1,"name":"rtc","privileges":{"1":60},"channel":"c","account":"7"},{"type":4,"name":"fpa","privileges":{"1":0}},{"type":5,"name":"chat","privileges":{"1":60},"account":"7"}]`},
	} {
		got := ask(t, server, asked{body: test.body})
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v, %s", test.body, got, got.header.Get("Content-Type"))
			continue
		}
		text := got.member(t, "token").(string)
		if s := spec(t, text); s != test.want {
			t.Errorf("%s: the token is\n%s, want\n%s", test.body, s, test.want)
		}
		want := map[string]any{"token": text, "app_id": appID, "expires_at": float64(granted(t, text).ExpiresAt().Unix())}
		kinds := []any{}
		for _, name := range strings.Fields(test.kinds) {
			kinds = append(kinds, name)
		}
		want["kinds"] = kinds
		if test.channel != "-" {
			want["channel"] = test.channel
		}
		if test.account != "-" {
			want["account"] = test.account
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(got.body), &members); err != nil || !reflect.DeepEqual(members, want) {
			t.Errorf("%s: %v, want %v", test.body, members, want)
		}
		verifyWithVendor(t, text)
	}
}

// Tokens of the 006 age end at a point in time, which is the rule's to limit as
// well.
func TestNativeTokens006(t *testing.T) {
	server := serve(t, strings.ReplaceAll(allowAll, "24h", "1h"))
	for _, test := range []struct {
		body, channel, uid string
		privileges         []legacy.PrivilegeID
		lifetime           int64
	}{
		{`{"kind":"rtc-006","channel":"c","uid":7,"role":"publisher","expire":60}`, "c", "7", []legacy.PrivilegeID{1, 2, 3, 4}, 60},
		{`{"kind":"rtc-006","channel":"c","account":"a","expire":86400}`, "c", "a", []legacy.PrivilegeID{1}, 3600},
		{`{"kind":"rtc-006","channel":"c","uid":0}`, "c", "", []legacy.PrivilegeID{1}, 3600},
		{`{"kind":"rtm-006","account":"a","expire":60}`, "a", "", []legacy.PrivilegeID{1000}, 60},
	} {
		before := time.Now().Unix()
		got := ask(t, server, asked{body: test.body})
		after := time.Now().Unix()
		if got.status != http.StatusOK {
			t.Errorf("%s: %v", test.body, got)
			continue
		}
		parsed, err := legacy.ParseAccessToken(got.member(t, "token").(string))
		if err != nil {
			t.Errorf("%s: %v", test.body, err)
			continue
		}
		parsed.Channel, parsed.UID = test.channel, test.uid
		if err := parsed.Verify(certificate); err != nil {
			t.Errorf("%s: %v", test.body, err)
		}
		end := int64(got.member(t, "expires_at").(float64))
		if end < before+test.lifetime || end > after+test.lifetime {
			t.Errorf("%s: ends at %d, want %d later than now", test.body, end, test.lifetime)
		}
		var ids []legacy.PrivilegeID
		for _, p := range parsed.Privileges {
			ids = append(ids, p.ID)
			if int64(p.ExpiresAt) != end {
				t.Errorf("%s: privilege %d ends at %d, the token at %d", test.body, p.ID, p.ExpiresAt, end)
			}
		}
		if !slices.Equal(ids, test.privileges) || int64(parsed.IssuedAt) > end {
			t.Errorf("%s: privileges %v, dated %d", test.body, ids, parsed.IssuedAt)
		}
	}
}

// malformedNative are requests that are none, whoever asks.
var malformedNative = map[string]string{
	"nothing":                      ``,
	"no JSON":                      `kind=rtc`,
	"half an object":               `{"kind":"rtc"`,
	"text behind the end":          `{"kind":"rtc","channel":"c","uid":1} {}`,
	"byte order mark":              "\ufeff{\"kind\":\"rtc\",\"channel\":\"c\",\"uid\":1}",
	"not UTF-8":                    "{\"kind\":\"rtc\",\"channel\":\"c\",\"account\":\"\xff\"}",
	"UTF-16":                       "\xfe\xff\x00{\x00}",
	"an array":                     `[]`,
	"a string":                     `"rtc"`,
	"null":                         `null`,
	"no kind":                      `{"channel":"c","uid":1}`,
	"empty kinds":                  `{"kinds":[],"channel":"c","uid":1}`,
	"kind and kinds":               `{"kind":"rtc","kinds":["rtc"],"channel":"c","uid":1}`,
	"kinds is a text":              `{"kinds":"rtc","channel":"c","uid":1}`,
	"kinds of numbers":             `{"kinds":[1],"channel":"c","uid":1}`,
	"kind is a list":               `{"kind":["rtc"],"channel":"c","uid":1}`,
	"unknown kind":                 `{"kind":"rtx","channel":"c","uid":1}`,
	"kind in capitals":             `{"kind":"RTC","channel":"c","uid":1}`,
	"kind twice in kinds":          `{"kinds":["rtc","rtc"],"channel":"c","uid":1}`,
	"many kinds":                   `{"kinds":["rtc"` + strings.Repeat(`,"rtc"`, 500) + `],"channel":"c","uid":1}`,
	"kind twice":                   `{"kind":"rtc","kind":"rtm","channel":"c","uid":1}`,
	"channel twice":                `{"kind":"rtc","channel":"c","channel":"d","uid":1}`,
	"channel twice, once escaped":  `{"kind":"rtc","channel":"c","ch\u0061nnel":"d","uid":1}`,
	"member in capitals":           `{"kind":"rtc","Channel":"c","uid":1}`,
	"member that is none":          `{"kind":"rtc","channel":"c","uid":1,"app_certificate":"x"}`,
	"many members":                 `{` + manyMembers + `"kind":"rtc"}`,
	"no channel":                   `{"kind":"rtc","uid":1}`,
	"channel is null":              `{"kind":"rtc","channel":null,"uid":1}`,
	"channel is a number":          `{"kind":"rtc","channel":7,"uid":1}`,
	"channel is an object":         `{"kind":"rtc","channel":{"a":[]},"uid":1}`,
	"channel too long":             `{"kind":"rtc","channel":"` + strings.Repeat("c", 64) + `","uid":1}`,
	"channel with a slash":         `{"kind":"rtc","channel":"a/b","uid":1}`,
	"channel with a quote":         `{"kind":"rtc","channel":"a\"b","uid":1}`,
	"channel with a line":          `{"kind":"rtc","channel":"a\nb","uid":1}`,
	"channel with a zero":          `{"kind":"rtc","channel":"a\u0000","uid":1}`,
	"channel beyond ASCII":         `{"kind":"rtc","channel":"é","uid":1}`,
	"channel of half a surrogate":  `{"kind":"rtc","channel":"\ud800","uid":1}`,
	"no account":                   `{"kind":"rtc","channel":"c"}`,
	"uid and account":              `{"kind":"rtc","channel":"c","uid":1,"account":"1"}`,
	"uid is a text":                `{"kind":"rtc","channel":"c","uid":"1"}`,
	"uid below 0":                  `{"kind":"rtc","channel":"c","uid":-1}`,
	"uid minus 0":                  `{"kind":"rtc","channel":"c","uid":-0}`,
	"uid too large":                `{"kind":"rtc","channel":"c","uid":4294967296}`,
	"uid much too large":           `{"kind":"rtc","channel":"c","uid":18446744073709551617}`,
	"uid with a fraction":          `{"kind":"rtc","channel":"c","uid":1.0}`,
	"uid with an exponent":         `{"kind":"rtc","channel":"c","uid":1e0}`,
	"uid is true":                  `{"kind":"rtc","channel":"c","uid":true}`,
	"uid is null":                  `{"kind":"rtc","channel":"c","uid":null}`,
	"account is a number":          `{"kind":"rtc","channel":"c","account":1}`,
	"account too long":             `{"kind":"rtc","channel":"c","account":"` + strings.Repeat("a", 256) + `"}`,
	"account too long for rtm":     `{"kind":"rtm","account":"` + strings.Repeat("a", 65) + `"}`,
	"account with a line":          `{"kind":"rtc","channel":"c","account":"a\r\nb"}`,
	"account of half a surrogate":  `{"kind":"rtc","channel":"c","account":"a\udc00"}`,
	"unknown role":                 `{"kind":"rtc","channel":"c","uid":1,"role":"admin"}`,
	"role is a number":             `{"kind":"rtc","channel":"c","uid":1,"role":1}`,
	"role is null":                 `{"kind":"rtc","channel":"c","uid":1,"role":null}`,
	"room role 0":                  `{"kind":"education-room-user","channel":"c","uid":1,"role":0}`,
	"room role too large":          `{"kind":"education-room-user","channel":"c","uid":1,"role":32768}`,
	"expire below 0":               `{"kind":"rtc","channel":"c","uid":1,"expire":-1}`,
	"expire too large":             `{"kind":"rtc","channel":"c","uid":1,"expire":4294967296}`,
	"expire is a text":             `{"kind":"rtc","channel":"c","uid":1,"expire":"60"}`,
	"expire with a fraction":       `{"kind":"rtc","channel":"c","uid":1,"expire":0.5}`,
	"convoai and rtc":              `{"kinds":["convoai","rtc"],"channel":"c","uid":1}`,
	"007 and 006":                  `{"kinds":["rtc","rtm-006"],"channel":"c","uid":1}`,
	"convoai for a blank channel":  `{"kind":"convoai","channel":"","uid":1}`,
	"convoai for the uid 0":        `{"kind":"convoai","channel":"c","uid":0}`,
	"deeply nested":                strings.Repeat(`[`, 2000) + strings.Repeat(`]`, 2000),
	"a member that nests deeply":   `{"kind":` + strings.Repeat(`{"a":`, 900) + `1` + strings.Repeat(`}`, 900) + `}`,
	"a placeholder as the channel": `{"kind":"rtc","channel":"{env.AGORA_APP_CERTIFICATE}/","uid":1}`,
}

var manyMembers = func() string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString(`"m` + strconv.Itoa(i) + `":1,`)
	}
	return b.String()
}()

func TestNativeMalformed(t *testing.T) {
	server := serve(t, allowAll)
	for name, body := range malformedNative {
		got := ask(t, server, asked{body: body})
		if got.status != http.StatusBadRequest || got.header.Get("X-Convoai-Error") != "InvalidRequest" ||
			got.member(t, "reason") != "InvalidRequest" || got.member(t, "detail") == "" || strings.Contains(got.body, "007") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Placeholders in what a caller sends are text.
func TestPlaceholdersOfCallersAreText(t *testing.T) {
	t.Setenv("CONVOAI_TEST_SECRET", "canary")
	server := serve(t, allowAll)
	got := ask(t, server, asked{body: `{"kind":"rtc","channel":"{env.CONVOAI_TEST_SECRET}","account":"{http.request.header.Test-Sign-In}{user}"}`, user: "canary"})
	if got.status != http.StatusOK || got.member(t, "channel") != "{env.CONVOAI_TEST_SECRET}" ||
		!strings.Contains(spec(t, got.member(t, "token").(string)), `"account":"{http.request.header.Test-Sign-In}{user}"`) {
		t.Error(got)
	}
}

func TestNativeWithoutARule(t *testing.T) {
	server := serve(t, "")
	for k := range numKinds {
		got := ask(t, server, asked{body: `{"kind":"` + k.String() + `","channel":"c","account":"a","role":"publisher"}`})
		if got.status != http.StatusForbidden || got.member(t, "reason") != "NotAllowed" || got.header.Get("X-Convoai-Error") != "NotAllowed" {
			t.Errorf("%s: %v", k, got)
		}
	}
}

func TestNativeRule(t *testing.T) {
	server := serve(t, "allow {\nchannels room-*\naccounts {user}\nroles publisher\nmax_expire 10m\n}")
	const body = `{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher","expire":86400}`
	for _, test := range []struct {
		user, body string
		status     int
	}{
		{"42", body, 200},
		{"43", body, 403},
		{"", body, 403},
		{"42", strings.Replace(body, "room-7", "lobby", 1), 403},
		{"42", strings.Replace(body, "publisher", "subscriber", 1), 403},
		{"42", strings.Replace(body, `"rtc"`, `"rtm"`, 1), 403},
		{"42", strings.Replace(body, `"kind":"rtc"`, `"kinds":["rtc","rtm"]`, 1), 403},
	} {
		got := ask(t, server, asked{user: test.user, body: test.body})
		if got.status != test.status || (got.status == 200) != strings.Contains(got.body, `"token"`) {
			t.Errorf("user %q, %s: %v", test.user, test.body, got)
		}
		if got.status == 200 && granted(t, got.member(t, "token").(string)).Expire != 600 {
			t.Errorf("%s: not shortened", test.body)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	server := serve(t, "dialects token-service rtc chat-node\n"+allowAll)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/token", 405, "POST, OPTIONS"},
		{"HEAD", "/token", 405, "POST, OPTIONS"},
		{"PUT", "/token", 405, "POST, OPTIONS"},
		{"TRACE", "/token", 405, "POST, OPTIONS"},
		{"QUERY", "/token", 405, "POST, OPTIONS"},
		{"OPTIONS", "/token", 204, "POST, OPTIONS"},
		{"OPTIONS", "/fetch_rtc_token", 200, "POST, OPTIONS"},
		{"GET", "/fetch_rtc_token", 405, "POST, OPTIONS"},
		{"HEAD", "/ping", 405, "GET, OPTIONS"},
		{"HEAD", "/rtm/u/", 405, "GET, OPTIONS"},
		{"POST", "/rtm/u/", 405, "GET, OPTIONS"},
		{"OPTIONS", "/rtm/u/", 204, "GET, OPTIONS"},
		{"HEAD", "/api/token/generateAppToken", 405, "GET, OPTIONS"},

		// To the next handler; there is none, and Caddy answers with nothing.
		{"POST", "/", 200, ""},
		{"POST", "/token/", 200, ""},
		{"POST", "/token/generate", 200, ""}, // a dialect that is not spoken
		{"POST", "/Token", 200, ""},
		{"GET", "/rtm//", 200, ""},
		{"GET", "/rtm/a/b/", 200, ""},
		{"GET", "/rtm", 200, ""},
		{"OPTIONS", "/elsewhere", 200, ""},
	} {
		got := ask(t, server, asked{method: test.method, path: test.path})
		if got.status != test.status || got.header.Get("Allow") != test.allow || strings.Contains(got.body, "007") {
			t.Errorf("%s %s: %v, Allow: %s", test.method, test.path, got, got.header.Get("Allow"))
		}
		if ours := test.allow != ""; ours != (got.header.Get("Cache-Control") == "no-store") || ours != (got.header.Get("Vary") == "Origin") {
			t.Errorf("%s %s: %v", test.method, test.path, got.header)
		}
	}
}

func TestBodies(t *testing.T) {
	const body = `{"kind":"rtc","channel":"c","uid":1}`
	server := serve(t, "max_body 1KiB\ndialects docker rtc chat-java\n"+allowAll)
	padded := func(size int) string { return body + strings.Repeat(" ", size-len(body)) }
	with := func(name, value string) map[string]string { return map[string]string{name: value} }
	for _, test := range []struct {
		name   string
		asked  asked
		status int
		reason string
	}{
		{"as large as allowed", asked{body: padded(1024)}, 200, ""},
		{"larger", asked{body: padded(1025)}, 413, "BodyTooLarge"},
		{"larger, of a dialect", asked{path: "/fetch_rtc_token", body: padded(1025)}, 413, "BodyTooLarge"},
		{"with a charset", asked{body: body, header: with("Content-Type", `Application/JSON; charset="UTF-8"`)}, 200, ""},
		{"with another charset", asked{body: body, header: with("Content-Type", "application/json; charset=utf-16")}, 415, "InvalidRequest"},
		{"as a form", asked{body: body, header: with("Content-Type", "application/x-www-form-urlencoded")}, 415, "InvalidRequest"},
		{"as text", asked{body: body, header: with("Content-Type", "text/plain")}, 415, "InvalidRequest"},
		{"as nothing", asked{body: body, header: with("Content-Type", "")}, 415, "InvalidRequest"},
		{"as what is none", asked{body: body, header: with("Content-Type", "application/json;;")}, 415, "InvalidRequest"},
		{"compressed", asked{body: body, header: with("Content-Encoding", "gzip")}, 415, "InvalidRequest"},
		{"not compressed", asked{body: body, header: with("Content-Encoding", "identity")}, 200, ""},
		{"compressed, of a dialect", asked{path: "/token/generate", body: body, header: with("Content-Encoding", "br")}, 415, "InvalidRequest"},
	} {
		got := ask(t, server, test.asked)
		if got.status != test.status || got.header.Get("X-Convoai-Error") != test.reason {
			t.Errorf("%s: %v, %s", test.name, got, got.header.Get("X-Convoai-Error"))
		}
	}
}

// A length that is announced is not believed: nothing is set aside for it.
func TestAnnouncedLengthOverTheLimit(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("{}"))
	r.ContentLength = 1 << 60
	if _, refused := readBody(r, 8<<10); refused == nil || refused.status != http.StatusRequestEntityTooLarge {
		t.Error(refused)
	}
	r.ContentLength = 100
	if _, refused := readBody(r, 8<<10); refused == nil || refused.status != http.StatusBadRequest {
		t.Error(refused)
	}
}

// Tokens are dated by the time that they are made for, which need not be this
// host's.
func TestTokensAreDated(t *testing.T) {
	at := time.Unix(1700000000, 999999999)
	for _, k := range []kind{kindRTC, kindConvoAI, kindFPA} {
		w := wish{kinds: []kind{k}, channel: textName("c"), account: textName("a")}
		unsigned, err := build(appID, &w, at, 60, 60)
		if err != nil {
			t.Fatal(err)
		}
		if made := unsigned.(*token.Token); made.IssuedAt != 1700000000 || made.Expire != 60 {
			t.Errorf("%s: issued at %d for %d", k, made.IssuedAt, made.Expire)
		}
	}
	w := wish{kinds: []kind{kindRTC006}, channel: textName("c"), account: textName("a")}
	unsigned, err := build(appID, &w, at, 60, 60)
	if err != nil {
		t.Fatal(err)
	}
	if made := unsigned.(*legacy.AccessToken); made.IssuedAt != 1700000060 || made.Privileges[0].ExpiresAt != 1700000060 {
		t.Errorf("006: %+v", made)
	}
	for _, at := range []time.Time{time.Unix(-1, 0), time.Unix(1<<32, 0), time.Unix(1<<32-60, 0)} {
		if _, err := build(appID, &w, at, 60, 60); err == nil {
			t.Errorf("a token for %v", at)
		}
	}
}

// What the certificate is, the handler forgets once there is a signer.
func TestHandlerKeepsNoCertificate(t *testing.T) {
	_, h, _ := watched(t, allowAll)
	if h.AppCertificate != "" || h.AppCertificateSecondary != "" {
		t.Error("the certificate is still there")
	}
}
