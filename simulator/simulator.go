package simulator

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-convoai/convoai/api"
)

// A Simulator is a ConvoAI API in memory. It is an [http.Handler], and safe for
// concurrent use. [New] makes one.
type Simulator struct {
	options  Options
	projects atomic.Pointer[map[string]*Project]
	skew     atomic.Int64
	faults   faults
	calls    callLog
	agents   agentStore
	numbers  numberStore
}

// New returns a Simulator. It fails if a project or a fault makes no sense; the
// error contains no secret.
func New(o Options) (*Simulator, error) {
	o.complete()
	s := &Simulator{options: o}
	s.calls.keep = o.KeepCalls
	s.agents.quota, s.agents.keepStopped = o.Quota, o.KeepStopped
	s.SetSkew(o.Skew)
	if err := s.SetProjects(o.Projects...); err != nil {
		return nil, err
	}
	if err := s.SetFaults(o.Faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// SetProjects replaces the projects, for instance to renew a certificate. Agents
// and phone numbers stay.
func (s *Simulator) SetProjects(list ...Project) error {
	projects, err := projectsByAppID(list)
	if err != nil {
		return err
	}
	s.projects.Store(&projects)
	return nil
}

// SetSkew sets what is added to the clock.
func (s *Simulator) SetSkew(d time.Duration) { s.skew.Store(int64(d)) }

func (s *Simulator) now() time.Time {
	return s.options.Now().Add(time.Duration(s.skew.Load()))
}

// A request is a call that has been recognised and may be carried out.
type request struct {
	*http.Request
	now     time.Time
	op      *api.Operation
	path    api.Path
	project *Project
	body    []byte
}

// ServeHTTP carries out one call: route, credential, fault, body, operation.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, now: s.now()}
	w.Header().Set("Date", q.now.UTC().Format(http.TimeFormat))
	w.Header().Set("X-Request-Id", requestID(r))
	record := s.calls.begin(r, q.now)
	if s.options.OnCall != nil {
		defer func() { s.options.OnCall(s.calls.snapshot(record)) }()
	}

	refusal := s.route(q)
	if refusal == nil {
		var credential Credential
		var verdict Verdict
		credential, verdict, refusal = s.authorize(q)
		s.calls.authorized(record, q, credential, verdict)
	}

	exchange := &exchange{w: w, r: r, record: record, log: &s.calls}
	fault, faulty := s.faults.next(q)
	if faulty && !exchange.before(&fault) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.options.MaxBody))
	s.calls.received(record, r, body)
	if faulty && !exchange.afterBody(&fault) {
		return
	}
	answer := refusal
	switch {
	case err != nil:
		answer = unreadable(err)
	case answer == nil:
		q.body = body
		carried := s.carryOut(q)
		answer = &carried
	}
	if faulty && !exchange.afterCall(&fault, answer) {
		return
	}
	exchange.answer(answer)
}

func unreadable(err error) *reply {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return gatewayError(http.StatusRequestEntityTooLarge, "Request size limit exceeded")
	}
	return gatewayError(http.StatusBadRequest, "Bad request")
}

// route recognises the call, or returns the gateway's refusal. Only the vendor's
// own prefixes are routes, unlike in the sidecar.
func (s *Simulator) route(q *request) *reply {
	escaped := q.URL.EscapedPath()
	if !strings.HasPrefix(escaped, api.PrefixGlobal+"/") && !strings.HasPrefix(escaped, api.PrefixCN+"/") {
		return noRoute()
	}
	path, ok := api.ParsePath(escaped)
	if !ok {
		return noRoute()
	}
	q.path = path
	op, ok := path.Operation(q.Method)
	if !ok {
		refusal := gatewayError(http.StatusMethodNotAllowed, "Method not allowed")
		refusal.header = http.Header{"Allow": {path.Allow()}}
		return refusal
	}
	q.op = op
	return nil
}

func noRoute() *reply {
	return gatewayError(http.StatusNotFound, "no Route matched with those values")
}

// carryOut does what an authorized call asks for.
func (s *Simulator) carryOut(q *request) reply {
	switch q.op {
	case api.Join:
		return s.join(q)
	case api.Leave:
		return s.leave(q)
	case api.Update:
		return s.update(q)
	case api.Query:
		return s.query(q)
	case api.List:
		return s.list(q)
	case api.Speak:
		return s.speak(q)
	case api.Interrupt:
		return s.interrupt(q)
	case api.Think:
		return s.think(q)
	case api.History:
		return s.history(q)
	case api.Turns:
		return s.turns(q)
	case api.Call:
		return s.call(q)
	case api.CallList:
		return s.callList(q)
	case api.CallQuery:
		return s.callQuery(q)
	case api.Hangup:
		return s.hangup(q)
	case api.PhoneNumberList:
		return s.phoneNumberList(q)
	case api.PhoneNumberAdd:
		return s.phoneNumberAdd(q)
	case api.PhoneNumberQuery:
		return s.phoneNumberQuery(q)
	case api.PhoneNumberUpdate:
		return s.phoneNumberUpdate(q)
	case api.PhoneNumberDelete:
		return s.phoneNumberDelete(q)
	}
	return failure(http.StatusInternalServerError, "NotImplemented", "Internal error on the server.")
}

// Interface guard
var _ http.Handler = (*Simulator)(nil)
