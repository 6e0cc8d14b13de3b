package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/api"
)

// admit decides about r, and makes call what is to be sent. The cheap and strict
// checks come first; a credential exists only after all of them.
func (g *Gate) admit(call *Call, w http.ResponseWriter, r *http.Request, callerToken string) *callError {
	if refusal := g.access.check(r); refusal != nil {
		return refusal
	}
	path, op, refusal := recognise(r)
	if refusal != nil {
		return refusal
	}
	call.operation, call.path = op, path
	p := g.project(path.AppID)
	if p == nil {
		if !g.callerKnown(callerToken) {
			return errCallerNotAuthorized
		}
		return errProjectNotConfigured
	}
	if p.callerToken != nil {
		g.warnOfAccessLog(r)
	}
	if !p.callerMay(callerToken) {
		return errCallerNotAuthorized
	}
	call.project = p
	body, refusal := g.readBody(w, r, p.room(op))
	if refusal != nil {
		return refusal
	}
	session, incomplete, err := p.read(op, body)
	if err != nil {
		return errInvalidRequestBody(err)
	}
	if call.credential, err = p.authorize(r.Context(), op, session); err != nil {
		return errCredentialUnavailable.because(err)
	}
	call.body = body
	if incomplete != nil && incomplete.Lacks() {
		if err = call.complete(incomplete); err != nil {
			return errCredentialUnavailable.because(err)
		}
	}
	if path.AppID != "" {
		call.path.AppID = p.appID
	}
	call.prefix = g.prefix
	call.query = r.URL.RawQuery
	call.headers = g.headers
	call.candidates = g.endpoints
	call.deadline = g.now().Add(g.budget)
	call.now = g.now
	return nil
}

// warnOfAccessLog says once that Caddy's access log, which holds the request's
// headers as they came in, holds the caller token too. No handler can prevent
// it: the log has taken its copy before the first one runs.
func (g *Gate) warnOfAccessLog(r *http.Request) {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.Logs == nil || g.AccessLogFiltered || g.warned.Swap(true) {
		return
	}
	g.logger.Warn("this server has an access log, which records caller tokens unless its format deletes the field request>headers>" + callerTokenHeader)
}

// recognise finds the operation that r asks for.
func recognise(r *http.Request) (path api.Path, op *api.Operation, refusal *callError) {
	switch r.Method {
	case http.MethodConnect, http.MethodTrace:
		return path, nil, errMethodNotAllowed("")
	}
	path, ok := api.ParsePath(r.URL.EscapedPath())
	if !ok {
		return path, nil, errNotConvoAI
	}
	if op, ok = path.Operation(r.Method); !ok {
		return path, nil, errMethodNotAllowed(path.Allow())
	}
	if !cleanQuery(r.URL.RawQuery) {
		return path, nil, errQuery
	}
	return path, op, nil
}

// cleanQuery reports whether a query can be sent on as it is.
func cleanQuery(query string) bool {
	for i := range len(query) {
		if query[i] <= ' ' || query[i] > '~' {
			return false
		}
	}
	return true
}

// project returns the app that a path's App ID means: the default one for "_"
// and for paths without one.
func (g *Gate) project(appID string) *project {
	if appID == "" || appID == api.ConfiguredProject {
		return g.defaultProject
	}
	return g.projects[appID]
}

// callerKnown reports whether a caller who asks for an app that is not configured
// may hear so: whoever may use any app.
func (g *Gate) callerKnown(callerToken string) bool {
	for _, p := range g.projects {
		if p.callerMay(callerToken) {
			return true
		}
	}
	return false
}

// readBody reads the whole body, which must be known before it is sent: to sign
// by it, and to be able to send it again. room is how many bytes the body may
// grow by.
func (g *Gate) readBody(w http.ResponseWriter, r *http.Request, room int) ([]byte, *callError) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > g.MaxBody {
		return nil, errBodyTooLarge(g.MaxBody)
	}
	limited := http.MaxBytesReader(w, r.Body, g.MaxBody)
	var body []byte
	var err error
	if r.ContentLength >= 0 && r.ContentLength <= trustedLength {
		body = make([]byte, r.ContentLength, int(r.ContentLength)+room)
		_, err = io.ReadFull(limited, body)
	} else {
		buffer := bytes.NewBuffer(make([]byte, 0, trustedLength))
		_, err = buffer.ReadFrom(limited)
		body = buffer.Bytes()
	}
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, errBodyTooLarge(g.MaxBody)
		}
		return nil, errInvalidRequestBody(errBodyIncomplete).because(err)
	}
	return body, nil
}

// trustedLength is the largest Content-Length that memory is taken for before
// the body has come.
const trustedLength = 64 << 10

var errBodyIncomplete = errors.New("the request body could not be read to its end")
