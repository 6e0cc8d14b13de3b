package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/api"
)

// errorHeader tells the sidecar's own errors from the vendor's.
const errorHeader = "X-Convoai-Error"

// callError is an answer that the sidecar gives in the vendor's place.
type callError struct {
	wire  api.Error // what the caller is told
	allow string    // Allow header, for 405
	cause error     // for the log, never for the caller
}

// Error is what error routes see as {err.message}: not the cause, which names
// hosts and addresses.
func (e *callError) Error() string { return e.wire.Reason + ": " + e.wire.Detail }

func (e *callError) Unwrap() error { return e.cause }

func refuse(status int, reason, detail string) *callError {
	return &callError{wire: api.Error{Status: status, Reason: reason, Detail: detail}}
}

func (e *callError) because(cause error) *callError {
	with := *e
	with.cause = cause
	return &with
}

// The answers that never vary.
var (
	errPeerNotAllowed = refuse(http.StatusForbidden, api.ReasonPeerNotAllowed,
		"this sidecar does not serve your address; allow_from would have to name it")
	errHostNotAllowed = refuse(http.StatusForbidden, api.ReasonHostNotAllowed,
		"this sidecar does not answer to that Host; allow_host would have to name it")
	errCrossSite = refuse(http.StatusForbidden, api.ReasonCrossSiteRequest,
		"requests that a web page of another origin makes are refused")
	errNotConvoAI = refuse(http.StatusNotFound, api.ReasonNotConvoAI,
		"the path is no ConvoAI path in canonical form, such as /v2/projects/{appid}/join")
	errProjectNotConfigured = refuse(http.StatusForbidden, api.ReasonProjectNotConfigured,
		"the app ID in the path is not configured here")
	errCallerNotAuthorized = refuse(http.StatusUnauthorized, api.ReasonCallerNotAuthorized,
		"the header X-Convoai-Caller-Token is missing or wrong")
	errLoopDetected = refuse(http.StatusLoopDetected, api.ReasonLoopDetected,
		"the request came from this sidecar: an upstream leads back to it")
	errCredentialUnavailable = refuse(http.StatusServiceUnavailable, api.ReasonCredentialUnavailable,
		"no valid credential could be had for this call; nothing was sent")
	errUpstreamUnreachable = refuse(http.StatusBadGateway, api.ReasonUpstreamUnreachable,
		"no ConvoAI host could be reached; nothing was sent")
	errUpstreamConnectionLost = refuse(http.StatusBadGateway, api.ReasonUpstreamConnectionLost,
		"the connection broke after sending: the call may have been carried out")
	errUpstreamTimeout = refuse(http.StatusGatewayTimeout, api.ReasonUpstreamTimeout,
		"the call was sent and not answered in time: it may have been carried out")
	errQuery = refuse(http.StatusNotFound, api.ReasonNotConvoAI,
		"the query has characters in it that must be percent-encoded")
)

func errMethodNotAllowed(allow string) *callError {
	e := refuse(http.StatusMethodNotAllowed, api.ReasonMethodNotAllowed, "this path takes "+allow)
	if allow == "" {
		e.wire.Detail = "this method is never forwarded"
		allow = "GET, POST, PATCH, DELETE"
	}
	e.allow = allow
	return e
}

func errBodyTooLarge(limit int64) *callError {
	return refuse(http.StatusRequestEntityTooLarge, api.ReasonBodyTooLarge,
		fmt.Sprintf("the request body is larger than %d bytes (max_body)", limit))
}

func errInvalidRequestBody(cause error) *callError {
	return refuse(http.StatusBadRequest, api.ReasonInvalidRequestBody, cause.Error())
}

// ofUpstream turns the error of a call's attempts into the sidecar's answer. An
// error that is not about the upstream, such as one of a handle_response route,
// stays as it is.
func ofUpstream(call *Call, err error) error {
	if own, ok := errors.AsType[*callError](err); ok {
		return own
	}
	if call.outcome == answered {
		return err
	}
	if handler, ok := errors.AsType[caddyhttp.HandlerError](err); ok && handler.StatusCode == statusClientClosedRequest {
		return err
	}
	switch {
	case call.outcome == timedOut:
		return errUpstreamTimeout.because(err)
	case call.maybeReceived:
		return errUpstreamConnectionLost.because(err)
	}
	return errUpstreamUnreachable.because(err)
}

// statusClientClosedRequest is what Caddy's reverse proxy reports when the
// caller went away.
const statusClientClosedRequest = 499

// answer gives e to the caller: by the server's error routes where one of them
// wants it, otherwise as JSON. Its error is one of the error routes; the caller
// has been answered all the same.
func (e *callError) answer(w http.ResponseWriter, r *http.Request) error {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.convoai.error.reason", e.wire.Reason)
		repl.Set("http.convoai.error.detail", e.wire.Detail)
	}
	write := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		e.setHeaders(w.Header())
		e.wire.Write(w)
		return nil
	})
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Errors == nil || len(server.Errors.Routes) == 0 {
		return write(w, r)
	}
	// The error routes of other sites of the server do not match this request,
	// and then write has the last word. Those of this site may be about other
	// errors; they then end with a status and nothing else.
	e.setHeaders(w.Header())
	r = server.Errors.WithError(r, caddyhttp.Error(e.wire.Status, e.because(nil)))
	holder := holdStatus(w, e.wire.Status)
	err := server.Errors.Routes.Compile(write).ServeHTTP(holder, r)
	if !holder.passed {
		_ = write(w, r)
	}
	return err
}

// AnswerError gives e to the caller as the gate gives its own errors: with the
// header X-Convoai-Error, by the server's error routes where one of them wants it,
// otherwise as JSON. Its error is one of the error routes; the caller has been
// answered all the same.
func AnswerError(w http.ResponseWriter, r *http.Request, e api.Error) error {
	return (&callError{wire: e}).answer(w, r)
}

func (e *callError) setHeaders(h http.Header) {
	h.Set(errorHeader, e.wire.Reason)
	if e == errLoopDetected {
		h.Set(instanceHeader, instance) // for the attempt that came back
	}
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
}

// response makes e a response, for the transport.
func (e *callError) response(r *http.Request) *http.Response {
	body := e.wire.Body()
	h := http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))}}
	e.setHeaders(h)
	return &http.Response{
		Status:        strconv.Itoa(e.wire.Status) + " " + http.StatusText(e.wire.Status),
		StatusCode:    e.wire.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
}
