package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// vendor is an upstream that judges tokens, those of headers and of bodies, by its
// own clock and certificates. A token that it refuses in a body, it refuses with
// 400.
type vendor struct {
	*httptest.Server
	clock *testClock // the sidecar's

	mu           sync.Mutex // guards what follows
	ahead        time.Duration
	certificates []string
	noDate       bool
	status       int // of what it accepts; 0: 200
	sends        []received
}

// received is one request.
type received struct {
	header, body string
	token        *token.Token
}

func newVendor(t *testing.T, clock *testClock, certificates ...string) *vendor {
	v := &vendor{clock: clock, certificates: certificates}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.clock.now().Add(v.ahead)
	w.Header()["Date"] = nil
	if !v.noDate {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	}
	got := received{header: r.Header.Get("Authorization"), body: string(body)}
	status := http.StatusUnauthorized
	var err error
	if got.token, err = token.Parse(strings.Trim(strings.TrimPrefix(got.header, "agora token="), `"`)); err == nil && v.accepts(got.token, now) {
		if status = v.status; status == 0 {
			status = http.StatusOK
		}
		if text := propertiesToken(got.body); text != "" {
			if inner, err := token.Parse(text); err != nil || !v.accepts(inner, now) {
				status = http.StatusBadRequest
			}
		}
	}
	v.sends = append(v.sends, got)
	w.WriteHeader(status)
}

// accepts is the vendor's judgement of a token. It is strict: one that was issued
// a second later than now is refused.
func (v *vendor) accepts(t *token.Token, now time.Time) bool {
	if t.CheckTime(now) != nil {
		return false
	}
	for _, certificate := range v.certificates {
		if t.Verify(certificate) == nil {
			return true
		}
	}
	return false
}

// set changes the vendor, and forgets what it was sent.
func (v *vendor) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
	v.sends = nil
}

// sent returns what came since.
func (v *vendor) sent() []received {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sends
}

func propertiesToken(body string) string {
	var b struct {
		Properties struct{ Token string }
	}
	_ = json.Unmarshal([]byte(body), &b)
	return b.Properties.Token
}

// tokenOfBody parses properties.token.
func tokenOfBody(t *testing.T, body string) *token.Token {
	t.Helper()
	parsed, err := token.Parse(propertiesToken(body))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// caller sends joins through a gate and a transport to a vendor.
type caller struct {
	t       *testing.T
	gate    *Gate
	carrier *Transport
	vendor  *vendor
}

func newCaller(t *testing.T, p *project, clock *testClock, v *vendor) caller {
	g := testGate(t, clock, p)
	g.endpoints = endpoints(t, v.URL)
	return caller{t, g, provisioned(t), v}
}

// call makes a call and returns its status.
func (c caller) call(path, body string) (status int) {
	c.t.Helper()
	c.vendor.set(func() {})
	carry(c.t, c.gate, c.carrier, "POST", path, body, func(_ *Call, res *http.Response, err error) {
		if err != nil {
			c.t.Fatal(err)
		}
		status = res.StatusCode
	})
	return status
}
