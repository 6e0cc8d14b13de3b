package caddymodule

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/caddy-convoai/convoai/cache"
	"github.com/caddy-convoai/convoai/region"
)

// state is shared by every configuration that is loaded at a time, so that a
// reload loses no token, and nothing that the vendor's answers have taught.
type state struct {
	tokens *tokenCache
	clock  vendorClock
	known  *knownAddresses

	// regions knows how hosts do: a reload forgets neither a rest nor a latency.
	regions *region.Tracker

	// standings are kept by certificates. Those that nobody uses any more make
	// room for others.
	standings *lru.Cache[pairID, *standing]

	// unattended is how many calls go on although their callers have gone.
	unattended atomic.Int32

	metrics *metrics

	mu       sync.Mutex // guards what follows
	held     map[unique.Handle[signerID]]int
	projects map[*project]struct{} // of all configurations
}

// maxStandings is how many apps' certificates are remembered.
const maxStandings = 10_000

func newState(cfg cache.Config[tokenKey]) *state {
	cfg.Hash = hashTokenKey
	standings, err := lru.New[pairID, *standing](maxStandings)
	if err != nil {
		panic(err) // only for a size below 1
	}
	s := &state{
		tokens:    cache.New[tokenKey, *mintedToken](cfg),
		known:     newKnownAddresses(),
		regions:   region.NewTracker(region.Config{OnChange: logChange, OnOrder: logOrder}),
		standings: standings,
		held:      make(map[unique.Handle[signerID]]int),
		projects:  make(map[*project]struct{}),
	}
	s.metrics = newMetrics(s)
	return s
}

// Destruct implements caddy.Destructor: the last configuration is gone.
func (s *state) Destruct() error {
	s.tokens.Close()
	s.regions.Close()
	return nil
}

// clockSkew returns by how many seconds this host's clock is ahead of the
// vendor's; ok is false before the first answer.
func (s *state) clockSkew() (seconds float64, ok bool) { return s.clock.skew() }

// add and remove say which projects there are.
func (s *state) add(p *project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.projects[p] = struct{}{}
}

func (s *state) remove(p *project) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.projects, p)
}

// soonestExpiry returns when the first of the present tokens expires, minted or
// pre-built; ok is false where there is none.
func (s *state) soonestExpiry() (at time.Time, ok bool) {
	consider := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	s.tokens.Each(func(i cache.Info[tokenKey]) bool {
		consider(i.ExpiresAt)
		return true
	})
	s.mu.Lock()
	projects := slices.Collect(maps.Keys(s.projects))
	s.mu.Unlock()
	for _, p := range projects {
		if p.mode != modeToken {
			continue
		}
		if token, err := p.preBuilt(); err == nil {
			consider(token.expiresAt)
		}
	}
	return at, ok
}

// standing returns what is known of a pair of certificates.
func (s *state) standing(id pairID) *standing {
	made := new(standing)
	if previous, ok, _ := s.standings.PeekOrAdd(id, made); ok {
		s.standings.Get(id) // it has been used
		return previous
	}
	return made
}

// hold notes that a project signs with a certificate.
func (s *state) hold(id unique.Handle[signerID]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[id]++
}

// release is the opposite of hold. The tokens of a certificate that no project
// signs with are dropped: nobody would ask for them again.
func (s *state) release(id unique.Handle[signerID]) {
	s.mu.Lock()
	if s.held[id]--; s.held[id] <= 0 {
		delete(s.held, id)
	}
	s.mu.Unlock()
	s.dropUnheld(id)
}

// dropUnheld drops the tokens of a certificate if no project signs with it.
func (s *state) dropUnheld(id unique.Handle[signerID]) {
	s.mu.Lock()
	held := s.held[id] > 0
	s.mu.Unlock()
	if !held {
		s.drop(id)
	}
}

// drop drops the tokens of a certificate.
func (s *state) drop(id unique.Handle[signerID]) {
	s.tokens.Purge(func(key tokenKey) bool { return key.signer == id })
}

// dropAll drops all tokens.
func (s *state) dropAll() { s.tokens.Purge(func(tokenKey) bool { return true }) }
