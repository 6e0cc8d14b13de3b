package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// script is an upstream that answers one request after another as it is told.
type script struct {
	*httptest.Server

	mu       sync.Mutex // guards what follows
	answers  []string
	requests []*http.Request
	came     chan struct{} // one for each "wait"
}

// newScript returns an upstream with these answers: a status; "wait", which ends
// with the request; "drop", which closes the connection; "half", which stops in the
// middle of the body; "break", which closes the connection there; "large 503".
// After the last the answers are 200.
func newScript(t *testing.T, answers ...string) *script {
	s := &script{answers: answers, came: make(chan struct{}, 8)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	answer := "200"
	if len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	switch answer {
	case "wait":
		s.came <- struct{}{}
		<-r.Context().Done()
	case "drop":
		panic(http.ErrAbortHandler)
	case "half", "break":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"agent_id":`)
		_ = http.NewResponseController(w).Flush()
		if answer == "break" {
			panic(http.ErrAbortHandler)
		}
		s.came <- struct{}{}
		<-r.Context().Done()
	case "large 503":
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(make([]byte, 2*keepSize))
	default:
		var status int
		_, _ = fmt.Sscan(answer, &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"agent_id":"1NT29X10YHxxxxxWJOXLYHNYB"}`)
	}
}

// sent returns the requests that came.
func (s *script) sent() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// tracing has requests to a server be traced.
type tracing struct {
	server      *caddyhttp.Server
	recorder    *tracetest.SpanRecorder
	provider    *sdktrace.TracerProvider
	certificate string
	span        trace.SpanContext // of the server, of the last call
	reads       func()            // called when the caller has the beginning of an answer; or nil
}

func newTracing(t *testing.T, site string, options ...sdktrace.TracerProviderOption) *tracing {
	t.Helper()
	// What is known of a certificate outlives a configuration.
	certificate := randomCertificate()
	t.Setenv("CERTIFICATE", certificate)
	tr := &tracing{server: serverOf(t, "", site), certificate: certificate, recorder: tracetest.NewSpanRecorder()}
	tr.provider = sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(tr.recorder))...)
	return tr
}

func randomCertificate() string { return fmt.Sprintf("%x", rand.Text())[:32] }

// call makes a call as Caddy's tracing directive would pass it on.
func (tr *tracing) call(ctx context.Context, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	carrier := propagation.HeaderCarrier(r.Header)
	ctx, span := tr.provider.Tracer("test").Start(propagators().Extract(ctx, carrier), "server", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	propagators().Inject(ctx, carrier)
	tr.span, r = span.SpanContext(), r.WithContext(ctx)
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }() // the proxy's way of breaking off an answer
		tr.server.ServeHTTP(reader{w, tr.reads}, r)
	}()
	return w
}

// reader is a caller who reads.
type reader struct {
	*httptest.ResponseRecorder
	began func() // or nil
}

func (r reader) Write(p []byte) (int, error) {
	if r.began != nil {
		r.began()
	}
	return r.ResponseRecorder.Write(p)
}

