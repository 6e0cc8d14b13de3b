package integration

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// tracedSite is a site with Caddy's tracing in front of a directive.
func tracedSite(subdirectives ...string) string {
	return strings.Replace(site(subdirectives...), "\tconvoai {", "\ttracing {\n\t\tspan call\n\t}\n\tconvoai {", 1)
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	traceparent  = "traceparent: 00-" + callersTrace + "-" + callersSpan + "-01"
)

// wantSpans waits for the spans of the caller's trace, of which the first is the
// server's and the parent of the others, and compares their names and some of
// their attributes, "-" for one that must not be there.
func (c *collector) wantSpans(want ...map[string]string) []span {
	c.t.Helper()
	waitFor(c.t, "spans", func() bool { return len(c.trace(callersTrace)) >= len(want) })
	spans := c.trace(callersTrace)
	if len(spans) != len(want) {
		c.t.Fatalf("%d spans, want %d", len(spans), len(want))
	}
	if spans[0].parent() != callersSpan || spans[0].Kind != tracepb.Span_SPAN_KIND_SERVER {
		c.t.Errorf("the server's span is of kind %s, below %s", spans[0].Kind, spans[0].parent())
	}
	for i, s := range spans {
		if i > 0 && s.parent() != spans[0].id() {
			c.t.Errorf("%s is not below the server's span", s.Name)
		}
		for key, value := range want[i] {
			got, ok := s.attributes[key]
			switch {
			case key == "name":
				got = s.Name
			case value == "-" && !ok:
				got = "-"
			}
			if got != value {
				c.t.Errorf("span %d (%s) has %s %q, want %q", i, s.Name, key, got, value)
			}
		}
	}
	return spans
}

// One trace leads from the caller over the sidecar's decisions to what the upstream
// gets.
func TestTraceOfACallThatFailsOver(t *testing.T) {
	collector, up := newCollector(t), newUpstream(t, nil)
	dead := freePort(t)
	s := start(t, tracedSite(credentialsA, "upstream https://127.0.0.1:"+dead+" https://127.0.0.1:"+up.port, "transport http {\n tls_trust_pool file <CA>\n}"), collector.env()...)
	if a := s.send("POST", joinA, joinBody("room", "1"), traceparent, "tracestate: vendor=1", "baggage: user=1"); a.StatusCode != http.StatusOK {
		t.Fatalf("answered %d", a.StatusCode)
	}
	spans := collector.wantSpans(
		map[string]string{"name": "call"},
		map[string]string{"name": "convoai.authorize", "convoai.auth_mode": "app-credentials", "convoai.cache_result": "minted", "error.type": "-"},
		map[string]string{
			"name": "convoai.attempt", "server.address": "127.0.0.1", "server.port": dead, "http.request.method": "POST",
			"error.type": "connection_refused", "http.response.status_code": "-", "convoai.region": "127.0.0.1:" + dead,
		},
		map[string]string{
			"name": "convoai.attempt", "server.address": "127.0.0.1", "server.port": up.port, "http.request.method": "POST",
			"error.type": "-", "http.response.status_code": "200", "http.request.resend_count": "1",
		},
	)
	failed, answered := spans[2], spans[3]
	if failed.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || answered.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("the attempts are %s and %s", failed.Status.GetCode(), answered.Status.GetCode())
	}
	if failed.Kind != tracepb.Span_SPAN_KIND_CLIENT || answered.Kind != tracepb.Span_SPAN_KIND_CLIENT {
		t.Errorf("the attempts are of kinds %s and %s", failed.Kind, answered.Kind)
	}
	got := up.only(t).header
	if got.Get("Traceparent") != answered.traceparent() || got.Get("Tracestate") != "vendor=1" || got.Get("Baggage") != "" {
		t.Errorf("the upstream got traceparent %q, tracestate %q, baggage %q; want %q", got.Get("Traceparent"), got.Get("Tracestate"), got.Get("Baggage"), answered.traceparent())
	}
}

// What is sent again after a 401 has a span of its own, and names it.
func TestTraceOfACallThatIsSentAgain(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	collector, up := newCollector(t), newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Swap(false) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	s := start(t, tracedSite(credentialsA, to(up)), collector.env()...)
	s.send("GET", listA, "", traceparent)
	spans := collector.wantSpans(
		map[string]string{"name": "call"},
		map[string]string{"name": "convoai.authorize", "convoai.replaced": "-"},
		map[string]string{"name": "convoai.attempt", "http.response.status_code": "401", "error.type": "401"},
		map[string]string{"name": "convoai.authorize", "convoai.replaced": "true"},
		map[string]string{"name": "convoai.attempt", "http.response.status_code": "200", "http.request.resend_count": "1"},
	)
	sent := up.received()
	if len(sent) != 2 {
		t.Fatalf("%d requests came to the upstream", len(sent))
	}
	for i, attempt := range []span{spans[2], spans[4]} {
		if got := sent[i].header.Get("Traceparent"); got != attempt.traceparent() {
			t.Errorf("request %d has traceparent %q, want %q", i, got, attempt.traceparent())
		}
	}
}

// Without Caddy's directive the caller's trace context goes on as it is.
func TestTraceContextIsPassedOnUntraced(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, site(credentialsA, to(up)), envA...)
	s.send("GET", listA, "", traceparent, "tracestate: vendor=1", "baggage: user=1")
	got := up.only(t).header
	if got.Get("Traceparent") != "00-"+callersTrace+"-"+callersSpan+"-01" || got.Get("Tracestate") != "vendor=1" || got.Get("Baggage") != "" {
		t.Errorf("the upstream got traceparent %q, tracestate %q, baggage %q", got.Get("Traceparent"), got.Get("Tracestate"), got.Get("Baggage"))
	}
}

// Caddy exports its registry, and so ours, by OTLP.
func TestMetricsByOTLP(t *testing.T) {
	collector, up := newCollector(t), newUpstream(t, nil)
	s := start(t, strings.Replace(site(credentialsA, to(up)), "admin off", "admin off\n\tmetrics {\n\t\totlp\n\t}", 1), collector.env()...)
	for range 3 {
		s.send("GET", listA, "")
	}
	for name, labels := range map[string]map[string]string{
		"caddy_convoai_requests_total":          {"operation": "list", "code": "200"},
		"caddy_convoai_upstream_attempts_total": {"host": "127.0.0.1:" + up.port, "outcome": "answered"},
	} {
		waitFor(t, name, func() bool {
			value, ok := collector.counter(name, labels)
			return ok && value == 3
		})
	}
}
