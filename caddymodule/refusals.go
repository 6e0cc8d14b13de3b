package caddymodule

import (
	"context"
	"net/http"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// replaceRejected returns a credential in the place of one that the vendor
// refused in an answer of which seen is the Date. ok is false where there is none
// to be had: for a static one, and for one that is refused time and again.
//
// What it is replaced by depends on why it was refused. Where the Date says that
// tokens are dated by another clock than the vendor's, one that is dated by the
// vendor's has its try. A token that was dated by another clock, or signed by
// another certificate, than a token would be now is replaced by one as it would be
// now. Otherwise the token itself is at fault, and a new one is made; or the
// certificate is, and then the other one has its try.
func (p *project) replaceRejected(ctx context.Context, refused credential, seen sighting) (c credential, ok bool) {
	if refused.minted == nil {
		return credential{}, false
	}
	g, offset := p.signing(), p.state.clock.offset()
	use := g.inUse()
	if suspected, ok := p.state.clock.suspect(seen); ok && !g.standing.doubting(p.now()) {
		c, err := p.tentative(use, refused.key, suspected)
		return c, err == nil
	}
	switch {
	case refused.minted.offset != offset || refused.signer.id != use.id:
		p.state.tokens.Reject(refused.key, refused.minted)
	case g.standing.resting(offset, p.now()) || !p.state.tokens.Reject(refused.key, refused.minted):
		return credential{}, false
	case g.other() != nil:
		use = g.other()
	}
	c, err := p.minted(ctx, use, refused.key)
	return c, err == nil && c.minted != refused.minted
}

// resent takes note of how a call fared with the credential of replaceRejected.
func (p *project) resent(c credential, status int) {
	g := p.signing()
	switch {
	case !g.has(c.signer):
		// The certificates have changed meanwhile.
	case status == http.StatusUnauthorized && c.tentative:
		g.standing.doubt(p.now())
	case status == http.StatusUnauthorized:
		g.standing.refused(c.minted.offset, p.now())
	case tellsOfCredential(status):
		g.standing.accepted()
		p.keepUsing(g, c.signer)
		if c.tentative && p.state.clock.adopt(c.minted.offset, p.now(), p.logger) {
			// All others are dated wrongly, and so is what their back-offs are about.
			p.state.dropAll()
		}
	}
}

// keepUsing has the signer of an accepted token be the one in use from now on.
func (p *project) keepUsing(g *signing, s *signer) {
	before := g.inUse()
	name, changed := g.use(s)
	if !changed {
		return
	}
	p.state.drop(before.id)
	level := zapcore.WarnLevel
	if !g.standing.tells(p.now()) {
		level = zapcore.DebugLevel
	}
	p.logger.Log(level, "the vendor has refused a token of the app certificate that was in use and accepted one of the other: the other is used from now on; see whether the first is still enabled",
		zap.String("app_id_ends_in", p.ends()), zap.String("in_use", name))
}

// tellsOfCredential reports whether a status other than 401 says that a
// credential was accepted. A gateway that is overloaded may not have looked at it.
func tellsOfCredential(status int) bool {
	return status < http.StatusInternalServerError && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout
}
