package caddymodule

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// cameBack reports whether res is this sidecar's own answer to the attempt, which
// was led back to it.
func cameBack(res *http.Response) bool {
	return res.StatusCode == http.StatusLoopDetected && res.Header.Get(instanceHeader) == instance
}

// movesOn reports whether a status says that another upstream may do better.
func movesOn(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

const (
	keepSize    = 64 << 10
	keepTimeout = 2 * time.Second
)

// keep holds res, of an upstream that said it was unavailable, for the case that
// no other answers: its body in memory, and what is too large for that on its
// connection. A body that does not come is let go, and res with it.
func (c *Call) keep(res *http.Response) {
	timer := time.AfterFunc(keepTimeout, func() { c.attempt.cancel(errResponseTimeout) })
	body, err := io.ReadAll(io.LimitReader(res.Body, keepSize+1))
	timer.Stop()
	if err != nil {
		discard(res)
		c.maybeReceived = true
		return
	}
	if c.unavailable != nil {
		discard(c.unavailable)
	}
	c.unavailable = res
	c.attempt.traceEnd()
	if len(body) > keepSize {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), res.Body), res.Body}
		return
	}
	discard(res)
	res.Body = io.NopCloser(bytes.NewReader(body))
}

// clean returns res without what is not the vendor's to say, without any header
// that repeats a credential, and without trailers, which could do both.
func clean(res *http.Response, call *Call) *http.Response {
	delete(res.Header, errorHeader)
	delete(res.Header, instanceHeader)
	repeatsOurs := func(text string) bool {
		return repeats(text, call.credential.secret) || call.refused != "" && repeats(text, call.refused)
	}
	for name, values := range res.Header {
		// net/http keeps a name with a space in it as it came.
		if repeatsOurs(name) || slices.ContainsFunc(values, repeatsOurs) {
			delete(res.Header, name)
		}
	}
	if res.ProtoMajor == 1 && res.ContentLength >= 0 {
		return res // no trailers can follow
	}
	// The trailers that come with the body go into the response that the body
	// was made for, not into this one.
	without := *res
	without.Trailer = nil
	return &without
}

// repeats reports whether value holds secret, as it is or percent-encoded.
func repeats(value, secret string) bool {
	if strings.Contains(value, secret) {
		return true
	}
	if strings.IndexByte(value, '%') < 0 {
		return false
	}
	return strings.Contains(percentDecoded(value), secret)
}

// percentDecoded returns s with its percent-encodings decoded. A percent sign
// that begins none stands for itself, so that one which is out of place does not
// hide what follows.
func percentDecoded(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if decoded, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.WriteByte(decoded[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// discard ends a response that is not passed on. What is left of its body is not
// waited for, even if that costs the connection.
func discard(res *http.Response) { _ = res.Body.Close() }
