package caddymodule

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/api"
)

// admit decides about a request, and makes its call what is to be sent.
func (g *Gate) admit(a *arrival) *callError {
	for i := range g.checks {
		if refusal := g.checks[i].of(g, a); refusal != nil {
			return refusal
		}
	}
	call, p := &a.call, a.call.project
	if err := a.authorize(); err != nil {
		return errCredentialUnavailable.because(err)
	}
	if call.path.AppID != "" {
		call.path.AppID = p.appID
	}
	call.prefix = g.prefix
	call.query = a.r.URL.RawQuery
	call.headers = g.headers
	call.candidates = g.endpoints
	call.deadline = g.now().Add(g.budget)
	call.now = g.now
	return nil
}

// authorize gets the credential of a call that may be made, and completes its
// body.
func (a *arrival) authorize() (err error) {
	call := &a.call
	span := call.authorizing(a.r.Context())
	call.credential, err = call.project.authorize(a.r.Context(), call.operation, a.session)
	if err == nil && a.incomplete != nil && a.incomplete.Lacks() {
		err = call.complete(a.incomplete)
	}
	authorized(span, call.credential, err)
	return err
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
func (g *Gate) readBody(w http.ResponseWriter, r *http.Request, room int) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength >= 0 && r.ContentLength <= min(trustedLength, g.MaxBody) {
		body := make([]byte, r.ContentLength, int(r.ContentLength)+max(room, 1))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return body, err
		}
		// Of HTTP/2, the end is said beside the length, and both have to agree.
		if _, err := io.ReadFull(r.Body, body[len(body):len(body)+1]); err != io.EOF {
			return body, cmp.Or(err, errBodyLonger)
		}
		return body, nil
	}
	buffer := bytes.NewBuffer(make([]byte, 0, trustedLength))
	_, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, g.MaxBody))
	return buffer.Bytes(), err
}

// trustedLength is the largest Content-Length that memory is taken for before
// the body has come.
const trustedLength = 64 << 10

var (
	errBodyIncomplete = errors.New("the request body could not be read to its end")
	errBodyLonger     = errors.New("the request body is longer than its Content-Length")
)
