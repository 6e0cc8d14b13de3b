package integration

import (
	"net/http"
	"strings"
	"testing"
)

// signIn is basic_auth for users whose password is "password".
func signIn(t *testing.T, matcher string, users ...string) string {
	t.Helper()
	hash, stderr, status := boot{args: []string{"hash-password", "--bcrypt-cost", "4", "--plaintext", "password"}}.run(t)
	if status != 0 {
		t.Fatal(stderr)
	}
	text := "\tbasic_auth " + matcher + " {\n"
	for _, user := range users {
		text += "\t\t" + user + " " + strings.TrimSpace(hash) + "\n"
	}
	return text + "\t}"
}

func as(user string) string { return "Authorization: " + basic(user, "password") }

// ownRule is the rule of the documentation: a signed-in user, as themselves.
var ownRule = allowRule("own", "users *", "channels room-*", "accounts {user}", "roles publisher", "max_expire 10m")

func TestTokenServerGrantsNothingWithoutARule(t *testing.T) {
	s := start(t, tokenSite("", "dialects docker rtc chat-go chat-node chat-java token-service"), envA...)
	for _, body := range []string{
		`{"kind":"rtc","channel":"room-7","uid":42}`,
		`{"kind":"rtm","account":"42"}`,
		`{"kinds":["rtc","rtm"],"channel":"room-7","account":"42","role":"publisher"}`,
		`{"kind":"chat-app"}`,
	} {
		wantNotGranted(t, s.ask(body))
	}
	s.logged("allow") // what would grant it
	if !contains(s.stderr, `"logger":"http.handlers.convoai_token_server"`) {
		t.Error("the log does not say what was refused")
	}
}

// The account is the caller's own, whoever else could be named.
func TestTokenServerGrantsASignedInUserTheirOwnAccount(t *testing.T) {
	s := start(t, tokenSite(signIn(t, "", "42", "43"), ownRule,
		allowRule("listen", "users *", "channels lobby", "accounts {user}"),
		"dialects docker rtc token-service"), envA...)

	if a := s.ask(`{"kind":"rtc","channel":"room-7","uid":42}`); a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("nobody was answered %d", a.StatusCode)
	}
	if a := s.ask(`{"kind":"rtc","channel":"room-7","uid":42}`, "Authorization: "+basic("42", "wrong")); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password was answered %d", a.StatusCode)
	}

	for _, test := range []struct{ user, body, want string }{
		{"42", `{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher","expire":300}`, `300 rtc(room-7,42) 1:300,2:300,3:300,4:300`},
		{"42", `{"kind":"rtc","channel":"room-7","account":"42","role":"publisher","expire":300}`, `300 rtc(room-7,42) 1:300,2:300,3:300,4:300`},
		{"43", `{"kind":"rtc","channel":"room-","uid":43,"role":"publisher"}`, `600 rtc(room-,43) 1:600,2:600,3:600,4:600`},
		{"42", `{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher","expire":86400}`, `600 rtc(room-7,42) 1:600,2:600,3:600,4:600`},
		{"42", `{"kind":"rtc","channel":"lobby","uid":42,"expire":86400}`, `3600 rtc(lobby,42) 1:3600`},
		{"42", `{"kind":"rtc","channel":"lobby","uid":42,"role":"subscriber","expire":1}`, `1 rtc(lobby,42) 1:1`},
	} {
		got, made := wantGranted(t, s.ask(test.body, as(test.user)))
		if contents(made) != test.want {
			t.Errorf("%s got %s for %s, want %s", test.user, contents(made), test.body, test.want)
		}
		if len(got.Kinds) != 1 || got.Kinds[0] != "rtc" || got.Channel == nil || *got.Channel != made.Services[0].Channel || got.Account == nil || *got.Account != test.user {
			t.Errorf("the answer does not say what is in the token: kinds %q", got.Kinds)
		}
	}

	for _, refused := range []struct{ what, user, body string }{
		{"another's uid", "42", `{"kind":"rtc","channel":"room-7","uid":43,"role":"publisher"}`},
		{"another's account", "42", `{"kind":"rtc","channel":"room-7","account":"43","role":"publisher"}`},
		{"an account that begins alike", "42", `{"kind":"rtc","channel":"room-7","account":"420","role":"publisher"}`},
		{"an account that ends alike", "42", `{"kind":"rtc","channel":"room-7","account":"142","role":"publisher"}`},
		{"the account with a space", "42", `{"kind":"rtc","channel":"room-7","account":"42 ","role":"publisher"}`},
		{"the account with zeros", "42", `{"kind":"rtc","channel":"room-7","account":"042","role":"publisher"}`},
		{"the variable itself", "42", `{"kind":"rtc","channel":"room-7","account":"{user}","role":"publisher"}`},
		{"another channel", "42", `{"kind":"rtc","channel":"hall","uid":42}`},
		{"a channel that has the name in it", "42", `{"kind":"rtc","channel":"a-room-7","uid":42}`},
		{"a channel with other letters", "42", `{"kind":"rtc","channel":"Room-7","uid":42}`},
		{"to publish where one may listen", "42", `{"kind":"rtc","channel":"lobby","uid":42,"role":"publisher"}`},
		{"to listen where one may publish only", "42", `{"kind":"rtc","channel":"room-7","uid":42}`},
		{"another kind", "42", `{"kind":"rtm","account":"42"}`},
		{"another kind beside it", "42", `{"kinds":["rtc","rtm"],"channel":"room-7","account":"42","role":"publisher"}`},
		{"the older version", "42", `{"kind":"rtc-006","channel":"room-7","account":"42","role":"publisher"}`},
	} {
		a := s.ask(refused.body, as(refused.user))
		if a.StatusCode == http.StatusOK {
			t.Errorf("%s was granted", refused.what)
			continue
		}
		wantNotGranted(t, a)
	}
}

