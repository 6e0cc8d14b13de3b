package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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

// Each request is counted once, by what its caller was told, however it ends.
func TestEachRequestIsCountedOnce(t *testing.T) {
	const minted = "app_certificate {env.CERTIFICATE}"
	for _, test := range []struct {
		name         string
		answers      []string
		site         []string
		method, path string
		leaves       bool // the caller, in the middle of the answer
		want         string
	}{
		{"answered", nil, nil, http.MethodGet, listPath, false, "list 200"},
		{"sent again", []string{"401"}, nil, http.MethodGet, listPath, false, "list 200"},
		{"refused", nil, nil, http.MethodPost, "/v2/nothing", false, "none 404"},
		{"lost", []string{"drop"}, nil, http.MethodGet, listPath, false, "list 502"},
		{"broken off", []string{"break"}, nil, http.MethodGet, listPath, false, "list 200"},
		{"broken off, not to be repeated", []string{"break"}, nil, http.MethodPost, "/v2/projects/_/join", false, "join 200"},
		{"left by its caller midway", []string{"half"}, nil, http.MethodGet, listPath, true, "list 200"},
		{"left by its caller before", []string{"wait"}, nil, http.MethodGet, listPath, true, "list 499"},
		{"an error of a handler", nil, []string{"handle_response {\n error 418\n}"}, http.MethodGet, listPath, false, "list 418"},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := newScript(t, test.answers...)
			server := serverOf(t, "", siteFor(t, append([]string{minted, "upstream " + up.URL}, test.site...)...))
			requests := gatesOf(server.Routes)[0].metrics.requests
			before := countsOf(t, requests)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			w := reader{ResponseRecorder: httptest.NewRecorder()}
			switch {
			case test.leaves && test.want == "list 499":
				go func() {
					<-up.came
					leave()
				}()
			case test.leaves:
				w.began = leave
			}
			r := httptest.NewRequestWithContext(ctx, test.method, test.path, strings.NewReader(joinText))
			r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
			func() {
				defer func() { _ = recover() }() // the proxy's way of breaking off an answer
				server.ServeHTTP(w, r)
			}()
			var got []string
			for labels, n := range countsOf(t, requests) {
				if more := n - before[labels]; more != 0 {
					got = append(got, fmt.Sprintf("%gx %s", more, labels))
				}
			}
			if fmt.Sprint(got) != "[1x "+test.want+"]" {
				t.Errorf("counted %q, want 1x %s", got, test.want)
			}
		})
	}
}

// countsOf returns the counts of requests by operation and code.
func countsOf(t *testing.T, requests *prometheus.CounterVec) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(requests)
	counts := map[string]float64{}
	for _, family := range gathered(t, registry) {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range m.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			counts[labels["operation"]+" "+labels["code"]] = m.GetCounter().GetValue()
		}
	}
	return counts
}
