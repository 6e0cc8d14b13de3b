package caddymodule

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// instanceHeader marks the sidecar's outgoing requests, so that one which comes
// back to it is recognised as a loop.
const instanceHeader = "X-Convoai-Instance"

// instance identifies this process. It is no secret.
var instance = func() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}()

// instanceValue is shared by all requests: net/http does not change the values
// of a header it sends.
var instanceValue = []string{instance}

// maxInstances is how many sidecars a call may pass through, one behind the
// other.
const maxInstances = 3

// looped reports whether a request has come from this sidecar, or through more
// sidecars than anybody would want.
func looped(h http.Header) bool {
	passed := instances(h)
	return len(passed) > maxInstances || slices.Contains(passed, instance)
}

// instances returns the sidecars that a request came through.
func instances(h http.Header) []string {
	var passed []string
	for _, value := range h[instanceHeader] {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); instanceForm.MatchString(one) {
				passed = append(passed, one)
			}
		}
	}
	return passed
}

var instanceForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// headerPolicy chooses which of a caller's headers go upstream. Whatever is not
// chosen stays here: hop-by-hop headers, cookies, forwarding headers,
// idempotency keys (on which net/http would repeat a POST by itself), the
// caller's own Authorization.
type headerPolicy struct {
	extra map[string]bool // canonical names
}

// passedHeaders are the request headers that are always passed on, by their
// canonical names.
var passedHeaders = map[string]bool{
	"Accept":              true,
	"Accept-Charset":      true,
	"Accept-Encoding":     true,
	"Accept-Language":     true,
	"Content-Disposition": true,
	"Content-Encoding":    true,
	"Content-Language":    true,
	"Content-Location":    true,
	"Content-Md5":         true,
	"Content-Type":        true,
	"If-Match":            true,
	"If-Modified-Since":   true,
	"If-None-Match":       true,
	"If-Range":            true,
	"If-Unmodified-Since": true,
	"Traceparent":         true,
	"Tracestate":          true,
	"User-Agent":          true,
	"X-Request-Id":        true,
}

// passedPrefixes are beginnings of further names that are passed on: the
// vendor's feature headers (Agora-Feature) and its SDKs' (X-Fern-Language, …).
var passedPrefixes = []string{"Agora-Feature", "X-Fern-"}

// refusedHeaders cannot be passed on by configuration either.
var refusedHeaders = map[string]bool{
	"Authorization":            true,
	"Connection":               true,
	"Content-Length":           true,
	"Expect":                   true,
	"Forwarded":                true,
	"Host":                     true,
	"Http2-Settings":           true,
	"Idempotency-Key":          true,
	"Keep-Alive":               true,
	"Proxy-Authenticate":       true,
	"Proxy-Authorization":      true,
	"Proxy-Connection":         true,
	"Te":                       true,
	"Trailer":                  true,
	"Transfer-Encoding":        true,
	"Upgrade":                  true,
	"Via":                      true,
	callerTokenHeader:          true,
	instanceHeader:             true,
	"X-Idempotency-Key":        true,
	"X-Agora-Token":            true,
	"X-Agora-Uid":              true,
	"X-Forwarded-For":          true,
	"X-Forwarded-Host":         true,
	"X-Forwarded-Proto":        true,
	"X-Forwarded-Port":         true,
	"X-Forwarded-Prefix":       true,
	"X-Real-Ip":                true,
	"X-Http-Method-Override":   true,
	"X-Original-Authorization": true,
}

// newHeaderPolicy returns the policy that passes names on, besides the usual
// headers.
func newHeaderPolicy(names []string) (*headerPolicy, error) {
	p := &headerPolicy{extra: make(map[string]bool)}
	for _, name := range names {
		if !headerName.MatchString(name) {
			return nil, errors.New("allow_header takes header names")
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if refusedHeaders[canonical] {
			return nil, fmt.Errorf("allow_header: %s cannot be passed on", canonical)
		}
		p.extra[canonical] = true
	}
	return p, nil
}

// outgoing returns the headers of caller that go upstream, with the marker of
// this sidecar.
func (p *headerPolicy) outgoing(caller http.Header) http.Header {
	out := make(http.Header, 8) // which is cheap, and few send more
	for name, values := range caller {
		if p.passes(name) {
			out[name] = values
		}
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = noUserAgent // or net/http would send its own
	}
	out[instanceHeader] = instanceValue
	if passed := instances(caller); len(passed) > 0 {
		out[instanceHeader] = []string{strings.Join(append(passed, instance), ", ")}
	}
	return out
}

var noUserAgent = []string{""}

func (p *headerPolicy) passes(name string) bool {
	if passedHeaders[name] || p.extra[name] {
		return true
	}
	for _, prefix := range passedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
