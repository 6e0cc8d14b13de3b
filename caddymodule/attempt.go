package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-convoai/convoai/region"
)

// attempt is one sending of a call to one endpoint, and the context of its
// request. Its fields belong to the goroutine that sends; the dial guard, which
// may run in another, reads the endpoint alone, and that does not change.
type attempt struct {
	context.Context // ends with the caller's, or by cancel
	cancel          context.CancelCauseFunc
	attendance      // of an attempt that does not end with its caller

	endpoint region.Endpoint
	content  []byte // what is sent

	// What the request is made of, here so that all of it is allocated at once.
	detached      detached
	url           url.URL
	body          bytes.Reader
	authorization [1]string

	timeout     time.Duration
	timer       *time.Timer // runs from the connection to the response header
	connections int         // that net/http has had
	connected   bool        // it has the last one that it has asked for
	since       time.Time   // when it began to ask for that one
	got         time.Time   // when it had that one

	timing *timing    // of the call
	span   trace.Span // nil where the request is not traced
	answer answerBody // once it has one
}

// detached is a context that does not end with the one whose values it has: what
// context.WithoutCancel makes, as a part of something else.
type detached struct{ context.Context }

func (*detached) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*detached) Done() <-chan struct{}       { return nil }
func (*detached) Err() error                  { return nil }

type endpointKey struct{}

// Value implements context.Context.
func (a *attempt) Value(key any) any {
	if _, ok := key.(endpointKey); ok {
		return &a.endpoint
	}
	return a.Context.Value(key)
}

// What net/http does without end is bounded. It repeats a request where a
// connection out of the pool turns out to be closed, or where an HTTP/2 peer says
// that it has not processed it: on so many connections in all. And where many
// calls begin at the same moment, they take each other's HTTP/2 streams: those
// that have none dial, and look for one, until contention is over.
const (
	maxConnections = 3
	contention     = 5 * time.Second
)

var (
	errNoConnection    = errors.New("every connection was closed or refused before the request was processed")
	errResponseTimeout = errors.New("timeout awaiting response headers")
	errSwitched        = errors.New("the upstream switched protocols unasked")
)

// begin starts an attempt at the call's present endpoint.
func (t *Transport) begin(ctx context.Context, call *Call) *attempt {
	a := &attempt{endpoint: call.endpoint, content: call.body, timeout: t.responseTimeout, timing: &call.timing}
	a.trace(ctx, call)
	call.sends++
	if call.operation.Repeatable {
		a.Context, a.cancel = context.WithCancelCause(ctx)
	} else {
		a.detached.Context = ctx
		a.Context, a.cancel = context.WithCancelCause(&a.detached)
		a.attend(ctx, &call.project.state.unattended)
	}
	trace := httptrace.ContextClientTrace(ctx) // the reverse proxy makes one for each attempt
	if trace == nil {
		trace = new(httptrace.ClientTrace)
		a.Context = httptrace.WithClientTrace(a.Context, trace)
	}
	trace.GetConn, trace.GotConn = a.getConn, a.gotConn
	// The reverse proxy would pass on informational responses as they are.
	trace.Got1xxResponse = nil
	return a
}

func (a *attempt) getConn(string) {
	now := time.Now()
	a.wantsConn(now)
	if a.connected || a.since.IsZero() {
		a.connected, a.since = false, now
	}
	// A request with a body has come to its end before, in getBody.
	if a.connections >= maxConnections || now.Sub(a.since) > contention {
		a.cancel(errNoConnection)
	}
}

// request makes the request of a: everything in it comes from c, the configuration
// or the allow-listed headers of the caller.
func (a *attempt) request(c *Call, caller http.Header) *http.Request {
	a.url = url.URL{
		Scheme:   a.endpoint.Scheme,
		Host:     a.endpoint.URLHost(),
		Path:     c.path.Canonical(c.prefix),
		RawQuery: c.query,
	}
	a.authorization[0] = c.credential.header
	r := &http.Request{
		Method:        c.operation.Method,
		URL:           &a.url,
		Host:          a.endpoint.HostHeader(),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        c.headers.outgoing(caller),
		ContentLength: int64(len(a.content)),
		Body:          http.NoBody,
	}
	if len(a.content) > 0 {
		a.body.Reset(a.content)
		r.Body, r.GetBody = io.NopCloser(&a.body), a.getBody
	}
	if c.completed {
		deleteDigests(r.Header)
	}
	r.Header["Authorization"] = a.authorization[:]
	return r.WithContext(a)
}

