package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// identityService is what stands behind forward_auth: it knows sessions by a
// cookie that it has signed, and names their users in X-User.
type identityService struct {
	*httptest.Server
	asked atomic.Int32 // how often
}

const identityKey = "the identity service's own key"

func newIdentityService(t *testing.T) *identityService {
	s := new(identityService)
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

// session is the cookie of a user until a time.
func session(user string, until time.Time) string {
	text := user + "." + strconv.FormatInt(until.Unix(), 10)
	return "session=" + text + "." + sessionMAC(text)
}

func sessionMAC(text string) string {
	mac := hmac.New(sha256.New, []byte(identityKey))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// answer is 200 with the user, 200 with nobody where there is no session at all
// and the path allows for that, else 401.
func (s *identityService) answer(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	cookie, err := r.Cookie("session")
	if err != nil {
		if r.URL.Path == "/perhaps" {
			return
		}
		http.Error(w, "sign in", http.StatusUnauthorized)
		return
	}
	user, until, ok := readSession(cookie.Value)
	if !ok || !time.Now().Before(until) {
		http.Error(w, "sign in again", http.StatusUnauthorized)
		return
	}
	w.Header().Set("X-User", user)
}

func readSession(value string) (user string, until time.Time, ok bool) {
	text, mac, _ := cutLast(value)
	if !hmac.Equal([]byte(mac), []byte(sessionMAC(text))) {
		return "", time.Time{}, false
	}
	user, end, ok := cutLast(text)
	seconds, err := strconv.ParseInt(end, 10, 64)
	return user, time.Unix(seconds, 0), ok && err == nil
}

// cutLast cuts at the last dot: users may have some in their names.
func cutLast(text string) (before, after string, ok bool) {
	at := strings.LastIndexByte(text, '.')
	if at < 0 {
		return "", text, false
	}
	return text[:at], text[at+1:], true
}

func (s *identityService) forwardAuth(path string) string {
	return "\tforward_auth " + strings.TrimPrefix(s.URL, "http://") + " {\n\t\turi " + path + "\n\t\tcopy_headers X-User\n\t}"
}

// headerRule grants signed-in users, who are named by X-User, their own account.
var headerRule = allowRule("own", "identity {http.request.header.X-User}", "users *", "channels room-*", "accounts {user}")

func TestTokenServerBehindForwardAuth(t *testing.T) {
	service := newIdentityService(t)
	config := global + "http://:<PORT> {\n\tbind 127.0.0.1\n" + service.forwardAuth("/session") + "\n" + tokenDirective(headerRule) + "}\n" +
		"http://:<PORT2> {\n\tbind 127.0.0.1\n" + service.forwardAuth("/perhaps") + "\n" + tokenDirective(headerRule) + "}\n"
	s := start(t, config, envA...)
	const body = `{"kind":"rtc","channel":"room-7","account":"42"}`
	in := time.Now().Add(time.Hour)
	valid := session("42", in)

	_, made := wantGranted(t, s.ask(body, "Cookie: "+valid))
	if contents(made) != "3600 rtc(room-7,42) 1:3600" {
		t.Errorf("got %s", contents(made))
	}
	wantNotGranted(t, s.ask(body, "Cookie: "+session("43", in)))
	if service.asked.Load() != 2 {
		t.Errorf("the identity service was asked %d times, want 2", service.asked.Load())
	}

	forged := strings.Replace(valid, "session=42.", "session=43.", 1)
	for name, headers := range map[string][]string{
		"nobody":                                     nil,
		"an expired session":                         {"Cookie: " + session("42", time.Now().Add(-time.Second))},
		"a forged session":                           {"Cookie: " + forged},
		"a session without a signature":              {"Cookie: session=42." + strconv.FormatInt(in.Unix(), 10) + "."},
		"the header of the identity":                 {"X-User: 42"},
		"the header beside a forged session":         {"X-User: 42", "Cookie: " + forged},
		"the header, twice":                          {"X-User: 42", "X-User: 42"},
		"the header that the service answers to":     {"Remote-User: 42", "X-Forwarded-User: 42", "X_User: 42"},
		"the header, kept by Connection":             {"X-User: 42", "Connection: X-User"},
		"a session as Authorization":                 {"Authorization: Bearer " + strings.TrimPrefix(valid, "session=")},
		"the path of the service that asks for less": {"X-Forwarded-Uri: /perhaps", "X-Original-Url: /perhaps", "X-User: 42"},
	} {
		a := s.ask(body, headers...)
		if a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: answered %d", name, a.StatusCode)
		}
		wantNoToken(t, name, a.body)
	}
	// Signed in as oneself, and another in the header.
	wantNotGranted(t, s.ask(body, "Cookie: "+session("43", in), "X-User: 42"))

	// A service that lets nobody in particular pass names no user, and the
	// caller's own header is not one.
	other := "http://127.0.0.1:" + s.other + "/token"
	for _, headers := range [][]string{nil, {"X-User: 42"}, {"x-user: 42"}, {"X-User: 42", "Connection: X-User"}} {
		wantNotGranted(t, s.send("POST", other, body, headers...))
	}
	wantGranted(t, s.send("POST", other, body, "Cookie: "+valid, "X-User: 43"))
}

func TestTokenServerThatWouldTrustTheCallersOwnHeaderDoesNotLoad(t *testing.T) {
	service := newIdentityService(t)
	auth := service.forwardAuth("/session")
	token := tokenDirective(headerRule)
	for _, test := range []struct {
		name, site string
		loads      bool
	}{
		{"nothing in front", token, false},
		{"forward_auth that copies another header", strings.Replace(auth, "X-User", "X-Other", 1) + "\n" + token, false},
		{"forward_auth for other requests", strings.Replace(auth, "forward_auth ", "forward_auth /elsewhere ", 1) + "\n" + token, false},
		{"a removal behind it", "route {\n" + token + "request_header -X-User\n}", false},
		{"a removal of another header", "request_header -X-Users\n" + token, false},
		{"a removal of some requests", "request_header /token -X-User\n" + token, false},
		{"a header that is set to what the caller sends", "request_header X-User {http.request.header.X-Caller}\n" + token, false},
		{"a header that is set to what the URL says", "request_header X-User {query.user}\n" + token, false},
		{"basic_auth, which has nothing to do with it", "basic_auth {\n42 $2a$04$abcdefghijklmnopqrstuuWVoyOq8uHDLTTFGKTgqPzvAFWgAw3lq\n}\n" + token, false},
		{"an error route", "handle_errors {\nrequest_header X-User {http.request.header.X-User}\n" + token + "}", false},
		{"forward_auth", auth + "\n" + token, true},
		{"a removal", "request_header -X-User\n" + token, true},
		{"who basic_auth says it is", "basic_auth {\n42 $2a$04$abcdefghijklmnopqrstuuWVoyOq8uHDLTTFGKTgqPzvAFWgAw3lq\n}\nrequest_header X-User {http.auth.user.id}\n" + token, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, stderr, status := boot{caddyfile: global + "http://:<PORT> {\nbind 127.0.0.1\n" + test.site + "\n}\n", env: envA}.run(t)
			if (status == 0) != test.loads {
				t.Errorf("status %d:\n%s", status, excerpt(stderr))
			}
			if !test.loads && !strings.Contains(stderr, "X-User") {
				t.Errorf("the header is not named:\n%s", excerpt(stderr))
			}
			wantNowhere(t, []sink{{"standard error", stderr}}, map[string]string{"certificate": certificateA})
		})
	}
}

