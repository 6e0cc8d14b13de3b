package command

import (
	"encoding/hex"
	"regexp"
	"strings"
)

// veil keeps secrets out of what others say. An upstream may repeat what was sent
// to it, all of it or a part, plainly or encoded.
type veil struct {
	secrets []string // in lower case
	appID   string
}

// shortest is how many bytes of a secret in a row give it away.
const shortest = 8

// veil returns one for all secrets of d, and for a header that was sent.
func (d *diagnosis) veil(header string) veil {
	c := d.credentials
	_, sent, _ := strings.Cut(header, " ")
	v := veil{appID: c.appID.value}
	for _, secret := range []string{
		strings.TrimPrefix(sent, "token="), c.appCertificate.value, c.appCertificateSecondary.value,
		c.customerSecret.value, c.customerID.value, bareToken(c.authToken.value), d.callerToken.value,
	} {
		if secret != "" {
			v.secrets = append(v.secrets, strings.ToLower(secret))
		}
	}
	return v
}

// show returns what others say as it can be shown, see foreign.
func (v veil) show(text string, most int) string {
	if v.reveals(text) {
		return "[not shown: it repeats a secret]"
	}
	if v.appID != "" {
		text = strings.ReplaceAll(text, v.appID, "…"+ending(v.appID))
	}
	return foreign(text, most)
}

// reveals reports whether text holds a secret, or enough of one.
func (v veil) reveals(text string) bool {
	decoded := percentEncoded.ReplaceAllStringFunc(text, func(s string) string {
		b, _ := hex.DecodeString(s[1:]) // it matches
		return string(b)
	})
	for _, form := range []string{strings.ToLower(text), strings.ToLower(decoded)} {
		for _, secret := range v.secrets {
			if shares(form, secret) {
				return true
			}
		}
	}
	return false
}

var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// shares reports whether text holds shortest bytes of secret in a row, or all of a
// shorter one.
func shares(text, secret string) bool {
	n := min(len(secret), shortest)
	for i := 0; i+n <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+n]) {
			return true
		}
	}
	return false
}