// getBody lets net/http send again what never left on a connection that turned out to
// be closed. It would also have it repeat a POST that carries an idempotency key,
// which the header policy lets nobody send. There is an end to it: nothing has been
// carried out then, and nothing is on its way, which cannot be said of a request that
// is cancelled while it gets a connection.
func (a *attempt) getBody() (io.ReadCloser, error) {
	if a.connections >= maxConnections {
		return nil, errNoConnection
	}
	return io.NopCloser(bytes.NewReader(a.content)), nil
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.connections++
	a.connected = true
	a.hasConn()
	a.traceConn(info.Conn)
	if a.timer == nil {
		a.timer = time.AfterFunc(a.timeout, func() { a.cancel(errResponseTimeout) })
	} else {
		a.timer.Reset(a.timeout)
	}
	a.enters(sent)
}

// end stops the clock of an attempt and returns why it was cancelled, if it was.
// An attempt that was not goes on as the context of the response's body, and
// ends with the caller's request, or a little after it.
func (a *attempt) end() error {
	a.enters(answered)
	a.hasAnswer()
	if a.timer != nil {
		a.timer.Stop()
	}
	return context.Cause(a.Context)
}

// try sends the call to its present endpoint and, on failure, records in the
// call what may follow.
func (t *Transport) try(r *http.Request, call *Call) (*http.Response, error) {
	if err := call.renewCredential(r.Context()); err != nil {
		call.outcome = answered
		return nil, errCredentialUnavailable.because(err)
	}
	a := t.begin(r.Context(), call)
	call.attempt = a
	request := a.request(call, r.Header)
	a.propagate(request.Header, call.headers)
	res, err := t.http.Transport.RoundTrip(request)
	cause := a.end()
	if err == nil {
		if err = cause; err == nil && res.StatusCode == http.StatusSwitchingProtocols {
			err = errSwitched
		}
		if err == nil {
			a.answer = answerBody{ReadCloser: res.Body, attempt: a, encoding: res.Header.Get("Content-Encoding")}
			a.answer.head = a.answer.few[:0]
			res.Body = &a.answer
			a.traceAnswer(res)
			if movesOn(res.StatusCode) {
				call.blame(region.Unavailable)
				call.attempted("unavailable")
			} else {
				call.walk.Answered()
				call.attempted("answered")
			}
			return res, nil
		}
		_ = res.Body.Close()
	}
	a.cancel(err)
	a.unattend()
	if gone := r.Context().Err(); gone != nil && a.abandoned(cause) {
		call.outcome, call.maybeReceived = sent, a.connected
		if !a.connected {
			call.outcome = notSent
		}
		call.walk.Abandoned(!a.connected)
		call.attempted("abandoned")
		a.traceFailure(errorCanceled, "the caller has gone")
		return nil, gone
	}
	if cause != nil {
		// net/http says that the request was cancelled, which the reverse proxy
		// would take for the caller's doing.
		err = cause
	}
	err = redact(redact(err, call.credential.secret), call.refused)

	if !a.connected || cause == nil && errors.Is(err, errNoConnection) {
		call.failed(notSent, causeOf(err))
		return nil, asDialError(err)
	}
	call.maybeReceived = true
	timeout, ok := errors.AsType[net.Error](err)
	silent := errors.Is(err, syscall.ETIMEDOUT) // not even TCP has had an answer
	if errors.Is(cause, errResponseTimeout) || ok && timeout.Timeout() && !silent {
		call.failed(timedOut, region.NoAnswer)
	} else {
		call.failed(sent, region.ConnectionLost)
	}
	if call.operation.Repeatable && call.hasMore() {
		caddyhttp.SetVar(r.Context(), retryVar, "true")
	}
	return nil, err
}

// failed records how the present attempt has failed.
func (c *Call) failed(outcome outcome, cause region.Cause) {
	c.outcome, c.cause = outcome, cause
	c.blame(cause)
	c.attempted(outcomeNames[outcome])
	c.attempt.traceFailure(causeTypes[cause], cause.String())
}

// blame notes why the present host has failed.
func (c *Call) blame(cause region.Cause) {
	c.walk.Failed(cause)
	c.failures = append(c.failures, c.endpoint.URLHost()+": "+cause.String())
}

// attempted counts the present attempt.
func (c *Call) attempted(outcome string) {
	c.attempt.traceOutcome(outcome)
	if !observing {
		return
	}
	c.metrics().attempts.WithLabelValues(c.endpoint.URLHost(), outcome).Inc()
}

var outcomeNames = [...]string{notSent: "not_sent", sent: "lost", timedOut: "timeout"}

func asDialError(err error) error {
	return connectError{asDialError: reverseproxy.NewDialError(err), err: err}
}

// redact returns err, or where its text holds secret, err without it: net/http
// repeats a header line that it cannot read, which may be an echo of ours.
func redact(err error, secret string) error {
	if secret == "" || !strings.Contains(err.Error(), secret) {
		return err
	}
	return redactedError{err, strings.ReplaceAll(err.Error(), secret, "[redacted]")}
}

type redactedError struct {
	err  error
	text string
}

func (e redactedError) Error() string { return e.text }
func (e redactedError) Unwrap() error { return e.err }
