package caddymodule

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"github.com/caddy-convoai/convoai/cache"
	"github.com/caddy-convoai/convoai/token"
)

// tokenKey is everything that shapes the header of a minted token, so that no two
// that differ share an entry.
type tokenKey struct {
	signer   unique.Handle[signerID]
	channel  string
	account  string
	lifetime uint32 // seconds
	quoted   bool
}

// hashTokenKey hashes what most keys differ in: the signer, which is the app with its
// certificate, the channel and the account.
func hashTokenKey(seed maphash.Seed, key tokenKey) uint64 {
	return bits.RotateLeft64(maphash.String(seed, key.channel), 1) ^ maphash.String(seed, key.account) ^
		maphash.Comparable(seed, key.signer)
}

// mintedToken is a token as the header that it is sent as. It is known by its
// address: the one that was refused is that one. Many are kept, so it is small.
type mintedToken struct {
	header    string
	expiresAt int64         // by this host's clock, Unix nanoseconds
	offset    time.Duration // of the clock that it was dated by
}

type tokenCache = cache.Cache[tokenKey, *mintedToken]

// tokenScheme stands in front of a token in Authorization.
const tokenScheme = "agora token="

// tokenHeader returns the header that a token is sent as. The vendor documents
// both forms.
func tokenHeader(text string, quoted bool) string {
	if quoted {
		return tokenScheme + `"` + text + `"`
	}
	return tokenScheme + text
}

// credential returns t, which s made for key, as a credential.
func (t *mintedToken) credential(key tokenKey, s *signer) credential {
	return credential{
		header: t.header, secret: t.text(), minted: t, key: key, signer: s,
		expiresAt: time.Unix(0, t.expiresAt),
	}
}

// text returns the token itself.
func (t *mintedToken) text() string { return strings.Trim(t.header[len(tokenScheme):], `"`) }

// signer makes the tokens of one app with one value of a certificate. A key
// carries its identity, so that no token is filed under another certificate than
// its own. It implements [cache.Source].
type signer struct {
	id          unique.Handle[signerID]
	appID       string
	certificate string
	clock       *vendorClock
	metrics     *metrics
	told        func(kind string, err error) // how each mint has gone
	now         func() time.Time

	retired atomic.Bool // its project signs with something else
}

// dated returns a ConvoAI token that is not signed yet. It is dated now, by the
// vendor's clock.
func (s *signer) dated(channel, account string, lifetime uint32, offset time.Duration) (*token.Token, error) {
	t, err := token.NewConvoAI(s.appID, channel, account, lifetime, 0)
	if err != nil {
		return nil, err
	}
	t.IssuedAt = uint32(s.now().Add(offset).Unix())
	return t, nil
}

// Mint makes the token of key. It implements [cache.Source].
func (s *signer) Mint(_ context.Context, key tokenKey) (cache.Credential[*mintedToken], error) {
	return s.mint(key, s.clock.offset())
}

// mint makes the token of key, dated by this host's clock plus offset.
func (s *signer) mint(key tokenKey, offset time.Duration) (made cache.Credential[*mintedToken], err error) {
	defer func() { s.minted("header", err) }()
	var none cache.Credential[*mintedToken]
	now := s.now()
	t, err := s.dated(key.channel, key.account, key.lifetime, offset)
	if err != nil {
		return none, err
	}
	signed, err := t.Sign(s.certificate)
	if err != nil {
		return none, err
	}
	expiresAt := t.ExpiresAt().Add(-offset)
	return cache.Credential[*mintedToken]{
		Value:     &mintedToken{header: tokenHeader(signed, key.quoted), expiresAt: expiresAt.UnixNano(), offset: offset},
		IssuedAt:  now,
		ExpiresAt: expiresAt,
	}, nil
}

// minted counts a token that was made, or not.
func (s *signer) minted(kind string, err error) {
	s.metrics.minted(kind, err)
	s.told(kind, err)
}

// minted returns the cached token of key, signed by s whatever signer key names.
func (p *project) minted(ctx context.Context, s *signer, key tokenKey) (credential, error) {
	key.signer = s.id
	t, result, err := p.state.tokens.Lookup(ctx, key, s)
	p.state.metrics.looked(result)
	if s.retired.Load() {
		// It was replaced at this moment, and what it made may have come too late
		// to be dropped with the rest.
		p.state.dropUnheld(s.id)
	}
	if err != nil {
		if errors.Is(err, cache.ErrExpired) { // which the signer does not notice
			p.minting("header", err)
		}
		return credential{looked: true, result: result}, err
	}
	c := t.credential(key, s)
	c.looked, c.result = true, result
	return c, nil
}

// tentative returns a credential that is dated by what is suspected to be the
// vendor's clock. Nothing keeps it: should the vendor refuse it as well, tokens are
// dated as before.
func (p *project) tentative(s *signer, key tokenKey, offset time.Duration) (credential, error) {
	key.signer = s.id
	made, err := s.mint(key, offset)
	if err != nil {
		return credential{}, err
	}
	c := made.Value.credential(key, s)
	c.tentative = true
	return c, nil
}

// renew returns a credential in the place of one that has expired.
func (p *project) renew(ctx context.Context, expired credential) (credential, error) {
	if expired.minted == nil {
		return credential{}, errTokenExpired
	}
	return p.minted(ctx, p.signing().inUse(), expired.key)
}
