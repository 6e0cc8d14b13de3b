package command

import (
	"testing"

	"github.com/caddy-convoai/convoai/token"
)

func signedToken(t *testing.T, appID string, issuedAt, expire uint32) string {
	t.Helper()
	made, err := token.NewConvoAI(appID, "room-1", "1001", expire, 0)
	if err != nil {
		t.Fatal(err)
	}
	made.IssuedAt = issuedAt
	signed, err := made.Sign(testAppCertificate)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestCredentialsDecideMode(t *testing.T) {
	preBuilt := signedToken(t, testAppID, 1700000000, 3600)
	for _, test := range []struct {
		name string
		env  map[string]string
		mode string
	}{
		{"certificate", map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate}, modeApp},
		{"token", map[string]string{"AGORA_AUTH_TOKEN": preBuilt}, modeToken},
		{"token with its scheme", map[string]string{"AGORA_AUTH_TOKEN": `agora token="` + preBuilt + `"`}, modeToken},
		{"token before certificate", map[string]string{"AGORA_AUTH_TOKEN": preBuilt, "AGORA_APP_CERTIFICATE": testAppCertificate}, modeToken},
		{"Basic", map[string]string{"AGORA_CUSTOMER_ID": "id", "AGORA_CUSTOMER_SECRET": "secret"}, modeBasic},
		{"Basic before certificate", map[string]string{
			"AGORA_CUSTOMER_ID": "id", "AGORA_CUSTOMER_SECRET": "secret", "AGORA_APP_CERTIFICATE": testAppCertificate,
		}, modeBasic},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.env["AGORA_APP_ID"] = testAppID
			setEnv(t, test.env)
			c, err := lookUpAppCredentials("")
			if err != nil {
				t.Fatal(err)
			}
			if mode, err := c.mode(); mode != test.mode || err != nil {
				t.Errorf("mode is %q (%v), want %q", mode, err, test.mode)
			}
		})
	}
}

func TestUnusableCredentialsNameTheirVariable(t *testing.T) {
	preBuilt := signedToken(t, testAppID, 1700000000, 3600)
	for _, test := range []struct {
		name, appID string
		env         map[string]string
		err         string
	}{
		{"app ID", "", map[string]string{"AGORA_APP_ID": "canary"}, "AGORA_APP_ID must be 32 hexadecimal digits"},
		{"app ID of the vendor's name", "", map[string]string{"APP_ID": "canary"}, "APP_ID must be"},
		{"app ID flag", "canary", map[string]string{"AGORA_APP_ID": testAppID}, "--app-id must be"},
		{"certificate", "", map[string]string{"AGORA_APP_CERTIFICATE": "canary"}, "AGORA_APP_CERTIFICATE must be 32 hexadecimal digits"},
		{"secondary certificate", "", map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate, "AGORA_APP_CERTIFICATE_SECONDARY": "canary"}, "AGORA_APP_CERTIFICATE_SECONDARY must be 32 hexadecimal digits"},
		{"secondary certificate alone", "", map[string]string{"AGORA_APP_CERTIFICATE_SECONDARY": testAppCertificate}, "so AGORA_APP_CERTIFICATE is needed as well"},
		{"ID without secret", "", map[string]string{"AGORA_CUSTOMER_ID": "canary"}, "AGORA_CUSTOMER_SECRET is needed"},
		{"secret without ID", "", map[string]string{"AGORA_CUSTOMER_SECRET": "canary"}, "AGORA_CUSTOMER_ID is needed"},
		{
			"Basic and token", "",
			map[string]string{"AGORA_CUSTOMER_ID": "canary", "AGORA_CUSTOMER_SECRET": "canary", "AGORA_AUTH_TOKEN": preBuilt},
			"AGORA_CUSTOMER_ID and AGORA_AUTH_TOKEN are both set",
		},
		{"colon", "", map[string]string{"AGORA_CUSTOMER_ID": "can:ary", "AGORA_CUSTOMER_SECRET": "canary"}, "AGORA_CUSTOMER_ID must not contain a colon"},
		{"line break", "", map[string]string{"AGORA_CUSTOMER_ID": "id", "AGORA_CUSTOMER_SECRET": "canary\r\nX: y"}, "AGORA_CUSTOMER_SECRET must consist of printable"},
		{"no token", "", map[string]string{"AGORA_AUTH_TOKEN": "canary"}, "AGORA_AUTH_TOKEN is not a token"},
		{"token of another app", "0123456789abcdef0123456789abcdef", map[string]string{"AGORA_AUTH_TOKEN": preBuilt}, "AGORA_AUTH_TOKEN was made for another app ID than that of --app-id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.env)
			_, err := lookUpAppCredentials(test.appID)
			checkError(t, err, test.err)
		})
	}
}

func TestNoCredentialSaysWhatToDo(t *testing.T) {
	setEnv(t, map[string]string{"AGORA_APP_ID": testAppID})
	c, err := lookUpAppCredentials("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.mode()
	for _, word := range []string{"AGORA_APP_CERTIFICATE", "AGORA_CUSTOMER_ID", "AGORA_CUSTOMER_SECRET", "AGORA_AUTH_TOKEN", "_FILE", "caddy convoai demo"} {
		checkError(t, err, word)
	}
}

func TestConfigGetsPlaceholdersOnly(t *testing.T) {
	setEnv(t, map[string]string{
		"APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate, "AGORA_APP_CERTIFICATE_SECONDARY": testAppCertificate,
		"AGORA_CUSTOMER_ID": "id", "AGORA_CUSTOMER_SECRET": "secret",
	})
	c, err := lookUpAppCredentials("")
	if err != nil {
		t.Fatal(err)
	}
	got := c.forConfig()
	if got.AppID != "{env.APP_ID}" || got.AppCertificate != "{env.AGORA_APP_CERTIFICATE}" ||
		got.AppCertificateSecondary != "{env.AGORA_APP_CERTIFICATE_SECONDARY}" ||
		got.CustomerID != "{env.AGORA_CUSTOMER_ID}" || got.CustomerSecret != "{env.AGORA_CUSTOMER_SECRET}" || got.AuthToken != "" {
		t.Errorf("got %+v", got)
	}
	const other = "0123456789abcdef0123456789abcdef"
	if c, err = lookUpAppCredentials(other); err != nil || c.forConfig().AppID != other {
		t.Errorf("the flag's app ID does not count: %v", err)
	}
}
