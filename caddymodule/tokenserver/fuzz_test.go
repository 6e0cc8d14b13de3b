//lint:file-ignore SA1019 Tokens of the 006 age are deprecated, and some clients know no others.

package tokenserver

import (
	"hash/crc32"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// fuzzRules grant little, so that what is granted can be judged without them.
const fuzzRules = `
	dialects docker rtc chat-go chat-node chat-java token-service
	max_body 4KiB
	allow own {
		kinds rtc chat-user rtc-006
		channels room-*
		accounts {user}
		max_expire 10m
	}
	allow stage {
		kinds rtc rtm
		channels stage
		accounts host-*
		roles publisher
		max_expire 5m
	}`

// checkAnswer checks what must hold of any answer: no fault of the server, and no
// token that the rules do not grant to the user.
func checkAnswer(t *testing.T, user string, got reply) {
	t.Helper()
	if got.status >= 500 || got.status != http.StatusOK && got.status < 400 && got.status != http.StatusNoContent {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if got.header.Get("Cache-Control") != "no-store" && got.header.Get("Allow") != "" {
		t.Error("may be cached")
	}
	for _, text := range tokensIn(got.body) {
		if got.status != http.StatusOK {
			t.Errorf("a token with status %d", got.status)
		}
		if strings.HasPrefix(text, "006") {
			checkGranted006(t, user, text)
			continue
		}
		checkGranted(t, user, granted(t, text))
	}
}

// tokensIn finds what looks like a token in an answer.
func tokensIn(body string) (list []string) {
	for _, part := range strings.FieldsFunc(body, func(c rune) bool { return c == '"' || c == ' ' || c == '\n' }) {
		if _, err := token.Parse(part); err == nil || strings.HasPrefix(part, "006"+appID) {
			list = append(list, part)
		}
	}
	return list
}

// checkGranted is the rules once more, from the token's end.
func checkGranted(t *testing.T, user string, parsed *token.Token) {
	t.Helper()
	var types []token.ServiceType
	publishes, own, host := false, true, true
	for _, s := range parsed.Services {
		types = append(types, s.Type)
		own = own && user != "" && s.Account == user && !strings.Contains(user, "*") && strings.Trim(user, "0 ") != ""
		host = host && strings.HasPrefix(s.Account, "host-") && !strings.Contains(s.Account, "*")
		if s.Type == token.ServiceRTC {
			publishes = len(s.Privileges) > 1
			own = own && strings.HasPrefix(s.Channel, "room-") && !strings.Contains(s.Channel, "*")
			host = host && s.Channel == "stage"
		}
		for _, p := range s.Privileges {
			if p.Expire != parsed.Expire {
				t.Errorf("a privilege of %d in a token of %d seconds", p.Expire, parsed.Expire)
			}
		}
	}
	own = own && !publishes && parsed.Expire <= 600 && !slices.Contains(types, token.ServiceRTM)
	host = host && (publishes || !slices.Contains(types, token.ServiceRTC)) && parsed.Expire <= 300 && !slices.Contains(types, token.ServiceChat)
	for _, known := range types {
		own = own && (known == token.ServiceRTC || known == token.ServiceChat && parsed.Services[slices.Index(types, known)].Privileges[0].ID == token.PrivilegeChatUser)
		host = host && (known == token.ServiceRTC || known == token.ServiceRTM)
	}
	if !own && !host {
		t.Errorf("user %q was granted %d %+v", user, parsed.Expire, parsed.Services)
	}
}

func checkGranted006(t *testing.T, user, text string) {
	t.Helper()
	parsed, err := legacy.ParseAccessToken(text)
	if err != nil {
		t.Fatal(err)
	}
	one := len(parsed.Privileges) == 1 && parsed.Privileges[0].ID == legacy.PrivilegeJoinChannel
	own := user != "" && !strings.Contains(user, "*") && parsed.CRCUid == crc32.ChecksumIEEE([]byte(user))
	if at, ok := parsed.ExpiresAt(); !ok || !one || !own || int64(at) > time.Now().Unix()+600 {
		t.Errorf("user %q was granted %+v", user, parsed)
	}
}

// Whatever is sent to the native endpoint, it answers, it is never at fault, and
// what it grants is within a rule.
func FuzzNative(f *testing.F) {
	server := serve(f, fuzzRules)
	for _, body := range malformedNative {
		f.Add("42", "application/json", []byte(body))
	}
	for _, body := range []string{
		`{"kind":"rtc","channel":"room-7","uid":42,"expire":3600}`,
		`{"kinds":["rtc","chat-user"],"channel":"room-7","account":"42","role":"subscriber"}`,
		`{"kinds":["rtc","rtm"],"channel":"stage","account":"host-1","role":"publisher"}`,
		`{"kind":"rtc-006","channel":"room-7","uid":42}`,
		`{"kind":"rtc","channel":"room-*","account":"*"}`,
		`{"kind":"rtc","channel":"stage","account":"host-*","role":"publisher"}`,
		`{"kind":"convoai","channel":"stage","account":"host-1"}`,
	} {
		for _, user := range []string{"", "42", "*", "0", "{user}"} {
			f.Add(user, "application/json", []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, user, contentType string, body []byte) {
		got := ask(t, server, asked{user: user, body: string(body), header: map[string]string{"Content-Type": contentType}})
		checkAnswer(t, user, got)
		if got.status != 200 && got.header.Get("X-Convoai-Error") == "" {
			t.Errorf("%v: no reason", got)
		}
	})
}

// The same for the dialects: any of their paths, methods, queries and bodies.
func FuzzDialects(f *testing.F) {
	server := serve(f, fuzzRules)
	paths := []string{"/token/generate", "/fetch_rtc_token", "/generate-user-token", "/generate-app-token",
		"/api/token/generateUserToken", "/api/token/generateAppToken", "/ping", "/getToken", "/rtc/", "/rtm/", "/rte/", "/chat/", "/token"}
	add := func(user, method, path, contentType, body string) {
		for i, prefix := range slices.Backward(paths) {
			if rest, ok := strings.CutPrefix(path, prefix); ok {
				f.Add(user, uint8(i), method == "POST", rest, contentType, []byte(body))
				return
			}
		}
		f.Fatal(path)
	}
	for _, test := range dialectCases {
		add("42", test.method, test.path, test.contentType, test.body)
	}
	for _, test := range malformedDialect {
		add("42", test.method, test.path, dialectHeader(test.dialect)["Content-Type"], test.body)
	}
	add("42", "POST", "/token/generate", "application/json", `{"channelName":"room-7","uid":"42","serviceRtc":{"enable":true},"serviceChat":{"enableUser":true,"userUuid":"42"}}`)
	add("42", "POST", "/fetch_rtc_token", "application/json", `{"uid":42,"ChannelName":"room-7","role":2}`)
	add("42", "POST", "/generate-user-token", "application/json", `{"user_uuid":"42"}`)
	add("42", "GET", "/api/token/generateUserToken?account=42", "", ``)
	add("42", "POST", "/token/generate", formType, `userId=42&expireSeconds=1`)
	add("x", "POST", "/getToken", "application/json", `{"tokenType":"rtm","uid":"host-x","channel":"stage"}`)
	add("42", "GET", "/rtc/room-7/audience/uid/42/", "", ``)
	add("x", "GET", "/rte/stage/publisher/userAccount/host-x/", "", ``)
	f.Fuzz(func(t *testing.T, user string, which uint8, post bool, rest, contentType string, body []byte) {
		path := paths[int(which)%len(paths)] + rest
		method := http.MethodGet
		if post {
			method = http.MethodPost
		}
		if !requestable(method, path) {
			return
		}
		a := asked{user: user, method: method, path: path, body: string(body), header: map[string]string{"Content-Type": contentType}}
		checkAnswer(t, user, ask(t, server, a))
	})
}

// requestable reports whether net/http would take a path: httptest panics where not.
func requestable(method, path string) bool {
	if strings.ContainsAny(path, " \r\n\t") {
		return false
	}
	_, err := http.NewRequest(method, "http://example.com"+path, nil)
	return err == nil && !strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == 0x7f })
}
