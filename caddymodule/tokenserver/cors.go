package tokenserver

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// origins are the web origins whose pages may ask for tokens, credentials
// included. A page of any other origin is refused before anything is minted: its
// browser would not show it the answer, but send the request with the user's
// credentials all the same. Callers that are no browser name no origin.
type origins map[string]bool

// originStanding says which page has sent a request.
type originStanding int

const (
	originNone    originStanding = iota // no page of another origin has sent the request
	originListed                        // a page of a listed origin has
	originRefused                       // a page of another one has
)

var errOrigin = errors.New("origins must be web origins, such as https://app.example.com or http://localhost:5173: a scheme, a host in ASCII, and a port where it is not the usual one; * is not possible, because answers are for pages with credentials")

var originScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)

// parseOrigin returns an origin in the form in which browsers send it.
func parseOrigin(source string) (string, error) {
	source = strings.ToLower(source)
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
		!originScheme.MatchString(u.Scheme) || source != u.Scheme+"://"+u.Host || strings.ContainsAny(u.Host, "*{} ") ||
		strings.HasSuffix(u.Host, ":") || strings.ContainsFunc(source, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", errOrigin
	}
	return u.Scheme + "://" + withoutUsualPort(u.Scheme, u.Host), nil
}

func parseOrigins(sources []string) (origins, error) {
	set := make(origins, len(sources))
	for _, source := range sources {
		origin, err := parseOrigin(source)
		if err != nil {
			return nil, err
		}
		set[origin] = true
	}
	return set, nil
}

func withoutUsualPort(scheme, host string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// judge looks at who has sent r, as far as a browser says it.
func (o origins) judge(r *http.Request) originStanding {
	switch sent := r.Header["Origin"]; {
	case len(sent) > 1:
		return originRefused
	case len(sent) == 1 && o[sent[0]]:
		return originListed
	case len(sent) == 1 && sent[0] != "" && !ownOrigin(sent[0], r):
		return originRefused
	}
	// Without an origin, it may still be what a page of another one has embedded.
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "" && site != "same-origin" && site != "none" {
			return originRefused
		}
	}
	return originNone
}

// ownOrigin reports whether an origin is the one that r came to. Without TLS that
// may be https, too: a proxy in front may have taken it off.
func ownOrigin(origin string, r *http.Request) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	if scheme != "https" && (scheme != "http" || r.TLS != nil) {
		return false
	}
	return strings.EqualFold(host, withoutUsualPort(scheme, r.Host))
}

// setHeaders tells the browser of a page of a listed origin that the page may have
// the answer.
func (s originStanding) setHeaders(h http.Header, r *http.Request) {
	h.Add("Vary", "Origin")
	if s != originListed {
		return
	}
	h.Set("Access-Control-Allow-Origin", r.Header["Origin"][0])
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "X-Convoai-Error")
}

// preflight answers a browser that asks what a page may send.
func (s originStanding) preflight(w http.ResponseWriter, allow string, status int) {
	h := w.Header()
	h.Set("Allow", allow)
	if s == originListed {
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", "Content-Type, Authorization")
		h.Set("Access-Control-Max-Age", "600") // seconds
	}
	w.WriteHeader(status)
}
