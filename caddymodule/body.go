package caddymodule

import (
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// answerBody is the body of an answer. Each part of it has response_timeout to
// come. If the caller of a call that is not safe to repeat goes before all of it
// has come, the beginning is read to its end for the log.
type answerBody struct {
	io.ReadCloser
	attempt  *attempt
	encoding string // its Content-Encoding

	head  []byte    // what was read, up to unattendedBody, for the log
	few   [256]byte // of head: most answers are short
	whole bool      // it has come while the caller was there

	// Once it is passed on: whose it is, for the log if the caller goes.
	transport *Transport
	call      *Call
	status    int
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	a := b.attempt
	if a.alone() {
		a.timer.Reset(unattendedTime)
	} else {
		a.timer.Reset(a.timeout)
	}
	n, err := b.read(p)
	a.timer.Stop()
	if a.caller != nil {
		b.head = append(b.head, p[:min(n, unattendedBody-len(b.head))]...)
		b.whole = b.whole || err == io.EOF && !a.alone()
	}
	return n, err
}

// read reads from the upstream. The waiting is the upstream's time, and its end
// that of the attempt's span.
func (b *answerBody) read(p []byte) (n int, err error) {
	if !observing {
		return b.ReadCloser.Read(p)
	}
	began := time.Now()
	n, err = b.ReadCloser.Read(p)
	b.attempt.timing.upstream += time.Since(began)
	if err != nil {
		b.attempt.traceBody(err)
	}
	return n, err
}

// beginning returns the first bytes of b, within unattendedTime.
func (b *answerBody) beginning() []byte {
	timer := time.AfterFunc(unattendedTime, func() { b.attempt.cancel(errResponseTimeout) })
	defer timer.Stop()
	_, _ = io.CopyN(io.Discard, b, int64(unattendedBody-len(b.head)))
	return b.head
}

// Close implements io.Closer.
func (b *answerBody) Close() error {
	if call := b.call; call != nil && !b.whole && b.attempt.alone() {
		b.call = nil
		b.transport.logUnattended(call, zap.Int("status", b.status), call.agentID(b.encoding, b.beginning()))
	}
	b.attempt.unattend()
	b.attempt.traceEnd()
	return b.ReadCloser.Close()
}

// passOn has the log tell if the caller of call goes before it has res.
func (t *Transport) passOn(call *Call, res *http.Response) *http.Response {
	if body, ok := res.Body.(*answerBody); ok {
		body.transport, body.call, body.status = t, call, res.StatusCode
	}
	return res
}
