package tokenserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// A header says who is asking only if no caller can send it. So the configuration
// must remove it from each request, or replace it, before the request gets to the
// token server: forward_auth does so for the headers that copy_headers names, and
// request_header -NAME does. What is checked here is that it is so on every way,
// from what the handlers in front are known to do. What cannot be proven is
// refused: a removal that depends on a matcher, or a token server within a named
// route, an error route, or a container that is not known.
//
// It is checked while the handler is provisioned, so that `caddy validate` finds it
// as well. The routes of the server are then there in part as modules and in part,
// those that follow and the one that is being made, still as JSON.

var errNotInServer = errors.New("a header is identity only in the routes of an HTTP server")

// checkRemoval checks that each token server in the server which is being
// provisioned gets the named headers from no caller.
func checkRemoval(ctx caddy.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server == nil {
		return errNotInServer
	}
	for _, module := range ctx.Modules() {
		switch module.(type) {
		case *caddyhttp.App, *caddyhttp.Subroute, *reverseproxy.Handler, *Handler:
		default:
			return fmt.Errorf("a header is identity only where it can be seen what removes the caller's own: not within %s", caddy.GetModuleID(module))
		}
	}
	for _, name := range names {
		p := proof{header: name, named: server.NamedRoutes}
		p.routes(server.Routes, false)
		// These are run from elsewhere, after who knows what.
		if server.Errors != nil {
			p.routes(server.Errors.Routes, false)
		}
		for _, route := range server.NamedRoutes {
			p.routes(caddyhttp.RouteList{*route}, false)
		}
		if p.failed {
			return fmt.Errorf("%s could be the caller's own: put forward_auth with copy_headers %s, or request_header -%s, in front of the token server, without a matcher that it does not share",
				"{http.request.header."+name+"}", name, name)
		}
	}
	return nil
}

// proof follows a header through routes. Its methods take whether the caller's own
// copy is certainly gone from requests that come to a place, and return whether it
// is from those that go on from there.
type proof struct {
	header string
	named  map[string]*caddyhttp.Route
	depth  int  // of named routes that invoke others
	failed bool // there is a token server that uses the header, and a caller can send it
}

// maxInvocations is how deeply named routes are followed.
const maxInvocations = 8

func (p *proof) routes(routes caddyhttp.RouteList, gone bool) bool {
	for i := range routes {
		gone = p.route(&routes[i], gone)
	}
	return gone
}

func (p *proof) route(route *caddyhttp.Route, gone bool) bool {
	after := gone
	for _, handler := range handlersOf(route) {
		after = p.handler(handler, after)
	}
	switch conditional := len(route.MatcherSets)+len(route.MatcherSetsRaw) > 0 || route.Group != ""; {
	case route.Terminal:
		return gone // only requests that it does not match go on
	case conditional:
		return gone && after
	}
	return after
}

func (p *proof) handler(handler any, gone bool) bool {
	switch handler := handler.(type) {
	case *headers.Handler:
		return p.headers(handler.Request, gone)
	case *caddyhttp.Subroute:
		after := p.routes(handler.Routes, gone)
		if handler.Errors != nil {
			// They are run after an error, which may come before a removal, and may
			// let the request go on.
			after = p.routes(handler.Errors.Routes, false) && after
		}
		return after
	case *caddyhttp.Invoke:
		return p.invoke(handler.Name, gone)
	case *reverseproxy.Handler:
		// Requests go on only from the routes that handle its responses, as with
		// forward_auth. Without any, none does.
		after := true
		for _, response := range handler.HandleResponse {
			if response.StatusCode == "" {
				after = p.routes(response.Routes, gone) && after
			}
		}
		return after
	case *Handler:
		if !gone && slices.ContainsFunc(handler.Allow, p.usedBy) {
			p.failed = true
		}
	}
	return gone
}