// What a caller can choose is no identity at all.
func TestTokenServerIdentitiesThatAreNoneDoNotLoad(t *testing.T) {
	for _, identity := range []string{
		"{query.user}", "{http.request.uri.query.user}", "{http.request.cookie.user}", "{http.request.remote.host}", "{http.request.body}",
		"{http.vars.user}", "{header.X-User}x", "42", "{http.request.host}", "{env.HOME}", "{http.request.tls.server_name}", "user-{http.auth.user.id}",
	} {
		_, stderr, status := boot{caddyfile: tokenSite("request_header -X-User", allowRule("own", "identity "+identity, "users *", "channels *", "accounts {user}")), env: envA}.run(t)
		if status == 0 || !strings.Contains(stderr, "identity") {
			t.Errorf("%s: status %d:\n%s", identity, status, excerpt(stderr))
		}
	}
}

// A rule with users is for these, whatever else it grants.
func TestTokenServerGrantsToTheUsersOfTheRuleOnly(t *testing.T) {
	service := newIdentityService(t)
	const user = "identity {http.request.header.X-User}"
	s := start(t, tokenSite(service.forwardAuth("/perhaps"), allowRule("staff", user, "users 4* admin", "channels *", "accounts *", "roles publisher"),
		allowRule("signed-in", user, "users *", "channels lobby", "accounts *"), allowRule("anyone", user, "channels hall", "accounts guest-*")), envA...)
	const room, lobby, hall = `{"kind":"rtc","channel":"room-7","account":"any","role":"publisher"}`, `{"kind":"rtc","channel":"lobby","account":"any"}`, `{"kind":"rtc","channel":"hall","account":"guest-1"}`
	for _, test := range []struct {
		user    string
		granted []string
	}{
		{"", []string{hall}},
		{"52", []string{lobby, hall}},
		{"administrator", []string{lobby, hall}},
		{"Admin", []string{lobby, hall}},
		{"42", []string{room, lobby, hall}},
		{"admin", []string{room, lobby, hall}},
	} {
		var headers []string
		if test.user != "" {
			headers = []string{"Cookie: " + session(test.user, time.Now().Add(time.Hour))}
		}
		for _, body := range []string{room, lobby, hall} {
			a := s.ask(body, headers...)
			if slices.Contains(test.granted, body) {
				wantGranted(t, a)
			} else if a.StatusCode == http.StatusOK {
				t.Errorf("user %q got %s", test.user, body)
			} else {
				wantNotGranted(t, a)
			}
		}
	}
}

// Whoever signs in as a pattern is taken literally.
func TestTokenServerTakesUsersLiterally(t *testing.T) {
	service := newIdentityService(t)
	s := start(t, tokenSite(service.forwardAuth("/session"), allowRule("own", "identity {http.request.header.X-User}", "users *", "channels {user}-*", "accounts {user}", "wildcards on")), envA...)
	for _, test := range []struct {
		user, channel, account string
		granted                bool
	}{
		{"42", "42-a", "42", true},
		{"*", "room-7", "42", false},
		{"*", "*-a", "*", false}, // a wildcard, which {user} grants nobody
		{"{env.A_CERT}", "{env.A_CERT}-a", "{env.A_CERT}", true},
		{"{user}", "{user}-a", "{user}", true},
		{"{user}", "42-a", "42", false},
		{"0", "0-a", "0", false},
		{"4*", "42-a", "42", false},
	} {
		a := s.ask(fmt.Sprintf(`{"kind":"rtc","channel":%q,"account":%q}`, test.channel, test.account), "Cookie: "+session(test.user, time.Now().Add(time.Hour)))
		if test.granted {
			if _, made := wantGranted(t, a); made.Services[0].Account != test.account {
				t.Errorf("%s: the account is %q", test.user, made.Services[0].Account)
			}
		} else {
			wantNotGranted(t, a)
		}
		wantNowhere(t, []sink{{"answer", a.body}}, map[string]string{"certificate": certificateA})
	}
}
