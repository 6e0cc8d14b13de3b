package integration

import (
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OpenTelemetry collector, for OTLP over HTTP with Protobuf.
type collector struct {
	t *testing.T
	*upstream
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	return &collector{t, newPlainUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = io.WriteString(w, "")
	})}
}

// env has the binary export to c, and soon.
func (c *collector) env(more ...string) []string {
	return append(append([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_METRIC_EXPORT_INTERVAL=100", "OTEL_LOGS_EXPORTER=none",
	}, envA...), more...)
}

// span is a span as it was exported.
type span struct {
	*tracepb.Span
	attributes map[string]string
}

func (s span) id() string     { return hex.EncodeToString(s.SpanId) }
func (s span) parent() string { return hex.EncodeToString(s.ParentSpanId) }

// traceparent is how a request names s.
func (s span) traceparent() string {
	return "00-" + hex.EncodeToString(s.TraceId) + "-" + s.id() + "-01"
}

// trace returns the spans of a trace so far, in the order of their beginnings.
func (c *collector) trace(id string) []span {
	c.t.Helper()
	var spans []span
	for _, r := range c.received() {
		if r.uri != "/v1/traces" {
			continue
		}
		var export collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal([]byte(r.body), &export); err != nil {
			c.t.Fatal(err)
		}
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, one := range scope.Spans {
					if hex.EncodeToString(one.TraceId) == id {
						spans = append(spans, span{one, texts(one.Attributes)})
					}
				}
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	return spans
}

// counter returns the value of a counter with these attributes, as it was exported
// last; ok is false where it was not.
func (c *collector) counter(name string, attributes map[string]string) (value float64, ok bool) {
	c.t.Helper()
	for _, r := range c.received() {
		if r.uri != "/v1/metrics" {
			continue
		}
		var export collectormetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal([]byte(r.body), &export); err != nil {
			c.t.Fatal(err)
		}
		for _, resource := range export.ResourceMetrics {
			for _, scope := range resource.ScopeMetrics {
				for _, metric := range scope.Metrics {
					if metric.Name != name {
						continue
					}
					for _, point := range metric.GetSum().GetDataPoints() {
						if among(attributes, texts(point.Attributes)) {
							value, ok = point.GetAsDouble(), true
						}
					}
				}
			}
		}
	}
	return value, ok
}

func texts(attributes []*common.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = strconv.FormatInt(v.IntValue, 10)
		case *common.AnyValue_BoolValue:
			all[a.Key] = strconv.FormatBool(v.BoolValue)
		}
	}
	return all
}

// among reports whether all of some are there.
func among(some, all map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}