func (p *proof) invoke(name string, gone bool) bool {
	route, ok := p.named[name]
	if !ok || p.depth >= maxInvocations {
		return false
	}
	p.depth++
	defer func() { p.depth-- }()
	return p.route(route, gone)
}

func (p *proof) usedBy(r Rule) bool {
	found, err := parseIdentity(r.Identity)
	return err == nil && found.header == p.header
}

// headers follows the operations in the order in which Caddy carries them out: a
// deletion of all, additions, settings, deletions, replacements. What is added or
// set may be made of what a caller sends, then it is the caller's again.
func (p *proof) headers(ops *headers.HeaderOps, gone bool) bool {
	if ops == nil {
		return gone
	}
	if slices.Contains(ops.Delete, "*") {
		gone = true
	}
	for name, values := range ops.Add {
		if p.names(name) && fromCaller(values...) {
			gone = false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ops.Set)) {
		if p.names(name) {
			gone = !strings.Contains(name, "{") && !fromCaller(ops.Set[name]...)
		}
	}
	if slices.ContainsFunc(ops.Delete, p.deletedBy) {
		gone = true
	}
	for name, replacements := range ops.Replace {
		for _, r := range replacements {
			if (p.names(name) || name == "*") && fromCaller(r.Search, r.SearchRegexp, r.Replace) {
				gone = false
			}
		}
	}
	return gone
}

// names reports whether name is the header's, or may be.
func (p *proof) names(name string) bool {
	return strings.Contains(name, "{") || textproto.CanonicalMIMEHeaderKey(name) == p.header
}

// deletedBy reports whether a deletion takes the header certainly.
func (p *proof) deletedBy(field string) bool {
	if strings.Contains(field, "{") {
		return false
	}
	name, own := strings.ToLower(field), strings.ToLower(p.header)
	switch starts, ends := strings.HasPrefix(name, "*"), strings.HasSuffix(name, "*"); {
	case starts && ends:
		return strings.Contains(own, strings.Trim(name, "*"))
	case starts:
		return strings.HasSuffix(own, name[1:])
	case ends:
		return strings.HasPrefix(own, name[:len(name)-1])
	}
	return textproto.CanonicalMIMEHeaderKey(field) == p.header
}

// trustedPlaceholders begin what no caller chooses: the answer of an upstream, such
// as that of forward_auth, who is signed in, and what was there at the start.
var trustedPlaceholders = []string{"{http.reverse_proxy.header.", "{http.auth.user.", "{env.", "{file.", "{system."}

// fromCaller reports whether texts may have in them what a caller sends.
func fromCaller(texts ...string) bool {
	for _, text := range texts {
		for {
			_, rest, found := strings.Cut(text, "{")
			if !found {
				break
			}
			if !slices.ContainsFunc(trustedPlaceholders, func(trusted string) bool { return strings.HasPrefix("{"+rest, trusted) }) {
				return true
			}
			text = rest
		}
	}
	return false
}

// handlersOf returns the handlers of a route, which may be there as modules or as
// JSON. Of the latter, those that do not matter are nil.
func handlersOf(route *caddyhttp.Route) []any {
	var list []any
	for _, handler := range route.Handlers {
		list = append(list, handler)
	}
	for _, raw := range route.HandlersRaw {
		list = append(list, decodeHandler(raw))
	}
	return list
}

func decodeHandler(raw json.RawMessage) any {
	var which struct {
		Handler string `json:"handler"`
	}
	if json.Unmarshal(raw, &which) != nil {
		return nil
	}
	var target any
	switch which.Handler {
	case "headers":
		target = new(headers.Handler)
	case "subroute":
		target = new(caddyhttp.Subroute)
	case "invoke":
		target = new(caddyhttp.Invoke)
	case "reverse_proxy":
		target = new(reverseproxy.Handler)
	case "convoai_token_server":
		target = new(Handler)
	default:
		return nil
	}
	if json.Unmarshal(raw, target) != nil {
		return nil // Caddy will say so
	}
	return target
}