// spans returns the ended spans below the server's, in the order of their
// beginnings, each as its name and what tells how it went.
func (tr *tracing) spans() (all []string) {
	ended := tr.recorder.Ended()
	slices.SortStableFunc(ended, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	for _, span := range ended {
		if span.Name() == "server" {
			continue
		}
		text := strings.TrimPrefix(span.Name(), "convoai.")
		for _, key := range []attribute.Key{cacheResultKey, replacedKey, semconv.HTTPRequestResendCountKey, outcomeKey, semconv.HTTPResponseStatusCodeKey, semconv.ErrorTypeKey} {
			if value, ok := attributeOf(span, key); ok {
				text += " " + value
			}
		}
		if failed := span.Status().Code == codes.Error; failed != strings.Contains(text, "error:") {
			text += " status " + span.Status().Code.String()
		}
		all = append(all, text)
	}
	return all
}

// attributeOf returns an attribute in a short form.
func attributeOf(span sdktrace.ReadOnlySpan, key attribute.Key) (string, bool) {
	short := map[attribute.Key]string{semconv.HTTPRequestResendCountKey: "resend:", semconv.ErrorTypeKey: "error:", replacedKey: "replaced:"}
	for _, a := range span.Attributes() {
		if a.Key == key {
			return short[key] + a.Value.String(), true
		}
	}
	return "", false
}

// closedPort returns an upstream that refuses connections.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

const (
	listPath  = "/v2/projects/_/agents"
	leavePath = "/v2/projects/_/agents/agent-4711/leave"
	joinText  = `{"properties":{"channel":"room-4711","token":"given","agent_rtc_uid":"1"}}`
)

// However a call goes, each thing that is done for it is one span below the
// server's, says how it went, and ends with it.
func TestSpansTellHowACallWent(t *testing.T) {
	const minted = "app_certificate {env.CERTIFICATE}"
	for _, test := range []struct {
		name       string
		credential string   // default: minted
		dead       bool     // an upstream in front refuses connections
		answers    []string // of the first upstream that does not
		more       bool     // a second upstream answers 200
		options    string
		method     string
		path, body string
		leaves     bool // the caller goes while an upstream waits
		reads      bool // the caller goes once it has the beginning of the answer
		want       []string
	}{
		{
			name: "answered", method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt answered 200"},
		},
		{
			name: "refused by the gate", method: "GET", path: "/elsewhere",
		},
		{
			name: "the vendor's own error", answers: []string{"404"}, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt answered 404 error:404"},
		},
		{
			name: "failover before sending", dead: true, method: "POST", path: "/v2/projects/_/join", body: joinText,
			want: []string{"authorize minted", "attempt not_sent error:connection_refused", "attempt resend:1 answered 200"},
		},
		{
			name: "failover after sending", answers: []string{"drop"}, more: true, method: "POST", path: leavePath,
			want: []string{"authorize minted", "attempt lost error:connection_lost", "attempt resend:1 answered 200"},
		},
		{
			name: "connection lost", answers: []string{"drop"}, more: true, method: "POST", path: "/v2/projects/_/join", body: joinText,
			want: []string{"authorize minted", "attempt lost error:connection_lost"},
		},
		{
			name: "no answer in time", answers: []string{"wait"}, options: "response_timeout 50ms", method: "POST", path: "/v2/projects/_/join", body: joinText,
			want: []string{"authorize minted", "attempt timeout error:timeout"},
		},
		{
			name: "unavailable, and another is not", answers: []string{"503"}, more: true, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt unavailable 503 error:503", "attempt resend:1 answered 200"},
		},
		{
			name: "unavailable at length, and nobody else is there", dead: true, answers: []string{"large 503"}, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt not_sent error:connection_refused", "attempt resend:1 unavailable 503 error:503"},
		},
		{
			name: "sent again after a 401", answers: []string{"401"}, method: "POST", path: "/v2/projects/_/join", body: joinText,
			want: []string{"authorize minted", "attempt answered 401 error:401", "authorize minted replaced:true", "attempt resend:1 answered 200"},
		},
		{
			name: "refused twice", answers: []string{"401", "401"}, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt answered 401 error:401", "authorize minted replaced:true", "attempt resend:1 answered 401 error:401"},
		},
		{
			name: "a refused password", credential: "customer_id id\ncustomer_secret {env.CERTIFICATE}", answers: []string{"401"}, method: "GET", path: listPath,
			want: []string{"authorize", "attempt answered 401 error:401"},
		},
		{
			name: "an expired token", credential: "auth_token " + signed(t, testAppID, time.Now().Add(-2*time.Hour)), method: "GET", path: listPath,
			want: []string{"authorize error:CredentialUnavailable"},
		},
		{
			name: "the caller goes, and takes the call along", answers: []string{"wait"}, leaves: true, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt abandoned error:canceled"},
		},
		{
			name: "the caller goes, and the call is let finish", answers: []string{"wait"}, options: "response_timeout 500ms", leaves: true,
			method: "POST", path: "/v2/projects/_/join", body: joinText,
			want: []string{"authorize minted", "attempt timeout error:timeout"},
		},
		{
			name: "the caller goes in the middle of the answer", answers: []string{"half"}, reads: true, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt answered 200 error:canceled"},
		},
		{
			name: "the answer stops midway", answers: []string{"half"}, options: "response_timeout 50ms", method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt answered 200 error:timeout"},
		},
		{
			name: "the answer breaks off", answers: []string{"break"}, method: "GET", path: listPath,
			want: []string{"authorize minted", "attempt answered 200 error:connection_lost"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			upstreams := []string{}
			if test.dead {
				upstreams = append(upstreams, closedPort(t))
			}
			first := newScript(t, test.answers...)
			if upstreams = append(upstreams, first.URL); test.more {
				upstreams = append(upstreams, newScript(t).URL)
			}
			credential := test.credential
			if credential == "" {
				credential = minted
			}
			tr := newTracing(t, "convoai {\napp_id "+testAppID+"\n"+credential+"\nupstream "+strings.Join(upstreams, " ")+"\n"+test.options+"\n}")
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			if test.leaves {
				go func() {
					<-first.came
					leave()
				}()
			}
			if test.reads {
				tr.reads = leave
			}
			tr.call(ctx, test.method, test.path, test.body)
			if got := tr.spans(); !slices.Equal(got, test.want) {
				t.Errorf("spans\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
			tr.check(t)
		})
	}
}

// check checks what holds of all spans: they have ended, belong to the request, and
// say nothing that they must not.
func (tr *tracing) check(t *testing.T) {
	t.Helper()
	if begun, ended := len(tr.recorder.Started()), len(tr.recorder.Ended()); begun != ended {
		t.Errorf("%d spans have begun, and %d have ended", begun, ended)
	}
	parents := map[trace.SpanID]string{}
	for _, span := range tr.recorder.Started() {
		parents[span.SpanContext().SpanID()] = span.Name()
	}
	for _, span := range tr.recorder.Ended() {
		if span.Name() == "server" {
			continue
		}
		if parents[span.Parent().SpanID()] != "server" {
			t.Errorf("%s is no child of the request's span", span.Name())
		}
		if kind := span.SpanKind(); (kind == trace.SpanKindClient) != (span.Name() == spanAttempt) {
			t.Errorf("%s is of kind %s", span.Name(), kind)
		}
		text := span.Status().Description
		for _, a := range span.Attributes() {
			text += " " + a.Value.String()
		}
		for _, secret := range []string{testAppID, tr.certificate, "agent-4711", "room-4711", tokenScheme, "007eJ"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows an ID or a secret", span.Name())
			}
		}
	}
}

// The attributes are those of OpenTelemetry's conventions for HTTP clients.
func TestAttemptHasTheAttributesOfAnHTTPClient(t *testing.T) {
	up := newScript(t)
	host, port, _ := net.SplitHostPort(up.Listener.Addr().String())
	tr := newTracing(t, "convoai {\napp_id "+testAppID+"\napp_certificate {env.CERTIFICATE}\nupstream "+up.URL+"\n}")
	tr.call(t.Context(), "POST", leavePath+"?channel=room-4711", "")
	tr.check(t)
	for _, span := range tr.recorder.Ended() {
		if span.Name() != spanAttempt {
			continue
		}
		got := map[string]string{}
		for _, a := range span.Attributes() {
			got[string(a.Key)] = a.Value.String()
		}
		const template = "/api/conversational-ai-agent/v2/projects/%s/agents/%s/leave"
		want := map[string]string{
			"http.request.method": "POST", "http.response.status_code": "200",
			"server.address": host, "server.port": port, "network.peer.address": host, "network.peer.port": port,
			"network.protocol.version": "1.1", "url.scheme": "http",
			"url.template":      fmt.Sprintf(template, "{appid}", "{agent_id}"),
			"url.full":          up.URL + fmt.Sprintf(template, "REDACTED", "REDACTED"),
			"convoai.operation": "leave", "convoai.region": host + ":" + port, "convoai.outcome": "answered",
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s is %q, want %q", name, got[name], value)
			}
		}
		for name, value := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("%s is there: %q", name, value)
			}
		}
		return
	}
	t.Error("no attempt")
}

