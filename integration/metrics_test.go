package integration

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// metrics returns the sidecar's own metrics by name and labels, as Caddy's
// metrics handler at <PORT2> shows them.
func (s *sidecar) metrics() map[string]float64 {
	s.t.Helper()
	return metricsOf(s.t, s.send("GET", s.metricsURL(), ""))
}

func (s *sidecar) metricsURL() string { return "http://127.0.0.1:" + s.other + "/metrics" }

func metricsOf(t *testing.T, a answer) map[string]float64 {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("the metrics answer %d", a.StatusCode)
	}
	values := map[string]float64{}
	for line := range strings.Lines(a.body) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "caddy_convoai_")
		if !ok {
			continue
		}
		at := strings.LastIndexByte(name, ' ')
		value, err := strconv.ParseFloat(name[at+1:], 64)
		if err != nil {
			t.Fatalf("metric %s: %v", name[:at], err)
		}
		values[name[:at]] = value
	}
	return values
}

const metricsSite = "http://:<PORT2> {\n\tbind 127.0.0.1\n\tmetrics /metrics\n}\n"

// The metrics say what the calls of the test imply, to two sites, and reloads change
// none.
func TestMetricsCountWhatHappens(t *testing.T) {
	var refuse atomic.Bool
	down := "https://127.0.0.1:" + freePort(t)
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-10*time.Second).UTC().Format(http.TimeFormat))
		if refuse.Swap(false) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, okBody)
	})
	second := freePort(t)
	config := strings.Replace(global, "admin off", "admin unix/<DIR>/admin.sock", 1) + metricsSite
	for _, port := range []string{"<PORT>", second} {
		config += siteAt(port, credentialsA, "max_body 100KiB", "upstream "+down+" https://127.0.0.1:"+up.port, "transport http {\n tls_trust_pool file <CA>\n}")
	}
	s := start(t, config, envA...)
	dead, alive := strings.TrimPrefix(down, "https://"), "127.0.0.1:"+up.port

	s.send("POST", joinA, joinBody("room", "1"))                            // fails over, and mints
	s.send("POST", "http://127.0.0.1:"+second+joinA, joinBody("room", "1")) // a hit
	s.send("POST", joinA, bareJoin("room-2"))
	refuse.Store(true)
	s.send("GET", listA, "") // mints, is refused, mints again
	s.send("GET", "http://127.0.0.1:"+second+"/elsewhere", "")
	s.send("DELETE", joinA, "")
	want := map[string]float64{
		`requests_total{code="200",operation="join"}`:                               3,
		`requests_total{code="200",operation="list"}`:                               1,
		`requests_total{code="404",operation="none"}`:                               1,
		`rejected_total{reason="NotConvoAI"}`:                                       1,
		`rejected_total{reason="MethodNotAllowed"}`:                                 1,
		`cache_requests_total{result="hit"}`:                                        1,
		`cache_requests_total{result="minted"}`:                                     4,
		`cache_requests_total{result="failed"}`:                                     0,
		`cache_entries`:                                                             3,
		`mints_total{kind="header",outcome="ok"}`:                                   4,
		`mints_total{kind="header",outcome="error"}`:                                0,
		`mints_total{kind="body",outcome="ok"}`:                                     1,
		`reauthorizations_total{outcome="accepted"}`:                                1,
		fmt.Sprintf(`upstream_attempts_total{host="%s",outcome="not_sent"}`, dead):  1,
		fmt.Sprintf(`upstream_attempts_total{host="%s",outcome="answered"}`, alive): 5,
		fmt.Sprintf(`failovers_total{from="%s",to="%s"}`, dead, alive):              1,
		fmt.Sprintf(`upstream_healthy{host="%s"}`, dead):                            0,
		fmt.Sprintf(`upstream_healthy{host="%s"}`, alive):                           1,
	}
	check := func(when string) {
		t.Helper()
		got := metricsOf(t, s.insist("GET", s.metricsURL(), ""))
		for name, value := range want {
			if seen, ok := got[name]; !ok || seen != value {
				t.Errorf("%s: %s is %g (there: %v), want %g", when, name, seen, ok, value)
			}
		}
		if skew := got["clock_skew_seconds"]; skew < 8 || skew > 12 {
			t.Errorf("%s: the clock is %g s ahead, want about 10", when, skew)
		}
		expires := time.Unix(int64(got["token_expiry_timestamp_seconds"]), 0)
		if left := time.Until(expires); left < 23*time.Hour || left > 24*time.Hour {
			t.Errorf("%s: the first token expires in %s, want about 24h", when, left)
		}
	}
	check("after the calls")
	for i := range 20 {
		s.post(t, strings.ReplaceAll(config, "100KiB", itoa(200+i)+"KiB"))
		check(fmt.Sprintf("after reload %d", i+1))
	}
	if shown := s.admin("/config/").content; !strings.Contains(shown, `"max_body":`+itoa(219*1024)) {
		t.Error("the last reload has not taken effect")
	}
}
