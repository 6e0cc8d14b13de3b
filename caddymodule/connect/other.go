package connect

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
)

const (
	// maxForwarded is how many requests to other APIs there can be at a time.
	maxForwarded = 256

	// otherTimeout is how long the answer to one of them may take to begin.
	otherTimeout = 60 * time.Second

	// maxDecodings is how often a path is decoded to see what is in it, beside the
	// once of net/http.
	maxDecodings = 4
)

// isOther reports whether a request to one of the vendor's hosts is for another API.
// What looks like a ConvoAI path is not, even if the gate will refuse it: with the
// client's own headers it would go past the gate.
func isOther(r *http.Request) bool {
	if r.Method == http.MethodTrace || !strings.HasPrefix(r.URL.Path, "/") {
		return false
	}
	if _, ok := api.ParsePath(r.URL.EscapedPath()); ok {
		return false
	}
	return !strings.Contains(strings.ToLower(decoded(r.URL.Path)), "conversational-ai-agent")
}

// decoded returns path as a gateway may read it that decodes more than once.
func decoded(path string) string {
	for range maxDecodings {
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			break
		}
		path = next
	}
	return path
}

// forward passes a request for another API of the vendor's on, with the client's own
// headers.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, host string) {
	if refusal, admitted := h.front.Admit(r); !admitted {
		h.refuse(w, r, refusal, h.front.Err())
		return
	}
	if outgoing.has(r.RemoteAddr) {
		h.refuse(w, r, errLoop, nil)
		return
	}
	select {
	case h.others <- struct{}{}:
		defer func() { <-h.others }()
	default:
		h.refuse(w, r, errTooMany, nil)
		return
	}
	trip := &otherTrip{handler: h, host: host}
	defer trip.end()
	proxy := httputil.ReverseProxy{
		Rewrite:      asTheClientSentIt,
		Transport:    trip,
		ErrorHandler: trip.failed,
		ErrorLog:     h.inside.http.ErrorLog,
	}
	proxy.ServeHTTP(w, r)
}

// asTheClientSentIt leaves nothing in a request that is ours, and puts back what the
// reverse proxy has taken out of it.
func asTheClientSentIt(r *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
	for name := range r.Out.Header {
		if strings.HasPrefix(name, "X-Convoai-") {
			delete(r.Out.Header, name)
		}
	}
	delete(r.Out.Header, "Connection") // no upgrade: what follows would be no HTTP
	delete(r.Out.Header, "Upgrade")
	r.Out.URL.RawQuery = r.In.URL.RawQuery
}

// otherTrip is the way of one such request.
type otherTrip struct {
	handler *Handler
	host    string

	mu     sync.Mutex // guards what follows
	remove []func()
	sent   bool
	late   bool
}

// RoundTrip implements [http.RoundTripper].
func (t *otherTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	timer := time.AfterFunc(otherTimeout, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.late = true
		cancel()
	})
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.remove = append(t.remove, outgoing.add(info.Conn.LocalAddr().String()))
		},
		WroteHeaders: func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.sent = true
		},
	})
	res, err := t.handler.front.RoundTrip(r.WithContext(ctx), t.host)
	timer.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove = append(t.remove, cancel)
	return res, err
}

// end is called when the answer has been passed on.
func (t *otherTrip) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, remove := range t.remove {
		remove()
	}
}

// failed answers a request that has had no answer.
func (t *otherTrip) failed(w http.ResponseWriter, r *http.Request, err error) {
	t.mu.Lock()
	sent, late := t.sent, t.late
	t.mu.Unlock()
	answer := errUnreachable
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case sent && (late || ok && timeout.Timeout()):
		answer = errTimeout
	case sent:
		answer = errLost
	}
	if r.Context().Err() != nil {
		return // nobody is there to be told
	}
	t.handler.logger.Warn("a request to another API has had no answer", zap.String("host", t.host), zap.Error(err))
	t.handler.refuse(w, r, answer, err)
}