// Wildcards, tokens for the app, and RTM beside RTC take a rule that names them.
func TestTokenServerGrantsPowerfulTokensByNameOnly(t *testing.T) {
	const (
		anyUID      = `{"kind":"rtc","channel":"room-7","uid":0}`
		zeroAccount = `{"kind":"rtc","channel":"room-7","account":"0"}`
		blank       = `{"kind":"rtc","channel":"room-7","account":""}`
		space       = `{"kind":"rtc","channel":"room-7","account":" "}`
		asterisk    = `{"kind":"rtc","channel":"room-7","account":"*"}`
		part        = `{"kind":"rtc","channel":"room-7","account":"4*"}`
		anyChannel  = `{"kind":"rtc","channel":"*","uid":42}`
		noChannel   = `{"kind":"rtc","channel":"","uid":42}`
		channelPart = `{"kind":"rtc","channel":"room-*","uid":42}`
		chatApp     = `{"kind":"chat-app"}`
		eduApp      = `{"kind":"education-app"}`
		both        = `{"kinds":["rtc","rtm"],"channel":"room-7","account":"42"}`
		convoai     = `{"kind":"convoai","channel":"room-7","account":"42"}`
		rtm         = `{"kind":"rtm","account":"42"}`
		plain       = `{"kind":"rtc","channel":"room-7","uid":42}`
	)
	all := []string{anyUID, zeroAccount, blank, space, asterisk, part, anyChannel, noChannel, channelPart, chatApp, eduApp, both, convoai, rtm, plain}
	for _, test := range []struct {
		name    string
		rules   []string
		granted map[string]string
	}{
		{
			"everything but what has to be named", []string{allowRule("", "channels *", "accounts *", "roles publisher subscriber", "max_expire 24h")},
			map[string]string{plain: "3600 rtc(room-7,42) 1:3600"},
		},
		{
			"wildcards", []string{allowRule("", "channels *", "accounts *", "wildcards on")},
			map[string]string{
				plain: "3600 rtc(room-7,42) 1:3600", anyUID: "3600 rtc(room-7,) 1:3600", zeroAccount: "3600 rtc(room-7,0) 1:3600", blank: "3600 rtc(room-7,) 1:3600",
				space: "3600 rtc(room-7, ) 1:3600", asterisk: "3600 rtc(room-7,*) 1:3600", part: "3600 rtc(room-7,4*) 1:3600",
				anyChannel: "3600 rtc(*,42) 1:3600", noChannel: "3600 rtc(,42) 1:3600", channelPart: "3600 rtc(room-*,42) 1:3600",
			},
		},
		{
			"wildcards within what is granted", []string{allowRule("", "channels room-*", "accounts 4*", "wildcards on")},
			map[string]string{plain: "3600 rtc(room-7,42) 1:3600", channelPart: "3600 rtc(room-*,42) 1:3600", part: "3600 rtc(room-7,4*) 1:3600"},
		},
		{
			"one kind after the other", []string{allowRule("", "kinds rtc", "channels *", "accounts *"), allowRule("", "kinds rtm", "accounts *")},
			map[string]string{plain: "3600 rtc(room-7,42) 1:3600", rtm: "3600 rtm(42) 1:3600"},
		},
		{
			"both in one rule", []string{allowRule("", "kinds rtc rtm", "channels *", "accounts *")},
			map[string]string{plain: "3600 rtc(room-7,42) 1:3600", rtm: "3600 rtm(42) 1:3600", both: "3600 rtc(room-7,42) 1:3600 rtm(42) 1:3600"},
		},
		{"the app", []string{allowRule("", "kinds chat-app")}, map[string]string{chatApp: "3600 chat() 2:3600"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, tokenSite("", test.rules...), envA...)
			for _, body := range all {
				a := s.ask(body)
				if want, ok := test.granted[body]; ok {
					if _, made := wantGranted(t, a); contents(made) != want {
						t.Errorf("%s: %s, want %s", body, contents(made), want)
					}
				} else if a.StatusCode == http.StatusOK {
					t.Errorf("%s was granted", body)
				} else {
					wantNotGranted(t, a)
				}
			}
		})
	}
}
