package simulator

import (
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
	"sync"
	"time"
)

// status is an agent's status (the vendor's query reference).
type status int

const (
	running status = 2
	stopped status = 4
)

// statusNames are the names of all documented statuses; an agent here is either
// running or stopped.
var statusNames = []string{"IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "RECOVERING", "FAILED"}

func (s status) String() string { return statusNames[s] }

// An agent is one that was started, by a join or a call. agentStore.mu guards
// all of it.
type agent struct {
	session
	id        string
	sequence  uint64 // ascending by start
	status    status
	startedAt time.Time
	stoppedAt time.Time // zero while it runs
	message   string    // why it stopped
	phone     *phone    // of a call
	talk      talk
}

// A phone is what makes an agent's session a phone call.
type phone struct {
	to, from, pipeline string
	reason             string // why it ended
}

// An agentStore has the agents of all apps.
type agentStore struct {
	quota       int // per app; negative: no limit
	keepStopped int

	mu       sync.Mutex // guards what follows, and all agents
	sequence uint64
	apps     map[string]*appAgents
}

// appAgents are the agents of one app.
type appAgents struct {
	byID    map[string]*agent
	byName  map[string]*agent // running ones of joins
	ordered []*agent          // by sequence
	running int
	ended   []*agent // in the order in which they stopped
	sweepAt time.Time
}

// lock locks the store and returns the agents of an app, after it stopped those
// that ran out. The caller unlocks s.mu.
func (s *agentStore) lock(appID string, now time.Time) *appAgents {
	s.mu.Lock()
	app := s.apps[appID]
	if app == nil {
		app = &appAgents{byID: map[string]*agent{}, byName: map[string]*agent{}}
		if s.apps == nil {
			s.apps = map[string]*appAgents{}
		}
		s.apps[appID] = app
	}
	if app.running > 0 && !now.Before(app.sweepAt) {
		s.sweep(app, now)
	}
	return app
}

// sweep stops the agents that reached MaxSession and notes when the next will.
func (s *agentStore) sweep(app *appAgents, now time.Time) {
	next := now.Add(MaxSession)
	for _, a := range slices.Clone(app.ordered) {
		end := a.startedAt.Add(MaxSession)
		switch {
		case a.status != running:
		case !now.Before(end):
			s.stop(app, a, end, "Task exceeded maximum lifetime", "hangup")
		case end.Before(next):
			next = end
		}
	}
	app.sweepAt = next
}

// full reports whether the app's quota is used up.
func (s *agentStore) full(app *appAgents) bool { return s.quota >= 0 && app.running >= s.quota }

// start adds a running agent.
func (s *agentStore) start(app *appAgents, a *agent) {
	s.sequence++
	a.sequence = s.sequence
	a.id = newAgentID()
	a.status = running
	if end := a.startedAt.Add(MaxSession); app.running == 0 || end.Before(app.sweepAt) {
		app.sweepAt = end
	}
	app.running++
	app.byID[a.id] = a
	app.ordered = append(app.ordered, a)
	if a.phone == nil {
		app.byName[a.name] = a
	}
}

// stop ends a running agent and forgets the oldest stopped ones.
func (s *agentStore) stop(app *appAgents, a *agent, at time.Time, message, hangupReason string) {
	a.status, a.stoppedAt, a.message = stopped, at, message
	a.talk.end(at, "api_leave", "")
	if a.phone == nil {
		delete(app.byName, a.name)
	} else {
		a.phone.reason = hangupReason
	}
	app.running--
	app.ended = append(app.ended, a)
	// A quarter more than wanted may pile up, so that this is not done each time.
	if len(app.ended) <= s.keepStopped+s.keepStopped/4 {
		return
	}
	surplus := len(app.ended) - s.keepStopped
	gone := make(map[*agent]bool, surplus)
	for _, old := range app.ended[:surplus] {
		gone[old] = true
		delete(app.byID, old.id)
	}
	app.ended = slices.Delete(app.ended, 0, surplus)
	app.ordered = slices.DeleteFunc(app.ordered, func(a *agent) bool { return gone[a] })
}

// newAgentID returns an ID in the manner of the vendor's, such as
// A42AK62PE…MF46E.
func newAgentID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return "A42A" + strings.TrimRight(base32.StdEncoding.EncodeToString(b[:]), "=")
}

// withAgent calls f with the agent in the path, if it is there and runs, or also
// if it has stopped; otherwise the answer is 404.
func (s *Simulator) withAgent(q *request, alsoStopped bool, f func(*appAgents, *agent) reply) reply {
	app := s.agents.lock(q.path.AppID, q.now)
	defer s.agents.mu.Unlock()
	a := app.byID[q.path.AgentID]
	if a == nil || a.status != running && !alsoStopped {
		return notFound()
	}
	return f(app, a)
}

// about is the answer of several operations: which agent was concerned.
func (a *agent) about() reply {
	return success(document{"agent_id": a.id, "channel": a.channel, "start_ts": a.startedAt.Unix()})
}
