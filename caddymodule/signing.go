package caddymodule

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
	"unique"
)

// signing is what a project signs with for as long as none of its certificates
// changes.
type signing struct {
	values   certificateValues
	signers  [2]*signer // primary and secondary
	standing *standing
}

// certificateValues are the values of app_certificate and
// app_certificate_secondary. The second is nil where there is none.
type certificateValues [2]*secretValue

const (
	primary = iota
	secondary
)

// certificateNames are their subdirectives.
var certificateNames = [2]string{"app_certificate", "app_certificate_secondary"}

// pairID tells pairs of certificates of an app apart.
type pairID [2]unique.Handle[signerID]

// standing is what the vendor's answers have said of an app's certificates. It
// belongs to their values: others begin anew. It outlives a reload.
type standing struct {
	inUse atomic.Int32 // primary or secondary

	mu     sync.Mutex // guards what follows
	rest   rest
	offset time.Duration // that the rest is about
	doubts rest          // after a token that was dated by a suspected clock was refused as well
	told   rest          // after the log was told that the other certificate is in use
}

// resting reports whether tokens are not to be replaced, because a fresh one was
// refused as the one before was. The fault then lies with the certificate, not
// with a token, and every channel would have its token replaced for nothing.
// Calls go out meanwhile, each once. Another offset of the clock ends the rest.
func (s *standing) resting(offset time.Duration, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset == offset && s.rest.on(now)
}

// refused says that a fresh token was refused like the one before it.
func (s *standing) refused(offset time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offset != offset {
		s.rest, s.offset = rest{}, offset
	}
	s.rest.begin(now)
}

// doubting reports whether tokens are not to be dated by what an answer suggests,
// because one that was has been refused: an upstream whose Date means nothing must
// not have tokens made without end.
func (s *standing) doubting(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doubts.on(now)
}

// doubt says that a token was refused which was dated by a suspected clock.
func (s *standing) doubt(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubts.begin(now)
}

// accepted says that a fresh token was accepted.
func (s *standing) accepted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest.end()
	s.doubts.end()
}

// tells reports whether the log is to be told that the other certificate is in
// use. Upstreams that accept different ones, as while the vendor replaces one, must
// not fill it.
func (s *standing) tells(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	resting := s.told.on(now)
	s.told.begin(now)
	return !resting
}

// inUse is what tokens are signed with.
func (g *signing) inUse() *signer { return g.signers[g.standing.inUse.Load()] }

// other is what the resend of a refused call may be signed with instead. It is
// nil where there is nothing else.
func (g *signing) other() *signer { return g.signers[1-g.standing.inUse.Load()] }

// has reports whether s is one of the signers.
func (g *signing) has(s *signer) bool { return s == g.signers[primary] || s == g.signers[secondary] }

// use has tokens be signed with what was the other signer, and reports whether
// that is a change. A signer of other certificates changes nothing.
func (g *signing) use(s *signer) (name string, changed bool) {
	for i, candidate := range g.signers {
		if candidate == s {
			return certificateNames[i], g.standing.inUse.CompareAndSwap(int32(1-i), int32(i))
		}
	}
	return "", false
}

// signing returns what to sign with now. Files that have changed are read again,
// at most once per fileCheckInterval.
func (p *project) signing() *signing {
	values := certificateValues{p.certificate.load(), p.secondary.load()}
	if current := p.signs.Load(); current != nil && current.values == values {
		return current
	}
	return p.renewSigning()
}

// renewSigning makes what to sign with after a change of a certificate, and
// drops the tokens of the previous one.
func (p *project) renewSigning() *signing {
	p.mu.Lock()
	defer p.mu.Unlock()
	values := certificateValues{p.certificate.value.Load(), p.secondary.present()}
	previous := p.signs.Load()
	if previous != nil && previous.values == values {
		return previous
	}
	next := &signing{values: values}
	next.signers[primary] = p.newSigner(values[primary])
	id := pairID{next.signers[primary].id}
	if values[secondary] != nil && values[secondary].identity != values[primary].identity {
		next.signers[secondary] = p.newSigner(values[secondary])
		id[secondary] = next.signers[secondary].id
	}
	next.standing = p.state.standing(id)
	if p.closed {
		next.retire()
	} else {
		next.hold(p.state)
	}
	p.signs.Store(next)
	if previous != nil {
		previous.retire()
		if !p.closed {
			previous.release(p.state)
		}
	}
	return next
}

// close drops the tokens that nobody but p would ask for.
func (p *project) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if current := p.signs.Load(); current != nil && !p.closed {
		current.retire()
		current.release(p.state)
	}
	p.closed = true
}

func (g *signing) retire() {
	for _, s := range g.signers {
		if s != nil {
			s.retired.Store(true)
		}
	}
}

func (g *signing) hold(to *state) {
	for _, s := range g.signers {
		if s != nil {
			to.hold(s.id)
		}
	}
}

func (g *signing) release(to *state) {
	for _, s := range g.signers {
		if s != nil {
			to.release(s.id)
		}
	}
}

// signerID tells signers apart: two that have the same make the same tokens.
type signerID struct {
	appID       string
	certificate [sha256.Size]byte
}

// newSigner returns the signer of a certificate's value.
func (p *project) newSigner(value *secretValue) *signer {
	return &signer{
		id:          unique.Make(signerID{p.appID, value.identity}),
		appID:       p.appID,
		certificate: value.text,
		clock:       &p.state.clock,
		metrics:     p.state.metrics,
		told:        p.minting,
		now:         p.now,
	}
}
