package tokenserver

import (
	"errors"
	"net/http"
	"net/textproto"
	"regexp"

	"github.com/caddyserver/caddy/v2"
)

// identity is where a rule learns from who is asking.
type identity struct {
	placeholder string // without braces
	tls         bool   // from the client's certificate
	header      string // from this header, in canonical form; "" for another source
}

const defaultIdentity = "{http.auth.user.id}"

var errIdentity = errors.New("identity must be a placeholder whose value the caller cannot choose: " +
	"{http.auth.user.id} or another of {http.auth.user.*}, {http.request.tls.client.subject} or another of the verified client certificate, " +
	"or {http.request.header.NAME} behind a handler that removes the caller's own copy")

var (
	authPlaceholder   = regexp.MustCompile(`^\{(http\.auth\.user\.[\w.-]+)\}$`)
	tlsPlaceholder    = regexp.MustCompile(`^\{(http\.request\.tls\.client\.(?:subject|issuer|serial|fingerprint|public_key|public_key_sha256|san\.(?:dns_names|emails|ips|uris)\.\d+))\}$`)
	headerPlaceholder = regexp.MustCompile(`^\{http\.request\.header\.([\w-]+)\}$`)
)

// parseIdentity reads the line identity of a rule; "" is the default.
func parseIdentity(source string) (identity, error) {
	if source == "" {
		source = defaultIdentity
	}
	if found := authPlaceholder.FindStringSubmatch(source); found != nil {
		return identity{placeholder: found[1]}, nil
	}
	if found := tlsPlaceholder.FindStringSubmatch(source); found != nil {
		return identity{placeholder: found[1], tls: true}, nil
	}
	if found := headerPlaceholder.FindStringSubmatch(source); found != nil {
		return identity{header: textproto.CanonicalMIMEHeaderKey(found[1])}, nil
	}
	return identity{}, errIdentity
}

// of returns who is asking, or "" where nobody is signed in.
//
// A client certificate counts if it was verified: Caddy's client_auth modes request
// and require take any, whose names its owner has chosen. A header counts if it is
// there once: whoever removes the caller's copy puts one in its place.
func (i *identity) of(r *http.Request) string {
	if i.header != "" {
		values := r.Header[i.header]
		if len(values) != 1 {
			return ""
		}
		return values[0]
	}
	if i.tls && (r.TLS == nil || !r.TLS.HandshakeComplete || len(r.TLS.VerifiedChains) == 0) {
		return ""
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	value, _ := repl.GetString(i.placeholder)
	return value
}