// What goes upstream names the attempt that it goes with, and nothing of what the
// caller said beside its trace.
func TestTraceContextUpstream(t *testing.T) {
	const caller, none = "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"
	for _, test := range []struct {
		name    string
		id      string // of the caller's trace
		allow   string
		sampler sdktrace.Sampler
		traced  bool
		want    map[string]string // "attempt" and "server": names that span
	}{
		{
			name: "traced", id: caller, sampler: sdktrace.AlwaysSample(), traced: true,
			want: map[string]string{"Traceparent": "attempt", "Tracestate": "vendor=1", "Baggage": "", "B3": ""},
		},
		{
			name: "not sampled", id: caller, sampler: sdktrace.NeverSample(),
			want: map[string]string{"Traceparent": "server", "Tracestate": "vendor=1", "Baggage": ""},
		},
		{
			name: "further headers", id: caller, allow: "allow_header baggage b3", sampler: sdktrace.AlwaysSample(), traced: true,
			want: map[string]string{"Traceparent": "attempt", "Baggage": "user=4711", "B3": "0"},
		},
		{
			name: "no trace of the caller's", id: none, sampler: sdktrace.AlwaysSample(), traced: true,
			want: map[string]string{"Traceparent": "attempt", "Tracestate": ""},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := newScript(t, "401")
			tr := newTracing(t, "convoai {\napp_id "+testAppID+"\napp_certificate {env.CERTIFICATE}\nupstream "+up.URL+"\n"+test.allow+"\n}", sdktrace.WithSampler(test.sampler))
			tr.call(t.Context(), "GET", listPath, "", "traceparent", "00-"+test.id+"-00f067aa0ba902b7-01", "tracestate", "vendor=1", "baggage", "user=4711", "b3", "0")
			attempts := []sdktrace.ReadOnlySpan{}
			for _, span := range tr.recorder.Ended() {
				if span.Name() == spanAttempt {
					attempts = append(attempts, span)
				}
			}
			sent := up.sent()
			if len(sent) != 2 || test.traced != (len(attempts) == 2) {
				t.Fatalf("%d requests, %d spans", len(sent), len(attempts))
			}
			for i, r := range sent {
				for name, want := range test.want {
					id := test.id
					if id == none {
						id = tr.span.TraceID().String()
					}
					switch want {
					case "attempt":
						want = "00-" + id + "-" + attempts[i].SpanContext().SpanID().String() + "-01"
					case "server":
						want = "00-" + id + "-" + tr.span.SpanID().String() + "-00"
					}
					if got := strings.Join(r.Header.Values(name), " | "); got != want {
						t.Errorf("request %d has %s %q, want %q", i, name, got, want)
					}
				}
			}
		})
	}
}

type unrelatedKey struct{}

// Where nothing is traced, looking for a span allocates nothing.
func TestNoTracingCostsNoAllocation(t *testing.T) {
	p, _ := mustProject(t, withCertificate())
	call := &Call{project: p}
	a := new(attempt)
	header := http.Header{"Traceparent": {"00"}}
	ctx := context.WithValue(t.Context(), unrelatedKey{}, bytes.MinRead)
	if n := testing.AllocsPerRun(100, func() {
		span := call.authorizing(ctx)
		authorized(span, call.credential, nil)
		a.trace(ctx, call)
		a.propagate(header, nil)
		a.traceConn(nil)
		a.traceOutcome("answered")
		a.traceBody(io.EOF)
		a.traceEnd()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if header.Get("Traceparent") != "00" {
		t.Error("the caller's trace context is not passed on as it is")
	}
}
