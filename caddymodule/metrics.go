package caddymodule

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-convoai/convoai/cache"
	"github.com/caddy-convoai/convoai/region"
)

// metrics are counted across all sites and reloads: they live in the shared
// state, and each configuration's registry shows them. Their labels are bounded:
// none is ever an App ID, a channel, a path or anything else that a caller
// chooses.
type metrics struct {
	requests *prometheus.CounterVec // operation, code
	rejected *prometheus.CounterVec // reason

	mints             *prometheus.CounterVec // kind, outcome
	lookups           *prometheus.CounterVec // result
	reauthorizations  *prometheus.CounterVec // outcome
	secretReloads     *prometheus.CounterVec // outcome
	attempts          *prometheus.CounterVec // host, outcome
	failovers         *prometheus.CounterVec // from, to
	cacheHits         prometheus.Counter     // of lookups, because it is on every call's way
	state             *state
	entries, expiry   *prometheus.Desc
	skew              *prometheus.Desc
	healthy, connects *prometheus.Desc
}

const metricsPrefix = "caddy_convoai_"

func newMetrics(s *state) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
	}
	m := &metrics{
		requests:         counter("requests_total", "Requests to the convoai handler by operation and by the status that the vendor or the sidecar answered with.", "operation", "code"),
		rejected:         counter("rejected_total", "Requests that the sidecar answered itself, by the reason in X-Convoai-Error.", "reason"),
		mints:            counter("mints_total", "Tokens minted, by what they are for (header, body) and outcome (ok, error).", "kind", "outcome"),
		lookups:          counter("cache_requests_total", "Lookups of header tokens by result: hit, stale (handed out while it is being replaced), minted (the call waited), failed.", "result"),
		reauthorizations: counter("reauthorizations_total", "Calls that were sent once more with another token after a 401, by outcome: accepted, refused, failed.", "outcome"),
		secretReloads:    counter("secret_reloads_total", "Changed files of secrets, by outcome: ok, error (the previous value is kept).", "outcome"),
		attempts:         counter("upstream_attempts_total", "Attempts by host and outcome: answered, unavailable (502, 503, 504), not_sent, lost, timeout, abandoned.", "host", "outcome"),
		failovers:        counter("failovers_total", "Attempts that followed a failed attempt of the same call at another host.", "from", "to"),
		state:            s,
		entries:          gauge("cache_entries", "Header tokens in the cache."),
		expiry:           gauge("token_expiry_timestamp_seconds", "Unix time at which the first of the present tokens, minted or pre-built, expires. Absent without tokens."),
		skew:             gauge("clock_skew_seconds", "By how much this host's clock is ahead of the vendor's, by the last answer's Date. Absent before the first."),
		healthy:          gauge("upstream_healthy", "Whether calls go to the host: 1, or 0 while it rests or has yet to be probed.", "host"),
		connects:         gauge("upstream_connect_seconds", "Smoothed time to connect to the host, TLS included, by which hosts are preferred. Absent before it is measured.", "host"),
	}
	m.cacheHits = m.lookups.WithLabelValues(cache.Hit.String())
	for _, outcome := range []string{"ok", "error"} {
		m.secretReloads.WithLabelValues(outcome)
		m.mints.WithLabelValues("header", outcome)
		m.mints.WithLabelValues("body", outcome)
	}
	for _, result := range []cache.Result{cache.Stale, cache.Minted, cache.Failed} {
		m.lookups.WithLabelValues(result.String())
	}
	return m
}

// register shows m in a configuration's registry.
func (m *metrics) register(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		m.requests, m.rejected, m.mints, m.lookups, m.reauthorizations, m.secretReloads, m.attempts, m.failovers, m,
	} {
		err := registry.Register(c)
		if _, twice := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !twice {
			return err
		}
	}
	return nil
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.entries, m.expiry, m.skew, m.healthy, m.connects} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector] for what is known at any time.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(m.entries, float64(m.state.tokens.Len()))
	if at, ok := m.state.soonestExpiry(); ok {
		gauge(m.expiry, float64(at.UnixMilli())/1e3)
	}
	if seconds, ok := m.state.clockSkew(); ok {
		gauge(m.skew, seconds)
	}
	// A host that is known twice, with and without TLS, counts as the worse.
	healthy, connects := map[string]float64{}, map[string]float64{}
	for _, status := range m.state.regions.Snapshot() {
		host := status.Endpoint.URLHost()
		value := 0.0
		if status.State == region.Available {
			value = 1
		}
		if before, ok := healthy[host]; !ok || value < before {
			healthy[host] = value
		}
		if status.Latency > 0 {
			connects[host] = max(connects[host], status.Latency.Seconds())
		}
	}
	for host, value := range healthy {
		gauge(m.healthy, value, host)
	}
	for host, value := range connects {
		gauge(m.connects, value, host)
	}
}

// looked counts a lookup in the cache.
func (m *metrics) looked(result cache.Result) {
	if result == cache.Hit {
		m.cacheHits.Inc()
		return
	}
	m.lookups.WithLabelValues(result.String()).Inc()
}

// minted counts a token that was made, or not.
func (m *metrics) minted(kind string, err error) {
	m.mints.WithLabelValues(kind, okOrError(err)).Inc()
}

// reloaded counts a changed file of a secret.
func (m *metrics) reloaded(err error) { m.secretReloads.WithLabelValues(okOrError(err)).Inc() }

func okOrError(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// requested counts a request by its status.
func (m *metrics) requested(operation string, status int) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
}
