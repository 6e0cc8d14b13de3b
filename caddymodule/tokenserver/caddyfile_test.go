package tokenserver

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-convoai/convoai/caddymodule/internal/adapttest"
)

func TestAdapt(t *testing.T) { adapttest.Goldens(t) }

// Every message that the Caddyfile parser can give stands in a golden, with its
// line.
func TestEveryCaddyfileErrorHasAGolden(t *testing.T) {
	messages := adapttest.Messages(t, 8, []string{"Errf", "atStart", "New"}, "caddyfile.go")
	for _, err := range []error{
		errPatternEmpty, errPatternPlaceholder, errKinds, errRoles, errMaxExpire, errUsersUser, errIdentity,
		errOrigin, errDialects, errChatDialects, errDialectsTwice, errMaxBody, errRuleName, errOnOff,
	} {
		messages = append(messages, err.Error())
	}
	adapttest.EveryErrorHasAGolden(t, messages)
}

// {$X} is put in before anything is parsed. Where X has several lines, all but
// the first end up where subdirectives stand, and are no less secret there.
func TestSecretOfSeveralLinesIsNotShown(t *testing.T) {
	const first, second = "c4nary-first", "c4nary-second"
	for _, secret := range []string{
		first + "\n" + second, first + "\n" + second + " " + second, "-----BEGIN-----\n" + second + "\n-----END-----", first + "\n" + second + " {\n" + second + "\n}",
		first + "\nkinds " + second, first + "\nallow " + second + " {\nkinds " + second + "\n}", first + "\norigins " + second, first + "\nmax_body " + second,
		first + "\nallow {\nidentity " + second + "\n}", first + "\nallow {\n" + second + " x\n}",
	} {
		t.Setenv("CONVOAI_TEST_SECRET", secret)
		for _, name := range []string{"app_id", "app_certificate", "app_certificate_secondary"} {
			for _, quote := range []string{"", `"`} {
				got, ok := adapttest.Adapt(t, "http://:8080 {\n\tconvoai_token_server {\n\t\t"+name+" "+quote+"{$CONVOAI_TEST_SECRET}"+quote+"\n\t}\n}\n")
				if ok {
					t.Errorf("%s: accepted", name)
				}
				if strings.Contains(got, "c4nary") {
					t.Errorf("%s: the error shows a line of the secret: %s", name, strings.ReplaceAll(got, "c4nary", "[secret]"))
				}
				if !strings.Contains(got, "Caddyfile:") {
					t.Errorf("%s: the error names no line", name)
				}
			}
		}
	}
}

// What a Caddyfile may say wrong, JSON may as well; it is found at load.
func TestJSONErrors(t *testing.T) {
	for name, settings := range map[string]string{
		"dialect":         `"dialects":["docker","php"]`,
		"dialects":        `"dialects":["chat-node","chat-python"]`,
		"origin":          `"origins":["*"]`,
		"body":            `"max_body":-1`,
		"large body":      `"max_body":1048577`,
		"kind":            `"allow":[{"kinds":["all"]}]`,
		"role":            `"allow":[{"roles":["host"]}]`,
		"identity":        `"allow":[{"identity":"{http.request.uri.query.user}"}]`,
		"header identity": `"allow":[{"identity":"{http.request.header.X-User}"}]`,
		"pattern":         `"allow":[{"channels":["{http.auth.user.id}"]}]`,
		"lifetime":        `"allow":[{"max_expire":"25h"}]`,
		"names":           `"allow":[{"name":"a"},{"name":"a"}]`,
		"unknown member":  `"alow":[{}]`,
		"app ID":          `"app_id":"x"`,
		"secondary alone": `"app_certificate_secondary":"` + certificate + `"`,
		"no certificate":  `"app_id":"` + strings.Repeat("0", 32) + `"`,
	} {
		credentials := `"app_id":"` + appID + `","app_certificate":"` + certificate + `",`
		if strings.Contains(settings, `"app_`) {
			credentials = ""
		}
		err := validateJSON(t, []byte(`{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":[":8080"],"routes":[{"handle":[{"handler":"convoai_token_server",`+
			credentials+settings+`}]}]}}}}}`))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), certificate) {
			t.Errorf("%s: the error shows the certificate", name)
		}
	}
}

// The credentials may be those of the global option.
func TestCredentialsOfTheGlobalOption(t *testing.T) {
	if err := validate(t, "http://:8080 {\nconvoai_token_server\n}"); err == nil || !strings.Contains(err.Error(), "app_id is required") {
		t.Error(err)
	}
	_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\nconvoai {\napp_id "+appID+"\napp_certificate "+certificate+"\n}\n}\nhttp://:8080 {\nconvoai_token_server\n}"), nil)
	if err != nil {
		t.Error(err)
	}
}
