package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-convoai/convoai/cache"
	"github.com/caddy-convoai/convoai/token"
)

// tokenKey is everything that shapes a minted token, so that no two tokens that
// differ share an entry.
type tokenKey struct {
	appID       string
	certificate [32]byte // SHA-256
	channel     string
	account     string
	lifetime    uint32 // seconds
}

// mintedToken is a token with the two header values that it can be sent as. A
// token is known by its address: the one that was refused is that one.
type mintedToken struct {
	text   string
	header string
	quoted string

	expiresAt time.Time
}

type tokenCache = cache.Cache[tokenKey, *mintedToken]

// errCertificateReplaced says that the certificate's file has changed since the
// key of a token was made.
var errCertificateReplaced = errors.New("app_certificate has been replaced")

// minted returns the cached token of key, signed with the present certificate.
func (p *project) minted(ctx context.Context, key tokenKey) (credential, error) {
	key.certificate = p.certificate.load().identity
	t, err := p.tokens.Get(ctx, key, p)
	if errors.Is(err, errCertificateReplaced) {
		key.certificate = p.certificate.load().identity
		t, err = p.tokens.Get(ctx, key, p)
	}
	if err != nil {
		return credential{}, err
	}
	c := credential{header: t.header, secret: t.text, minted: t, key: key, expiresAt: t.expiresAt}
	if p.quote {
		c.header = t.quoted
	}
	return c, nil
}

// dropTokens drops the tokens that were signed with a certificate which has been
// replaced. Nobody would ask for them again.
func (p *project) dropTokens(previous *secretValue) {
	p.tokens.Purge(func(key tokenKey) bool { return key.appID == p.appID && key.certificate == previous.identity })
}

// renew returns a credential in the place of one that has expired.
func (p *project) renew(ctx context.Context, expired credential) (credential, error) {
	if expired.minted == nil {
		return credential{}, errTokenExpired
	}
	return p.minted(ctx, expired.key)
}

// replaceRejected returns a credential in the place of one that the vendor
// refused. ok is false where there is none to be had: a static one, or one that
// is refused time and again.
func (p *project) replaceRejected(ctx context.Context, refused credential) (c credential, ok bool) {
	if refused.minted == nil || p.refusals.resting(refused.key.certificate, p.now()) ||
		!p.tokens.Reject(refused.key, refused.minted) {
		return credential{}, false
	}
	c, err := p.minted(ctx, refused.key)
	return c, err == nil && c.minted != refused.minted
}

// resent records how a call fared with the credential of replaceRejected.
func (p *project) resent(refusedAgain bool) {
	p.refusals.record(refusedAgain, p.certificate.load().identity, p.now())
}

// Mint makes the token of key. It implements [cache.Source].
func (p *project) Mint(_ context.Context, key tokenKey) (cache.Credential[*mintedToken], error) {
	var none cache.Credential[*mintedToken]
	certificate := p.certificate.load()
	if certificate.identity != key.certificate {
		// The token would be filed under the old certificate.
		return none, errCertificateReplaced
	}
	t, err := token.NewConvoAI(key.appID, key.channel, key.account, key.lifetime, 0)
	if err != nil {
		return none, err
	}
	now := p.now()
	t.IssuedAt = uint32(now.Unix())
	signed, err := t.Sign(certificate.text)
	if err != nil {
		return none, err
	}
	return cache.Credential[*mintedToken]{
		Value:     &mintedToken{text: signed, header: "agora token=" + signed, quoted: `agora token="` + signed + `"`, expiresAt: t.ExpiresAt()},
		IssuedAt:  now,
		ExpiresAt: t.ExpiresAt(),
	}, nil
}
