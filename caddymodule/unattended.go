package caddymodule

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-convoai/convoai/api"
)

// A caller that goes takes its call along where the call may be repeated. The
// others are let finish once they were sent, so that the log can tell what has
// become of them: an agent that was started, and that nobody knows of, costs
// money until somebody stops it. They end within response_timeout, or with the
// process.
const (
	// maxUnattended bounds the calls that go on without their callers. Each of
	// them keeps its request's body, and no connection of a caller limits them.
	// The next one is cancelled.
	maxUnattended = 256

	// unattendedTime and unattendedBody bound what is read of an answer that
	// nobody waits for.
	unattendedTime = 2 * time.Second
	unattendedBody = 4 << 10

	// maxAgentID is how long an agent_id may be to be logged. The vendor's have
	// 32 characters; tokens have more than 100.
	maxAgentID = 64
)

var (
	errCallerGone        = errors.New("the caller has gone")
	errTooManyUnattended = fmt.Errorf("%w, and too many calls go on without theirs", errCallerGone)
)

// attendance is the watch over the caller of an attempt that may outlive it.
type attendance struct {
	caller     context.Context // nil: it does not
	unattended *atomic.Int32   // how many calls go on without their callers
	stop       func() bool

	mu      sync.Mutex // guards what follows
	phase   outcome    // notSent, sent or answered
	counted bool       // in unattended
}

// attend has a outlive its caller once it is sent.
func (a *attempt) attend(caller context.Context, unattended *atomic.Int32) {
	a.caller, a.unattended, a.phase = caller, unattended, notSent
	if caller.Err() != nil {
		a.cancel(errCallerGone)
	}
	a.stop = context.AfterFunc(caller, a.callerGone)
}

// callerGone decides what becomes of a.
func (a *attempt) callerGone() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.phase {
	case notSent:
		a.cancel(errCallerGone)
	case sent:
		if a.counted = a.unattended.Add(1) <= maxUnattended; !a.counted {
			a.unattended.Add(-1)
			a.cancel(errTooManyUnattended)
		}
	case answered:
		if a.timer != nil {
			a.timer.Reset(unattendedTime)
		}
	}
}

// enters says how far a has come.
func (a *attempt) enters(phase outcome) {
	if a.caller == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.phase = phase
	if a.counted {
		a.counted = false
		a.unattended.Add(-1)
	}
}

// abandoned reports whether a was given up because its caller has gone. What was
// let finish was not, however it ended.
func (a *attempt) abandoned(cause error) bool {
	return a.caller == nil || errors.Is(cause, errCallerGone)
}

// alone reports whether the caller has gone that a may outlive.
func (a *attempt) alone() bool { return a.caller != nil && a.caller.Err() != nil }

// unattend ends the watch over the caller.
func (a *attempt) unattend() {
	if a.caller != nil {
		a.stop()
	}
}

// finish ends a call whose caller has gone, and says in the log what has become
// of it: what was answered, or what went wrong after it was sent.
func (t *Transport) finish(call *Call, res *http.Response, err error) {
	switch {
	case res != nil:
		call.outcome, call.status = answered, res.StatusCode
		agentID := ""
		if body, ok := res.Body.(*answerBody); ok {
			agentID = call.agentID(body.encoding, body.beginning())
		}
		discard(res)
		t.logUnattended(call, zap.Int("status", res.StatusCode), agentID)
	case call.maybeReceived:
		if errors.Is(err, context.Canceled) {
			err = context.Cause(call.attempt)
		}
		t.logUnattended(call, zap.Error(err), "")
	}
}

// logUnattended logs the end of a call without its caller. agentID is that of the
// answer, or "".
func (t *Transport) logUnattended(call *Call, end zap.Field, agentID string) {
	level := zapcore.WarnLevel
	if call.outcome == answered && call.status >= http.StatusBadRequest {
		level = zapcore.InfoLevel // nothing has come of it
	}
	if agentID == "" {
		agentID = call.path.AgentID
	}
	if c := t.logger.Check(level, "the caller had gone before its call was answered"); c != nil {
		c.Write(end,
			zap.String("operation", call.operation.Name),
			zap.String("app_id", call.project.appID),
			zap.String("upstream", call.endpoint.Host),
			zap.String("agent_id", agentID),
		)
	}
}

// agentID returns the agent_id of an answer with a Content-Encoding that begins
// with head, if it is there and looks like one.
func (c *Call) agentID(encoding string, head []byte) string {
	if encoding == "gzip" {
		plain, err := gzip.NewReader(bytes.NewReader(head))
		if err != nil {
			return ""
		}
		head, _ = io.ReadAll(io.LimitReader(plain, unattendedBody)) // what is cut off is no JSON
	}
	id := api.AnsweredAgent(head)
	if len(id) > maxAgentID {
		return ""
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return ""
		}
	}
	if repeats(id, c.credential.secret) || c.refused != "" && repeats(id, c.refused) {
		return ""
	}
	return id
}
