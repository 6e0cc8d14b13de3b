package caddymodule

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// statusHolder holds one status back until something follows it. Caddy's error
// routes end with the bare status where none of them was about the error, and by
// that alone can the sidecar see that the answer is still its own to give.
type statusHolder struct {
	*caddyhttp.ResponseWriterWrapper
	status int
	held   bool
	passed bool // a status has gone out
}

func holdStatus(w http.ResponseWriter, status int) *statusHolder {
	return &statusHolder{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, status: status}
}

// WriteHeader implements http.ResponseWriter.
func (h *statusHolder) WriteHeader(status int) {
	if status == h.status && !h.passed && h.Header().Get("Content-Type") == "" {
		h.held = true
		return
	}
	h.pass()
	h.passed = true
	h.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (h *statusHolder) Write(p []byte) (int, error) {
	h.pass()
	h.passed = true
	return h.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (h *statusHolder) ReadFrom(r io.Reader) (int64, error) {
	h.pass()
	h.passed = true
	return h.ResponseWriterWrapper.ReadFrom(r)
}

// Unwrap lets http.ResponseController flush and hijack, which sends what is
// held.
func (h *statusHolder) Unwrap() http.ResponseWriter {
	h.pass()
	return h.ResponseWriter
}

func (h *statusHolder) pass() {
	if h.held {
		h.held, h.passed = false, true
		h.ResponseWriterWrapper.WriteHeader(h.status)
	}
}
