package caddymodule

import (
	"time"

	"github.com/caddy-convoai/convoai/cache"
)

// expiry is what there is to know of the present tokens' ends.
type expiry struct {
	// first is when the first token expires that somebody may still need, minted
	// or configured; firstConfigured that of the first configured one. Zero
	// without any.
	first, firstConfigured time.Time

	// overdue is for how long the one has been due to be refreshed that has been
	// so for longest.
	overdue time.Duration
}

// expiry looks at all tokens. A minted one that is due to be refreshed counts only
// if it has been asked for since it was made, or if its mint has failed: any other
// is not replaced, and to run out is what it is there for. (That is the token of
// nearly every join, whose channel nobody asks for again.)
func (s *state) expiry() expiry {
	var e expiry
	now := s.now()
	s.tokens.Each(func(i cache.Info[tokenKey]) bool {
		overdue := now.Sub(i.RefreshAt)
		if overdue >= 0 && !i.Used && i.Failures == 0 {
			return true
		}
		e.overdue = max(e.overdue, overdue)
		e.first = sooner(e.first, i.ExpiresAt)
		return true
	})
	for _, p := range s.all() {
		if p.mode != modeToken {
			continue
		}
		if token, err := p.preBuilt(); err == nil {
			e.firstConfigured = sooner(e.firstConfigured, token.expiresAt)
		}
	}
	if !e.firstConfigured.IsZero() {
		e.first = sooner(e.first, e.firstConfigured)
	}
	return e
}

// sooner returns the earlier of two times, of which a may be none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
