package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddy-convoai/convoai/api"
)

// check is one of the things that a request must fulfil to become a call. It
// returns why it does not, or nil.
type check struct {
	name string
	of   func(*Gate, *arrival) *callError
}

// checks are all of the gate's checks, in the order in which they are made. The
// cheap and strict ones come first, what the caller may know of comes after
// whether the caller may know it, and a credential exists only after all of them.
var checks = []check{
	{"peer", (*Gate).checkPeer},
	{"host", (*Gate).checkHost},
	{"fetch site", (*Gate).checkFetchSite},
	{"origin", (*Gate).checkOrigin},
	{"loop", (*Gate).checkLoop},
	{"method", (*Gate).checkMethod},
	{"path", (*Gate).checkPath},
	{"operation", (*Gate).checkOperation},
	{"query", (*Gate).checkQuery},
	{"caller token", (*Gate).checkCallerToken},
	{"project", (*Gate).checkProject},
	{"content length", (*Gate).checkContentLength},
	{"body size", (*Gate).checkBodySize},
	{"body end", (*Gate).checkBodyEnd},
	{"body content", (*Gate).checkBodyContent},
}

// arrival is a request that has come in, with what the checks have made of it.
type arrival struct {
	w           http.ResponseWriter
	r           *http.Request
	callerToken string

	call Call

	project    *project // that the path means; nil where none is configured
	bodyError  error    // why the body did not come to its end
	session    api.Session
	incomplete *api.Body // nil where the body is sent as it is
}

func (g *Gate) checkPeer(a *arrival) *callError {
	if !g.access.peerAllowed(a.r) {
		return errPeerNotAllowed
	}
	return nil
}

func (g *Gate) checkHost(a *arrival) *callError {
	if !g.access.hostAllowed(a.r) {
		return errHostNotAllowed
	}
	return nil
}

func (g *Gate) checkFetchSite(a *arrival) *callError {
	if !ownSite(a.r.Header) {
		return errCrossSite
	}
	return nil
}

func (g *Gate) checkOrigin(a *arrival) *callError {
	if !ownOrigin(a.r) {
		return errCrossSite
	}
	return nil
}

func (g *Gate) checkLoop(a *arrival) *callError {
	if looped(a.r.Header) {
		return errLoopDetected
	}
	return nil
}

// checkMethod refuses what is never forwarded, whatever the path.
func (g *Gate) checkMethod(a *arrival) *callError {
	switch a.r.Method {
	case http.MethodConnect, http.MethodTrace:
		return errMethodNotAllowed("")
	}
	return nil
}

func (g *Gate) checkPath(a *arrival) *callError {
	if !plainTarget(a.r) {
		return errNotConvoAI
	}
	path, ok := api.ParsePath(a.r.URL.EscapedPath())
	if !ok {
		return errNotConvoAI
	}
	a.call.path = path
	return nil
}

// plainTarget reports whether a request's target is a path, or of HTTP/1 an http
// URL with a host and without a user. That its host is allowed has been seen to.
func plainTarget(r *http.Request) bool {
	u := r.URL
	if u.Scheme == "" {
		return u.Host == ""
	}
	return r.ProtoMajor == 1 && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func (g *Gate) checkOperation(a *arrival) *callError {
	op, ok := a.call.path.Operation(a.r.Method)
	if !ok {
		return errMethodNotAllowed(a.call.path.Allow())
	}
	a.call.operation = op
	return nil
}

func (g *Gate) checkQuery(a *arrival) *callError {
	if !cleanQuery(a.r.URL.RawQuery) {
		return errQuery
	}
	return nil
}

// checkCallerToken comes before checkProject: which apps are configured is for
// those to know who may use one of them.
func (g *Gate) checkCallerToken(a *arrival) *callError {
	a.project = g.project(a.call.path.AppID)
	if a.project == nil {
		if !g.callerKnown(a.callerToken) {
			return errCallerNotAuthorized
		}
		return nil
	}
	if a.project.callerToken != nil {
		g.warnOfAccessLog(a.r)
	}
	if !a.project.callerMay(a.callerToken) {
		return errCallerNotAuthorized
	}
	return nil
}

func (g *Gate) checkProject(a *arrival) *callError {
	if a.project == nil {
		return errProjectNotConfigured
	}
	a.call.project = a.project
	return nil
}

// checkContentLength spares a caller the sending of a body that is too large.
func (g *Gate) checkContentLength(a *arrival) *callError {
	if a.r.ContentLength > g.MaxBody {
		return errBodyTooLarge(g.MaxBody)
	}
	return nil
}

func (g *Gate) checkBodySize(a *arrival) *callError {
	body, err := g.readBody(a.w, a.r, a.project.room(a.call.operation))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errBodyTooLarge(g.MaxBody)
	}
	a.bodyError = err
	if takesBody(a.call.operation) {
		a.call.body = body
	}
	return nil
}

// takesBody reports whether calls of op have a body. That of a GET or DELETE means
// nothing, and a server that does not expect one may take it for the request
// after it (RFC 9110, 9.3.1).
func takesBody(op *api.Operation) bool {
	return op.Method == http.MethodPost || op.Method == http.MethodPatch
}

func (g *Gate) checkBodyEnd(a *arrival) *callError {
	if a.bodyError != nil {
		return errInvalidRequestBody(errBodyIncomplete).because(a.bodyError)
	}
	return nil
}

func (g *Gate) checkBodyContent(a *arrival) *callError {
	session, incomplete, err := a.project.read(a.call.operation, a.call.body)
	if err != nil {
		return errInvalidRequestBody(err)
	}
	a.session, a.incomplete = session, incomplete
	return nil
}
