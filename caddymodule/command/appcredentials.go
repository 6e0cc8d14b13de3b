package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/token"
)

// Auth modes, as {http.convoai.auth_mode} shows them.
const (
	modeBasic = "basic"
	modeToken = "token"
	modeApp   = "app-credentials"
)

// appCredentials are the credentials of one app and where they came from. Which
// of them are set decides the mode, as in the vendor's SDKs: Basic, else the
// pre-built token, else tokens minted with the app certificate.
type appCredentials struct {
	appID, appCertificate      setting
	appCertificateSecondary    setting
	customerID, customerSecret setting
	authToken                  setting
}

// errNoCredential says what is needed to start a sidecar.
var errNoCredential = errors.New("no credential in the environment: set AGORA_APP_ID and AGORA_APP_CERTIFICATE" +
	" (or, beside AGORA_APP_ID, AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET, or AGORA_AUTH_TOKEN)," +
	" or the same names with _FILE added and the name of a file;" +
	" to try the sidecar without an account: caddy convoai demo")

// lookUpAppCredentials reads the credentials from the environment, and the app ID
// from a flag if it is given, and checks them. Errors name the flag or the
// variable.
func lookUpAppCredentials(appIDFlag string) (appCredentials, error) {
	c, err := envAppCredentials()
	if err != nil {
		return appCredentials{}, err
	}
	if flag := strings.TrimSpace(appIDFlag); flag != "" {
		c.appID = setting{value: flag, from: "--app-id"}
	}
	return c, c.check()
}

// envAppCredentials reads the credentials from the environment, unchecked.
func envAppCredentials() (c appCredentials, err error) {
	for _, f := range []struct {
		setting *setting
		names   []string
	}{
		{&c.appID, envAppID},
		{&c.appCertificate, envAppCertificate},
		{&c.appCertificateSecondary, envAppCertificateSecondary},
		{&c.customerID, envCustomerID},
		{&c.customerSecret, envCustomerSecret},
		{&c.authToken, envAuthToken},
	} {
		if *f.setting, err = lookUp(f.names...); err != nil {
			return appCredentials{}, err
		}
	}
	return c, nil
}

// check finds what cannot be used, whatever it is to be used for.
func (c appCredentials) check() error {
	for _, id := range []setting{c.appID, c.appCertificate, c.appCertificateSecondary} {
		if id.isSet() && !token.ValidID(id.value) {
			return fmt.Errorf("%s must be 32 hexadecimal digits", id.from)
		}
	}
	switch {
	case c.appCertificateSecondary.isSet() && !c.appCertificate.isSet():
		return fmt.Errorf("%s is set, so AGORA_APP_CERTIFICATE is needed as well", c.appCertificateSecondary.from)
	case c.customerID.isSet() && !c.customerSecret.isSet():
		return fmt.Errorf("%s is set, so AGORA_CUSTOMER_SECRET is needed as well", c.customerID.from)
	case !c.customerID.isSet() && c.customerSecret.isSet():
		return fmt.Errorf("%s is set, so AGORA_CUSTOMER_ID is needed as well", c.customerSecret.from)
	case c.customerID.isSet() && c.authToken.isSet():
		return fmt.Errorf("%s and %s are both set: one call cannot be authorised in two ways, unset one of them", c.customerID.from, c.authToken.from)
	case strings.Contains(c.customerID.value, ":"):
		return fmt.Errorf("%s must not contain a colon", c.customerID.from)
	}
	for _, s := range []setting{c.customerID, c.customerSecret} {
		if !printable(s.value) {
			return fmt.Errorf("%s must consist of printable ASCII characters", s.from)
		}
	}
	if c.authToken.isSet() {
		if _, err := c.parseAuthToken(); err != nil {
			return err
		}
	}
	return nil
}

// parseAuthToken reads the pre-built token, with or without "agora token=" in
// front.
func (c appCredentials) parseAuthToken() (*token.Token, error) {
	t, err := token.Parse(bareToken(c.authToken.value))
	if err != nil {
		return nil, fmt.Errorf("%s is not a token: %w", c.authToken.from, err)
	}
	if c.appID.isSet() && t.AppID != c.appID.value {
		return nil, fmt.Errorf("%s was made for another app ID than that of %s", c.authToken.from, c.appID.from)
	}
	return t, nil
}

// bareToken removes "agora token=" and the quotes that may follow it.
func bareToken(s string) string {
	const scheme = "agora token="
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		return strings.Trim(s[len(scheme):], `"`)
	}
	return s
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// mode returns how calls are authorised, or errNoCredential.
func (c appCredentials) mode() (string, error) {
	switch {
	case c.customerID.isSet():
		return modeBasic, nil
	case c.authToken.isSet():
		return modeToken, nil
	case c.appCertificate.isSet():
		return modeApp, nil
	}
	return "", errNoCredential
}

// forConfig returns c as it may stand in a Caddy configuration: with
// placeholders for whatever came from the environment.
func (c appCredentials) forConfig() caddymodule.Credentials {
	appID := c.appID.placeholder
	if appID == "" {
		appID = c.appID.value // of a flag, and no secret
	}
	return caddymodule.Credentials{
		AppID:                   appID,
		AppCertificate:          c.appCertificate.placeholder,
		AppCertificateSecondary: c.appCertificateSecondary.placeholder,
		CustomerID:              c.customerID.placeholder,
		CustomerSecret:          c.customerSecret.placeholder,
		AuthToken:               c.authToken.placeholder,
	}
}
