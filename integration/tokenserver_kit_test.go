//lint:file-ignore SA1019 The older token formats are deprecated, and must not be handed out unasked all the same.

//lint:file-ignore SA1019 The older token formats are deprecated, and minted all the same.

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// tokenSite is a Caddyfile with one token server: before are the directives of its
// site that stand in front of it, subdirectives its own beside the credentials.
func tokenSite(before string, subdirectives ...string) string {
	return global + "http://:<PORT> {\n\tbind 127.0.0.1\n" + before + "\n" + tokenDirective(subdirectives...) + "}\n"
}

func tokenDirective(subdirectives ...string) string {
	return "\tconvoai_token_server {\n\t" + credentialsA + "\n\t" + strings.Join(subdirectives, "\n\t") + "\n\t}\n"
}

// allowRule is an allow block.
func allowRule(name string, lines ...string) string {
	return "allow " + name + " {\n\t\t" + strings.Join(lines, "\n\t\t") + "\n\t}"
}

// granted is the answer of the native endpoint.
type granted struct {
	Token     string   `json:"token"`
	Kinds     []string `json:"kinds"`
	Channel   *string  `json:"channel"`
	Account   *string  `json:"account"`
	AppID     string   `json:"app_id"`
	ExpiresAt int64    `json:"expires_at"`
}

// ask sends a request to the native endpoint.
func (s *sidecar) ask(body string, headers ...string) answer {
	s.t.Helper()
	return s.send("POST", "/token", body, headers...)
}

// wantGranted checks an answer of the native endpoint: it agrees with its token,
// which is the app's.
func wantGranted(t *testing.T, a answer) (granted, *token.Token) {
	t.Helper()
	var got granted
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, want a token", a.StatusCode, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("the answer is no JSON: %v", err)
	}
	if a.Header.Get("Content-Type") != "application/json" || !strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("Content-Type %q, Cache-Control %q", a.Header.Get("Content-Type"), a.Header.Get("Cache-Control"))
	}
	made := parseToken(t, got.Token)
	if got.AppID != appA || got.ExpiresAt != int64(made.IssuedAt)+int64(made.Expire) {
		t.Errorf("app_id %s, expires_at %d; the token is of %s and ends at %d", got.AppID, got.ExpiresAt, made.AppID, int64(made.IssuedAt)+int64(made.Expire))
	}
	return got, made
}

// parseToken reads a token, which must be signed with the certificate of appA.
func parseToken(t *testing.T, text string) *token.Token {
	t.Helper()
	made, err := token.Parse(text)
	if err != nil {
		t.Fatal("what was answered is no token")
	}
	if made.AppID != appA || made.Verify(certificateA) != nil {
		t.Fatal("the token is not the app's")
	}
	return made
}

// contents says what is in a token: its lifetime, and each service with what it
// is for and the lifetimes of its privileges.
func contents(made *token.Token) string {
	text := strconv.FormatUint(uint64(made.Expire), 10)
	for _, s := range made.Services {
		names := []string{s.Channel, s.Account}
		switch s.Type {
		case token.ServiceRTM, token.ServiceChat:
			names = names[1:]
		case token.ServiceEducation:
			names[0] = s.Room
		case token.ServiceFPA:
			names = nil
		}
		text += fmt.Sprintf(" %s(%s)", s.Type, strings.Join(names, ","))
		for i, privilege := range s.Privileges {
			text += fmt.Sprintf("%c%d:%d", " ,"[min(i, 1)], privilege.ID, privilege.Expire)
		}
	}
	return text
}

// wantNotGranted checks a refusal: nothing in it is a token.
func wantNotGranted(t *testing.T, a answer) {
	t.Helper()
	wantError(t, a, http.StatusForbidden, "NotAllowed")
	wantNoToken(t, "the refusal", a.body)
}

// likeToken finds what could be a token: of all versions, and AccessToken2
// however short.
var likeToken = regexp.MustCompile(`00[1-9][\w+/-]{20,}={0,2}`)

// wantNoToken checks that nothing in a text is a token.
func wantNoToken(t *testing.T, what, text string) {
	t.Helper()
	if holdsToken(text) {
		t.Errorf("%s holds a token", what)
	}
}

func holdsToken(text string) bool {
	for _, found := range likeToken.FindAllString(text, -1) {
		// It may begin within a longer run, and end before it.
		for at := range found {
			if _, err := token.Parse(found[at:]); err == nil {
				return true
			}
			if _, err := legacy.Parse(found[at:]); err == nil {
				return true
			}
		}
	}
	return false
}
