package tokenserver

import (
	"errors"
	"math"
	"time"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/token"
)

// minted is a token that was granted.
type minted struct {
	token     string
	wish      *wish
	appID     string
	expiresAt int64 // Unix seconds
}

// signable is an unsigned token, of any version.
type signable interface {
	Sign(appCertificate string) (string, error)
}

// mint makes the token of w within the limits of the rule that grants it. An error
// that is a *token.RangeError says what is wrong with w.
func mint(signer *caddymodule.TokenSigner, w *wish, r *rule) (minted, error) {
	now := signer.Now()
	expire, privilegeExpire := r.lifetime(w)
	unsigned, err := build(signer.AppID(), w, now, expire, privilegeExpire)
	if err != nil {
		return minted{}, err
	}
	signed, err := signer.Sign(mintedKind(w.kinds), unsigned)
	return minted{token: signed, wish: w, appID: signer.AppID(), expiresAt: now.Unix() + int64(expire)}, err
}

// mintedKind is what a token counts as in the metrics, where combinations would
// be too many.
func mintedKind(list []kind) string {
	if len(list) > 1 {
		return "combined"
	}
	return list[0].String()
}

var errClock = errors.New("the clock shows a time that a token cannot hold")

// build returns the unsigned token of w. Several kinds are several services of one
// token, as the vendor's own server has them.
func build(appID string, w *wish, now time.Time, expire, privilegeExpire uint32) (signable, error) {
	issuedAt := now.Unix()
	if issuedAt < 0 || issuedAt > math.MaxUint32-token.MaxExpire {
		return nil, errClock
	}
	if first := w.kinds[0]; first.is006() {
		t, err := first.info().build006(appID, w, uint32(issuedAt)+expire)
		if err != nil {
			return nil, err
		}
		// The vendor's builder puts the time in 24 hours here, whatever the
		// privileges. Where it is taken for the token's end, the limit holds.
		t.IssuedAt = uint32(issuedAt) + expire
		return t, nil
	}
	var whole *token.Token
	for _, k := range w.kinds {
		part, err := k.info().build(appID, w, expire, privilegeExpire)
		if err != nil {
			return nil, err
		}
		if whole == nil {
			whole = part
		} else {
			whole.Services = append(whole.Services, part.Services...)
		}
	}
	whole.IssuedAt = uint32(issuedAt)
	return whole, nil
}
