package tokenserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// endpoint is one thing that a token server can be asked for: where, how the
// question is read, and how the answer looks. Nothing in it decides or mints.
type endpoint struct {
	method string

	// path is matched as a whole. A segment ":name" matches any that is not empty,
	// and then a slash at the end makes no difference.
	path string

	// body is what the body must be.
	body bodyForm

	// read returns what is asked for; an error is shown to the caller. nil: nothing
	// is, and granted answers without a token.
	read func(*input) ([]wish, error)

	granted func([]minted) answer

	// refused has the shape of the dialect's errors. nil: that of the sidecar's,
	// through the server's error routes.
	refused func(*refusal) answer

	// preflight is the status of the answer to OPTIONS. 0: 204.
	preflight int
}

type bodyForm int

const (
	noBody   bodyForm = iota
	jsonBody          // application/json
	anyBody           // JSON, whatever the Content-Type calls it
	formBody          // application/x-www-form-urlencoded
)

// input is a request as an endpoint reads it.
type input struct {
	params []string // the segments ":name" of the path
	query  string
	body   []byte
}

// dialects are the endpoints by the name that switches them on. POST /token is
// always there.
var dialects = map[string][]endpoint{
	"docker":        dockerEndpoints,
	"rtc":           rtcEndpoints,
	"chat-go":       chatGoEndpoints,
	"chat-node":     chatNodeEndpoints,
	"chat-python":   chatPythonEndpoints,
	"chat-java":     chatJavaEndpoints,
	"token-service": tokenServiceEndpoints,
}

var (
	errDialects      = errors.New("dialects must be of docker, rtc, chat-go, chat-node, chat-python, chat-java, token-service, each once")
	errChatDialects  = errors.New("dialects: chat-node and chat-python have the same paths and different answers: choose one of them")
	errDialectsTwice = errors.New("dialects: one of them is there twice")
)

// checkDialects checks that all of the named dialects can be spoken at once.
func checkDialects(names []string) error {
	for i, name := range names {
		if dialects[name] == nil {
			return errDialects
		}
		if slices.Contains(names[:i], name) {
			return errDialectsTwice
		}
	}
	if slices.Contains(names, "chat-node") && slices.Contains(names, "chat-python") {
		return errChatDialects
	}
	return nil
}

// place is a path of the token server, with the endpoints there.
type place struct {
	segments  []string // nil for a path that is matched as a whole
	endpoints []endpoint
	allow     string
}

// places are the paths of a token server.
type places struct {
	fixed    map[string]*place
	patterns []*place
}

func newPlaces(names []string) *places {
	p := &places{fixed: make(map[string]*place)}
	p.add(nativeEndpoints)
	for _, name := range names {
		p.add(dialects[name])
	}
	return p
}

func (p *places) add(endpoints []endpoint) {
	for _, e := range endpoints {
		at := p.fixed[e.path]
		if at == nil {
			at = new(place)
			p.fixed[e.path] = at
			if strings.Contains(e.path, "/:") {
				delete(p.fixed, e.path)
				at.segments = strings.Split(e.path, "/")
				p.patterns = append(p.patterns, at)
			}
		}
		at.endpoints = append(at.endpoints, e)
		at.allow = e.method + ", " + http.MethodOptions
	}
}

// find returns the place of a path, and its parameters; nil where there is none.
func (p *places) find(u *url.URL) (at *place, params []string) {
	if at := p.fixed[u.Path]; at != nil {
		return at, nil
	}
	if len(p.patterns) == 0 {
		return nil, nil
	}
	segments := strings.Split(strings.TrimSuffix(u.EscapedPath(), "/"), "/")
	for _, at := range p.patterns {
		if params := at.match(segments); params != nil {
			return at, params
		}
	}
	return nil, nil
}

// match returns the parameters of an escaped path, nil where it does not match.
func (at *place) match(segments []string) (params []string) {
	if len(segments) != len(at.segments) {
		return nil
	}
	for i, want := range at.segments {
		segment, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return nil
		case !strings.HasPrefix(want, ":"):
			if segment != want {
				return nil
			}
		case segment == "":
			return nil
		default:
			params = append(params, segment)
		}
	}
	return params
}

var errSegment = errors.New("a name in the path must not have a slash in it, nor be . or ..: a POST takes it")

// checkSegments checks that the parameters of a path are what every reader of the
// path takes for them. Caddy's matchers look at the path with its slashes decoded and
// its dots resolved: to them, /rtm/a%2F..%2F..%2Fx would be /x, and authentication
// for /rtm/* would let it pass.
func checkSegments(params []string) error {
	for _, segment := range params {
		if segment == "." || segment == ".." || strings.ContainsAny(segment, `/\`) {
			return errSegment
		}
	}
	return nil
}

// endpoint returns the endpoint that takes r, or why none does.
func (at *place) endpoint(r *http.Request) (*endpoint, *refusal) {
	e := &at.endpoints[0]
	if r.Method != e.method { // they have all the same
		return e, errMethod(at.allow)
	}
	if e.body == noBody {
		return e, nil
	}
	form := at.takes(formBody)
	switch mediaType(r.Header) {
	case "application/x-www-form-urlencoded":
		if form != nil {
			return form, nil
		}
	case "application/json":
		if e := at.takes(jsonBody); e != nil {
			return e, nil
		}
	}
	switch lenient := at.takes(anyBody); {
	case lenient != nil:
		return lenient, nil
	case form != nil:
		return form, errMediaType("application/x-www-form-urlencoded")
	}
	return e, errMediaType("application/json")
}

func (at *place) takes(form bodyForm) *endpoint {
	for i := range at.endpoints {
		if at.endpoints[i].body == form {
			return &at.endpoints[i]
		}
	}
	return nil
}

// said is an error in the words of the server whose dialect it is.
type said string

func (s said) Error() string { return string(s) }

// jsonAnswer is a JSON answer as most of the vendor's servers give it.
func jsonAnswer(v any) answer { return answer{"application/json; charset=utf-8", jsonOf(v)} }

// jsonOf returns v, which is of strings and numbers, as JSON.
func jsonOf(v any) []byte {
	body, _ := json.Marshal(v) // which always can be
	return body
}
