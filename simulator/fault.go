package simulator

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddy-convoai/convoai/api"
)

// An Action is what a Fault does to a call.
type Action int

// The actions. A reset is a TCP reset; with HTTP/2 it is the stream's.
const (
	// Proceed answers with Fault.Status if that is set; otherwise the call is
	// carried out and answered as if nothing were wrong, after Fault.Delay.
	Proceed Action = iota
	// ResetBeforeBody resets the connection without having read the body.
	ResetBeforeBody
	// ResetAfterBody resets the connection after the whole body was read; the
	// call is not carried out.
	ResetAfterBody
	// ResetAfterCall carries the call out, then resets the connection in the
	// place of the answer.
	ResetAfterCall
	// Stall reads the body and never answers. It ends when the client goes away
	// or the Server is stopped.
	Stall
	// StallBody carries the call out, sends the header and half of the body of
	// the answer, and no more. It ends like Stall.
	StallBody
)

// actionNames are the names of the actions in the specs of ParseFault.
var actionNames = map[Action]string{
	ResetBeforeBody: "reset-before-body", ResetAfterBody: "reset-after-body", ResetAfterCall: "reset-after-call",
	Stall: "stall", StallBody: "stall-body",
}

// A Fault is a way to misbehave. The credential is judged all the same, for the
// record, but the fault decides the answer.
type Fault struct {
	// Operation is the name of the operation concerned, such as "join"; "" for
	// every call, also one that is no route.
	Operation string
	// Host is the Host, without a port, of the calls concerned; "" for all.
	// A simulator on several addresses can fail at one of them by it.
	Host string
	// Times is how many calls the fault applies to; 0 means all, until other
	// faults are set.
	Times int
	// Delay is how long the answer, or whatever Action does, is held up.
	Delay time.Duration
	// Status is answered, with the vendor's body for it, in the place of carrying
	// the call out; 200 to 599. Only with Proceed.
	Status int
	// Header is added to the answer, for instance Retry-After or Location.
	Header http.Header
	// Action is what else happens.
	Action Action
}

func (f *Fault) validate() error {
	_, known := actionNames[f.Action]
	switch {
	case !known && f.Action != Proceed:
		return fmt.Errorf("unknown action %d", f.Action)
	case f.Operation != "" && !slices.ContainsFunc(api.Operations(), func(op *api.Operation) bool { return op.Name == f.Operation }):
		return fmt.Errorf("unknown operation %q", f.Operation)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status must be 200 to 599")
	case f.Status != 0 && f.Action != Proceed:
		return fmt.Errorf("a status and %s exclude each other", actionNames[f.Action])
	case f.Times < 0 || f.Delay < 0:
		return errors.New("times and delay must not be negative")
	case f.Status == 0 && f.Action == Proceed && f.Delay == 0 && f.Header == nil:
		return errors.New("does nothing: it needs a status, a delay, a header or an action")
	}
	return nil
}

func (f *Fault) concerns(q *request) bool {
	if f.Operation != "" && (q.op == nil || q.op.Name != f.Operation) {
		return false
	}
	if f.Host == "" {
		return true
	}
	host := q.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == f.Host
}

// SetFaults replaces all faults; without arguments it ends them. A call is
// treated by the first fault in the list that concerns it and is not used up.
// Calls that are being treated already are not affected.
func (s *Simulator) SetFaults(list ...Fault) error {
	active := make([]*activeFault, len(list))
	for i, f := range list {
		if err := f.validate(); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
		f.Header = f.Header.Clone()
		active[i] = &activeFault{Fault: f, left: f.Times}
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = active
	return nil
}

type activeFault struct {
	Fault
	left int // calls, unless Times is 0
}

type faults struct {
	mu   sync.Mutex // guards list and what is in it
	list []*activeFault
}

// next returns the fault for a call and counts it.
func (l *faults) next(q *request) (Fault, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.list {
		if f.Times != 0 && f.left == 0 || !f.concerns(q) {
			continue
		}
		f.left--
		return f.Fault, true
	}
	return Fault{}, false
}

// statusReply is the vendor's answer with a status, as far as documented.
func statusReply(status int) *reply {
	service := func(reason, detail string) *reply {
		r := failure(status, reason, detail)
		return &r
	}
	switch status {
	case http.StatusUnauthorized:
		return gatewayError(status, "Invalid authentication credentials")
	case http.StatusTooManyRequests:
		return gatewayError(status, "API rate limit exceeded")
	case http.StatusBadRequest:
		return service(api.ReasonInvalidRequest, "The request parameters are invalid.")
	case http.StatusForbidden:
		return service(api.ReasonInvalidPermission, "The service is not activated.")
	case http.StatusNotFound:
		r := notFound()
		return &r
	case http.StatusConflict:
		return service(api.ReasonTaskConflict, "An agent with the same name already exists, or a conflicting task is already running.")
	case http.StatusUnprocessableEntity:
		return service(api.ReasonResourceQuotaLimitExceeded, "Too many concurrent requests, exceeding the quota limit.")
	case http.StatusInternalServerError:
		return service(api.ReasonInternalError, "Internal error on the server.")
	case http.StatusServiceUnavailable:
		return service(api.ReasonServiceUnavailable, "The service is temporarily unavailable.")
	case http.StatusGatewayTimeout:
		return service(api.ReasonTaskOperationTimeout, "Internal error on the server.")
	case http.StatusNoContent, http.StatusNotModified:
		return &reply{status: status}
	}
	return gatewayError(status, http.StatusText(status))
}
