//lint:file-ignore SA1019 The older token formats are deprecated, and are told from the present one all the same.

package command

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// soon is how long a pre-built token has to be good for at least.
const soon = time.Hour

const remedyToken = "have another one made: with an RTC service, for this App ID, and good for 24 hours at most"

// checkAuthToken checks the pre-built token, and forgets it where it cannot be
// used.
func (d *diagnosis) checkAuthToken() {
	c := &d.credentials
	if !c.authToken.isSet() {
		return
	}
	from, failed := c.authToken.from, d.count(verdictFailed)
	t, err := token.Parse(bareToken(c.authToken.value))
	if err != nil {
		d.fail(faultConfiguration, notAToken(c.authToken), remedyToken)
		c.authToken = setting{}
		return
	}
	if c.appID.isSet() && t.AppID != c.appID.value {
		d.fail(faultConfiguration, fmt.Sprintf("%s was made for another App ID than that of %s", from, c.appID.from), remedyToken)
	}
	if _, has := t.Service(token.ServiceRTC); !has {
		d.fail(faultConfiguration, from+" has no RTC service, without which ConvoAI does not take it", remedyToken)
	} else if _, has := t.Service(token.ServiceRTM); !has {
		d.warn(faultConfiguration, from+" has no RTM service", "the vendor's SDKs always add one, and agents with enable_rtm need it in their own token")
	}
	d.checkTokenTime(t)
	d.checkTokenSignature(t)
	if d.count(verdictFailed) > failed {
		c.authToken = setting{}
	}
}

// notAToken says what is set in the place of a token, without any of it.
func notAToken(s setting) string {
	if old, err := legacy.Parse(bareToken(s.value)); err == nil && old != nil {
		return subject(s) + " is a token of an older format: ConvoAI takes AccessToken2 (007) alone"
	}
	return subject(s) + " is no AccessToken2 (007), or not all of one"
}

func (d *diagnosis) checkTokenTime(t *token.Token) {
	from, now := d.credentials.authToken.from, d.now()
	err := t.CheckTime(now)
	left := t.ExpiresAt().Sub(now)
	const remedy = "from then on calls are answered with 503 CredentialUnavailable; put a new one into the file of AGORA_AUTH_TOKEN_FILE, which is followed, or have the sidecar make its own with AGORA_APP_CERTIFICATE"
	switch {
	case errors.Is(err, token.ErrExpired):
		d.fail(faultConfiguration, fmt.Sprintf("%s expired %s (%s)", from, distance(t.ExpiresAt(), now), clock(t.ExpiresAt())),
			remedyToken, "until then calls are answered with 503 CredentialUnavailable")
	case errors.Is(err, token.ErrNotYetValid):
		d.warn(faultHost, fmt.Sprintf("%s was issued %s", from, distance(t.After(0), now)), "the clock of this host is behind, or that of who made the token ahead: the vendor may refuse it")
	case left < soon:
		d.warn(faultConfiguration, fmt.Sprintf("%s expires %s (%s)", from, distance(t.ExpiresAt(), now), clock(t.ExpiresAt())), remedy)
	default:
		d.ok("%s is good until %s", from, moment(t.ExpiresAt(), now))
	}
}

// checkTokenSignature checks by which of the certificates, if there are any, the
// pre-built token was signed.
func (d *diagnosis) checkTokenSignature(t *token.Token) {
	c := d.credentials
	if !c.appCertificate.isSet() {
		return
	}
	for _, certificate := range []setting{c.appCertificate, c.appCertificateSecondary} {
		if certificate.isSet() && t.Verify(certificate.value) == nil {
			d.ok("%s is signed with %s", c.authToken.from, certificate.from)
			return
		}
	}
	d.fail(faultConfiguration, fmt.Sprintf("%s is not signed with %s", c.authToken.from, c.appCertificate.from), "one of the two is wrong: have another token made, or "+remedyConsole)
}

// checkMinting makes a token as the sidecar would, and verifies it.
func (d *diagnosis) checkMinting(certificate setting) {
	c := d.credentials
	if !c.appID.isSet() || !certificate.isSet() {
		return
	}
	signed, err := mintUnbound(c.appID.value, certificate.value, d.now())
	if err == nil {
		var t *token.Token
		if t, err = token.Parse(signed); err == nil {
			err = errors.Join(t.Verify(certificate.value), t.CheckConvoAI(d.now()))
		}
	}
	if err != nil {
		d.fail(faultHost, fmt.Sprintf("no token can be made with %s: %v", certificate.from, err), "this should not happen: please report it")
		return
	}
	d.ok("a token made of App ID and %s verifies", certificate.from)
}

// mintUnbound makes a token for a call that is about no channel, as the sidecar does
// for the list of agents.
func mintUnbound(appID, certificate string, at time.Time) (string, error) {
	t, err := token.NewConvoAI(appID, stopChannel, stopAccount, token.MaxExpire, 0)
	if err != nil {
		return "", err
	}
	t.IssuedAt = uint32(at.Unix())
	return t.Sign(certificate)
}
