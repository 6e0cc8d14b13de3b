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

	metrics   *metrics
	readiness readinessLog
	now       func() time.Time

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
	if s.now = cfg.Now; s.now == nil {
		s.now = time.Now
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

// all returns the projects of all configurations.
func (s *state) all() []*project {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.projects))
}

// unusableSecrets returns how many secrets have a file that cannot be used.
func (s *state) unusableSecrets() (n int) {
	for _, p := range s.all() {
		for _, secret := range p.secrets() {
			if secret.bad.Load() {
				n++
			}
		}
	}
	return n
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
