package caddymodule

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-convoai/convoai/cache"
	"github.com/caddy-convoai/convoai/region"
)

// gathered returns the metrics of a registry by name.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

// Two configurations, one after the other or side by side for the moment of a
// reload, show the same counters.
func TestMetricsSurviveAReload(t *testing.T) {
	s := newState(cache.Config[tokenKey]{})
	t.Cleanup(func() { _ = s.Destruct() })
	t.Cleanup(s.regions.Group(region.US.Endpoints()).Release)
	for reload := range 3 {
		registry := prometheus.NewPedanticRegistry()
		for range 2 { // two sites
			if err := s.metrics.register(registry); err != nil {
				t.Fatal(err)
			}
		}
		s.metrics.requested("join", 200)
		all := gathered(t, registry)
		if got := all["caddy_convoai_requests_total"].GetMetric()[0].GetCounter().GetValue(); got != float64(reload+1) {
			t.Errorf("after %d reloads %g requests are counted, want %d", reload, got, reload+1)
		}
		if got := len(all["caddy_convoai_upstream_healthy"].GetMetric()); got != len(region.US.Endpoints()) {
			t.Errorf("%d hosts are shown, want %d", got, len(region.US.Endpoints()))
		}
		if all["caddy_convoai_token_expiry_timestamp_seconds"] != nil || all["caddy_convoai_clock_skew_seconds"] != nil {
			t.Error("a gauge shows what is not known yet")
		}
	}
}
