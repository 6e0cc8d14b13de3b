package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
)

// Call is one ConvoAI call on its way: what the gate has decided, and how its
// attempts went. The gate makes it, the upstream source and the transport find
// it in the request's vars. It is used by one goroutine at a time.
type Call struct {
	operation *api.Operation
	path      api.Path // with the app ID filled in
	prefix    string   // path prefix of the area
	query     string
	body      []byte
	completed bool // body is not what the caller sent
	filling   filling
	headers   *headerPolicy

	project    *project
	credential credential
	refused    string // the secret of a credential that a 401 has replaced

	candidates *region.Group
	prober     region.Prober // of the transport; nil: hosts cannot be probed
	walk       region.Walk   // from the first attempt on
	deadline   time.Time     // no attempt starts later
	inTime     bool          // hasMore has said that the next one does not
	now        func() time.Time

	timing   timing
	reason   string          // of the sidecar's own error, where that was the answer
	sends    int             // attempts so far, those that were sent once more after a 401 included
	status   int             // that an upstream has answered with, once it has
	attempts int             // started so far
	endpoint region.Endpoint // of the present or last attempt
	attempt  *attempt        // the present or last one
	cause    region.Cause    // why the last attempt failed
	outcome  outcome         // of the last attempt
	failures []string        // of all attempts, for the log: host and cause

	// What the reverse proxy gets, here so that all of it is allocated at once.
	proxied http.Request
	first   [1]*reverseproxy.Upstream // of the first attempt: few calls have more
	named   reverseproxy.Upstream     // that first holds

	unavailable   *http.Response // the last 502, 503 or 504 that moved the call on
	maybeReceived bool           // an attempt broke after sending: an upstream may have carried the call out
}

// outcome is how an attempt ended, as far as it decides what may follow and what
// the caller is told.
type outcome uint8

const (
	notAttempted outcome = iota
	notSent              // no byte of the request has reached an upstream
	sent                 // the request may have reached an upstream, in part or whole
	timedOut             // sent, and no answer came in time
	answered             // a response came
)

const (
	callVar = "convoai.call"

	// retryVar is "true" while the last attempt may be followed by another
	// although it may have been sent. The retry match of the reverse proxy
	// looks at it.
	retryVar = "convoai.retry"
)

// callOf returns the Call of a request, or nil without a gate.
func callOf(ctx context.Context) *Call {
	call, _ := caddyhttp.GetVar(ctx, callVar).(*Call)
	return call
}

// next chooses the endpoint of the next attempt. ok is false when the call is
// done: answered, out of candidates or of time, or not to be repeated.
func (c *Call) next() (e region.Endpoint, ok bool) {
	switch {
	case c.outcome == answered:
		return e, false
	case c.outcome > notSent && !c.operation.Repeatable:
		return e, false
	case c.attempts > 0 && !c.inTime && !c.now().Before(c.deadline):
		return e, false
	}
	c.inTime = false
	if c.attempts == 0 {
		c.walk = c.candidates.Walk(c.prober)
	}
	e, ok = c.walk.Next(c.cause)
	if ok {
		if c.attempts > 0 {
			from, to := c.endpoint.URLHost(), e.URLHost()
			c.metrics().failovers.WithLabelValues(from, to).Inc()
			c.failedOver(from, to)
		}
		c.endpoint = e
		c.attempts++
	}
	return e, ok
}

// upstream returns e, the endpoint of the present attempt, as the reverse proxy wants
// it. It may keep one to itself for long, so that each attempt has its own.
func (c *Call) upstream(e region.Endpoint) []*reverseproxy.Upstream {
	if c.attempts > 1 {
		return []*reverseproxy.Upstream{{Dial: e.Address()}}
	}
	c.named.Dial = e.Address()
	c.first[0] = &c.named
	return c.first[:]
}

func (c *Call) metrics() *metrics { return c.project.state.metrics }

// hasMore reports whether there is another endpoint to try, and time to. If so,
// next keeps to it, however little time is left: an answer may have been held
// back for that.
func (c *Call) hasMore() bool {
	c.inTime = c.now().Before(c.deadline)
	return c.inTime && c.walk.More()
}

// renewCredential replaces a credential that has expired since the gate got it:
// attempts may have taken their time.
func (c *Call) renewCredential(ctx context.Context) error {
	if c.credential.expiresAt.IsZero() || c.now().Before(c.credential.expiresAt) {
		return nil
	}
	span := c.authorizing(ctx)
	fresh, err := c.project.renew(ctx, c.credential)
	authorized(span, fresh, err)
	if err != nil {
		return err
	}
	c.credential = fresh
	return nil
}

// toProxy returns the caller's request as the reverse proxy gets it: without the
// body, which is sent from c. Where no other handler gets it, one that may read the
// body or ask who is calling, it is as if it had come through a socket, so that no
// X-Forwarded headers are made, which the transport would leave out.
func (c *Call) toProxy(r *http.Request, proxyOnly bool) *http.Request {
	c.proxied = *r
	r = &c.proxied
	r.Body, r.ContentLength, r.TransferEncoding, r.Trailer = http.NoBody, 0, nil, nil
	if proxyOnly {
		r.Body, r.RemoteAddr = nil, "@"
	}
	return r
}

// end says that the gate is done with c. Whatever was left of its last attempt has
// ended with the request.
func (c *Call) end() {
	if c.attempt != nil {
		c.attempt.traceEnd()
	}
	c.timing.end()
}

// agent returns the agent that c is about: that of the path, or where there is none
// that of the answer, as far as it has been read.
func (c *Call) agent() string {
	if c.path.AgentID != "" || c.attempt == nil || c.attempt.answer.ReadCloser == nil {
		return c.path.AgentID
	}
	return c.agentID(c.attempt.answer.encoding, c.attempt.answer.head)
}

// placeholder implements the {http.convoai.*} placeholders of c.
//
// A call that was refused has those that were known by then; the others are
// unknown to the replacer.
func (c *Call) placeholder(key string) (any, bool) {
	key, ok := strings.CutPrefix(key, "http.convoai.")
	if !ok {
		return nil, false
	}
	switch key {
	case "duration.connect":
		return c.timing.connect, true
	case "duration.connect_ms":
		return milliseconds(c.timing.connect), true
	case "duration.upstream":
		return c.timing.upstream, true
	case "duration.upstream_ms":
		return milliseconds(c.timing.upstream), true
	case "duration.sidecar":
		return c.timing.sidecar(), true
	case "duration.sidecar_ms":
		return milliseconds(c.timing.sidecar()), true
	}
	if c.operation == nil {
		return nil, false
	}
	switch key {
	case "operation":
		return c.operation.Name, true
	case "agent_id":
		return c.agent(), true
	}
	if c.project == nil {
		return nil, false
	}
	switch key {
	case "app_id":
		return c.project.appID, true
	case "app_id_ends_in":
		return c.project.ends(), true
	case "region":
		return c.endpoint.Region, true
	case "upstream":
		if c.attempts == 0 {
			return "", true
		}
		return c.endpoint.URLHost(), true
	case "auth_mode":
		return c.project.mode, true
	case "attempts":
		return c.attempts, true
	}
	return nil, false
}

// String, Format and MarshalJSON keep the credential out of whatever prints a
// request's vars.
func (c *Call) String() string               { return c.operation.Name }
func (c *Call) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, c.operation.Name) }
func (c *Call) MarshalJSON() ([]byte, error) { return []byte(`"` + c.operation.Name + `"`), nil }
