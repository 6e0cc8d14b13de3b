package simulator

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxKeptBodies bounds the bodies of all kept calls together, in bytes.
const maxKeptBodies = 32 << 20

// A Call is a call as it arrived, and what became of it. It holds credentials;
// its String, which fmt uses, leaves them out with all other headers and the
// body.
type Call struct {
	// Number counts the calls from 1, in the order of their arrival.
	Number uint64
	// Time is the arrival by the simulator's clock.
	Time time.Time

	Method     string
	Path       string // as on the wire, percent-encoded
	Query      url.Values
	Host       string
	Proto      string
	ServerName string // SNI; "" without TLS
	RemoteAddr string
	Header     http.Header
	Trailer    http.Header // complete once the body was read
	Body       []byte      // nil if it was not read

	// Operation is the name of the operation; "" if the call was no route.
	Operation                   string
	AppID, AgentID, PhoneNumber string // of the path, decoded
	Credential                  Credential
	Verdict                     Verdict
	// Fault says that a Fault applied.
	Fault bool
	// Status is the status that was answered; 0 if none was, or not yet.
	Status int
}

// String describes the call without headers and body.
func (c Call) String() string {
	operation := c.Operation
	if operation == "" {
		operation = "no operation"
	}
	status := "no answer"
	if c.Status != 0 {
		status = fmt.Sprint(c.Status)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s: %s", c.Method, c.Path, operation, status)
	if c.Verdict != "" && c.Verdict != Accepted {
		fmt.Fprintf(&b, " (%s)", c.Verdict)
	}
	if c.Fault {
		b.WriteString(" (fault)")
	}
	return b.String()
}

// GoString is String, so that %#v shows no secret either.
func (c Call) GoString() string { return c.String() }

func (c *Call) copy() Call {
	d := *c
	d.Query = url.Values(http.Header(c.Query).Clone())
	d.Header, d.Trailer = c.Header.Clone(), c.Trailer.Clone()
	d.Body = bytes.Clone(c.Body)
	return d
}

// Calls returns the calls that arrived, the oldest first, those included that
// are still being answered. Only the last ones are kept; see Options.KeepCalls.
// The result is the caller's.
func (s *Simulator) Calls() []Call {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Call, len(l.list))
	for i, c := range l.list {
		list[i] = c.copy()
	}
	return list
}

// ResetCalls forgets the calls that arrived so far. Numbers go on.
func (s *Simulator) ResetCalls() {
	l := &s.calls
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.bodies = nil, 0
}

type callLog struct {
	keep int

	mu     sync.Mutex // guards what follows, and the Calls in list
	number uint64
	list   []*Call
	bodies int // bytes
}

// begin notes a call that has arrived.
func (l *callLog) begin(r *http.Request, now time.Time) *Call {
	c := &Call{
		Time: now, Method: r.Method, Path: r.URL.EscapedPath(), Host: r.Host,
		Proto: r.Proto, RemoteAddr: r.RemoteAddr, Header: r.Header.Clone(), Query: r.URL.Query(),
	}
	if r.TLS != nil {
		c.ServerName = r.TLS.ServerName
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	c.Number = l.number
	if l.keep > 0 {
		l.list = append(l.list, c)
		l.trim()
	}
	return c
}

// trim drops the oldest calls. l.mu is held.
func (l *callLog) trim() {
	drop := max(0, len(l.list)-l.keep)
	for _, c := range l.list[:drop] {
		l.bodies -= len(c.Body)
	}
	for ; drop < len(l.list) && l.bodies > maxKeptBodies; drop++ {
		l.bodies -= len(l.list[drop].Body)
	}
	l.list = slices.Delete(l.list, 0, drop)
}

func (l *callLog) authorized(c *Call, q *request, credential Credential, verdict Verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Operation = q.op.Name
	c.AppID, c.AgentID, c.PhoneNumber = q.path.AppID, q.path.AgentID, q.path.PhoneNumber
	c.Credential, c.Verdict = credential, verdict
}

// received notes the body, and the trailer, which is only known with its end.
func (l *callLog) received(c *Call, r *http.Request, body []byte) {
	trailer := r.Trailer.Clone()
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Body, c.Trailer = body, trailer
	// A call that was dropped meanwhile does not count.
	if len(l.list) > 0 && c.Number >= l.list[0].Number {
		l.bodies += len(body)
		l.trim()
	}
}

func (l *callLog) faulted(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Fault = true
}

func (l *callLog) answered(c *Call, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Status = status
}

func (l *callLog) snapshot(c *Call) Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.copy()
}
