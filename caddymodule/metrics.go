package caddymodule

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-convoai/convoai/api"
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

	mints              *prometheus.CounterVec // kind, outcome
	lookups            *prometheus.CounterVec // result
	unauthorized       *prometheus.CounterVec // auth_mode
	reauthorizations   *prometheus.CounterVec // outcome
	secretReloads      *prometheus.CounterVec // outcome
	attempts           *prometheus.CounterVec // host, outcome
	failovers          *prometheus.CounterVec // from, to
	eventsDropped      *prometheus.CounterVec // event
	cacheHits          prometheus.Counter     // of lookups, because it is on every call's way
	state              *state
	entries            *prometheus.Desc
	expiry, configured *prometheus.Desc
	overdue, unusable  *prometheus.Desc
	skew               *prometheus.Desc
	healthy, connects  *prometheus.Desc
}

const metricsPrefix = "caddy_convoai_"

// ownReasons are those of the sidecar's refusals. They are counted from 0, as all
// labels with few values are: a counter that appears with its first event would
// hide it from increase().
var ownReasons = []string{
	api.ReasonInvalidRequestBody, api.ReasonCallerNotAuthorized, api.ReasonProjectNotConfigured, api.ReasonCrossSiteRequest,
	api.ReasonHostNotAllowed, api.ReasonPeerNotAllowed, api.ReasonNotConvoAI, api.ReasonMethodNotAllowed, api.ReasonBodyTooLarge,
	api.ReasonUpstreamUnreachable, api.ReasonUpstreamConnectionLost, api.ReasonCredentialUnavailable, api.ReasonUpstreamTimeout,
	api.ReasonLoopDetected, api.ReasonInvalidRequest, api.ReasonNotAllowed,
}

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
		unauthorized:     counter("vendor_unauthorized_total", "Answers 401 of the vendor that went to the caller, by the mode of the credential: app-credentials, token, basic.", "auth_mode"),
		reauthorizations: counter("reauthorizations_total", "Calls that were sent once more with another token after a 401, by outcome: accepted, refused, failed.", "outcome"),
		secretReloads:    counter("secret_reloads_total", "Changed files of secrets, by outcome: ok, error (the previous value is kept).", "outcome"),
		attempts:         counter("upstream_attempts_total", "Attempts by host and outcome: answered, unavailable (502, 503, 504), not_sent, lost, timeout, abandoned.", "host", "outcome"),
		failovers:        counter("failovers_total", "Attempts that followed a failed attempt of the same call at another host.", "from", "to"),
		eventsDropped:    counter("events_dropped_total", "Events of Caddy's events app that were not emitted because the handlers of those before them took too long.", "event"),
		state:            s,
		entries:          gauge("cache_entries", "Header tokens in the cache."),
		expiry:           gauge("token_expiry_timestamp_seconds", "Unix time at which the first token expires that is in use, minted or configured as auth_token. Absent without any."),
		configured:       gauge("auth_token_expiry_timestamp_seconds", "Unix time at which the first configured auth_token expires. Absent without any."),
		overdue:          gauge("token_refresh_overdue_seconds", "For how long the token in use whose refresh is due has been so; of several, the longest. 0 if none is."),
		unusable:         gauge("secrets_unusable", "Secrets whose files hold what cannot be used at present, so that the previous value is kept."),
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
	for _, outcome := range []string{"accepted", "refused", "failed"} {
		m.reauthorizations.WithLabelValues(outcome)
	}
	for _, mode := range []string{modeApp, modeToken, modeBasic} {
		m.unauthorized.WithLabelValues(mode)
	}
	for _, event := range []string{eventFailover, eventCredentialRejected, eventMintFailed} {
		m.eventsDropped.WithLabelValues(event)
	}
	for _, reason := range ownReasons {
		m.rejected.WithLabelValues(reason)
	}
	for _, result := range []cache.Result{cache.Stale, cache.Minted, cache.Failed} {
		m.lookups.WithLabelValues(result.String())
	}
	return m
}

// collectors returns all there is to m.
func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.rejected, m.mints, m.lookups, m.unauthorized, m.reauthorizations, m.secretReloads, m.attempts, m.failovers, m.eventsDropped, m,
	}
}

// register shows m in a configuration's registry.
func (m *metrics) register(registry *prometheus.Registry) error {
	for _, c := range m.collectors() {
		err := registry.Register(c)
		if _, twice := errors.AsType[prometheus.AlreadyRegisteredError](err); err != nil && !twice {
			return err
		}
	}
	return nil
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.entries, m.expiry, m.configured, m.overdue, m.unusable, m.skew, m.healthy, m.connects} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector] for what is known at any time.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(m.entries, float64(m.state.tokens.Len()))
	e := m.state.expiry()
	if !e.first.IsZero() {
		gauge(m.expiry, float64(e.first.UnixMilli())/1e3)
	}
	if !e.firstConfigured.IsZero() {
		gauge(m.configured, float64(e.firstConfigured.UnixMilli())/1e3)
	}
	gauge(m.overdue, e.overdue.Seconds())
	gauge(m.unusable, float64(m.state.unusableSecrets()))
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
	if !observing {
		return
	}
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
	m.requests.WithLabelValues(operation, statusText(status)).Inc()
}

// statusTexts are the status codes as labels, so that counting makes none.
var statusTexts = func() (texts [600]string) {
	for i := range texts {
		texts[i] = strconv.Itoa(i)
	}
	return texts
}()

func statusText(status int) string {
	if status >= 0 && status < len(statusTexts) {
		return statusTexts[status]
	}
	return strconv.Itoa(status)
}
