package caddymodule

import (
	"bytes"
	"slices"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
)

// filling is the tokens that the body of a call was completed with. They are
// replaced when the call is sent again because the certificate or the clock was
// wrong: the media side would refuse them for the same reason as the vendor's API
// has refused the header's.
type filling struct {
	signer   *signer
	offset   time.Duration
	lifetime uint32

	tokens []filledToken
	few    [1]filledToken // most bodies have one
}

type filledToken struct{ channel, account, text string }

// newFilling returns a filling without tokens.
func (p *project) newFilling(s *signer, offset time.Duration) filling {
	return filling{signer: s, offset: offset, lifetime: p.seconds()}
}

// mint makes a token for a body: each time a new one, which lives as long from
// its own time as it is configured to. Tokens of the cache are in the middle of
// their lives, and the vendor advises against one token for header and body. It is
// not compressed, which would take longer than all the rest of filling.
//
// Where the vendor assigns the uid, nobody knows whom the token will be for. Its
// RTC uid is then "", which fits any, and its RTM account "0", the agent_rtc_uid
// that asks for it. This is our choice: the vendor documents only "set the token
// accordingly".
func (f *filling) mint(channel, account string) (text string, err error) {
	defer func() { f.signer.minted("body", err) }()
	t, err := f.signer.dated(channel, account, f.lifetime, f.offset)
	if err != nil {
		return "", err
	}
	if account == api.AssignedAccount {
		if rtc, ok := t.Service(token.ServiceRTC); ok {
			rtc.Account = ""
		}
	}
	text, err = t.SignStored(f.signer.certificate)
	if err != nil {
		return "", err
	}
	if f.tokens == nil {
		f.tokens = f.few[:0]
	}
	f.tokens = append(f.tokens, filledToken{channel, account, text})
	return text, nil
}

// complete fills the gaps of the call's body.
func (c *Call) complete(body *api.Body) (err error) {
	p := c.project
	c.completed = true
	c.filling = p.newFilling(p.signing().inUse(), p.state.clock.offset())
	c.body, err = body.Complete(p.appID, c.filling.mint)
	return err
}

// refill has the tokens that were filled into the call's body be of the same
// certificate and the same clock as its credential, which was minted. An attempt
// that is over may still be reading the old body.
func (c *Call) refill() error {
	if !c.completed || c.filling.signer == c.credential.signer && c.filling.offset == c.credential.minted.offset {
		return nil
	}
	body, previous := c.body, slices.Clone(c.filling.tokens)
	c.filling = c.project.newFilling(c.credential.signer, c.credential.minted.offset)
	for _, old := range previous {
		text, err := c.filling.mint(old.channel, old.account)
		if err != nil {
			return err
		}
		body = bytes.Replace(body, []byte(old.text), []byte(text), 1)
	}
	c.body = body
	return nil
}
