package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	rulesFile     = "../deploy/prometheus/convoai-alerts.yaml"
	scrapeFile    = "../deploy/prometheus/prometheus.yml"
	dashboardFile = "../deploy/grafana/convoai.json"
)

// needPrometheus skips the test where Debian's package prometheus is missing.
func needPrometheus(t *testing.T) {
	t.Helper()
	for _, name := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed: apt-get install --no-install-recommends prometheus", name)
		}
	}
}

// prometheusTime is for how long traffic is scraped: CONVOAI_PROMETHEUS=1 is the
// minute that it is meant to be.
func prometheusTime() time.Duration {
	switch {
	case os.Getenv("CONVOAI_PROMETHEUS") != "":
		return time.Minute
	case testing.Short():
		return 5 * time.Second
	}
	return 15 * time.Second
}

// prometheus is a Prometheus that scrapes one sidecar.
type prometheus struct {
	t   *testing.T
	url string
}

// scrape starts a Prometheus with the configuration and the rules of deploy/,
// which scrapes and evaluates every second.
func scrape(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	config := readShipped(t, scrapeFile)
	for _, change := range [][2]string{
		{"scrape_interval: 15s", "scrape_interval: 1s"},
		{"evaluation_interval: 15s", "evaluation_interval: 1s"},
		{"127.0.0.1:9180", target},
	} {
		if strings.Count(config, change[0]) == 0 {
			t.Fatalf("%s does not say %s", scrapeFile, change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	writeFile(t, filepath.Join(dir, "prometheus.yml"), config)
	writeFile(t, filepath.Join(dir, filepath.Base(rulesFile)), readShipped(t, rulesFile))

	address := "127.0.0.1:" + freePort(t)
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Dir = dir
	out := new(buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	processes.add(cmd)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		processes.remove(cmd)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("Prometheus logged:\n%s", excerpt(out.String()))
		}
	})
	p := &prometheus{t: t, url: "http://" + address}
	waitFor(t, "Prometheus to be ready", func() bool {
		select {
		case <-ended:
			t.Fatalf("Prometheus has ended:\n%s", out)
		default:
		}
		res, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

func readShipped(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// get asks Prometheus's API.
func (p *prometheus) get(path string, values url.Values, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d %s", path, res.StatusCode, body)
	}
	return json.Unmarshal(body, &struct{ Data any }{into})
}

// series is one time series of an answer.
type series struct {
	Metric map[string]string
	Value  [2]any   // of a query at one time
	Values [][2]any // of a query over time
}

// numbers are the values of s that are numbers.
func (s series) numbers() []float64 {
	list := s.Values
	if list == nil {
		list = [][2]any{s.Value}
	}
	var numbers []float64
	for _, pair := range list {
		text, _ := pair[1].(string)
		if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// query evaluates an expression now.
func (p *prometheus) query(expr string) ([]series, error) {
	var data struct{ Result []series }
	err := p.get("/api/v1/query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// queryRange evaluates an expression for each second since a time.
func (p *prometheus) queryRange(expr string, since time.Time) ([]series, error) {
	var data struct{ Result []series }
	seconds := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	err := p.get("/api/v1/query_range", url.Values{"query": {expr}, "start": {seconds(since)}, "end": {seconds(time.Now())}, "step": {"1"}}, &data)
	return data.Result, err
}

// metrics returns the newest value of each of the sidecar's metrics, by name and
// labels.
func (p *prometheus) metrics() (map[string]float64, error) {
	list, err := p.query(`{__name__=~"caddy_convoai_.+",job="convoai"}`)
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64, len(list))
	for _, s := range list {
		var labels []string
		for name, value := range s.Metric {
			if name != "__name__" && name != "job" && name != "instance" {
				labels = append(labels, name, value)
			}
		}
		if numbers := s.numbers(); len(numbers) == 1 {
			values[metricKey(strings.TrimPrefix(s.Metric["__name__"], "caddy_convoai_"), labels...)] = numbers[0]
		}
	}
	return values, nil
}

// metricKey is a metric as Prometheus writes it, with its labels in order.
func metricKey(name string, labels ...string) string {
	if len(labels) == 0 {
		return name
	}
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	slices.Sort(pairs)
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// rule is a rule as Prometheus has it loaded.
type rule struct {
	Name, Type, Health, LastError, State string
	LastEvaluation                       time.Time
}

func (p *prometheus) rules() (map[string]rule, error) {
	var data struct{ Groups []struct{ Rules []rule } }
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		return nil, err
	}
	rules := make(map[string]rule)
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			rules[r.Name] = r
		}
	}
	return rules, nil
}

// panel is one of the dashboard, with its queries.
type panel struct {
	Title, Type string
	Targets     []struct {
		Expr    string
		Instant bool
	}
}

func panels(t *testing.T) []panel {
	t.Helper()
	var board struct{ Panels []panel }
	if err := json.Unmarshal([]byte(readShipped(t, dashboardFile)), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 20 {
		t.Fatalf("the dashboard has only %d panels", len(board.Panels))
	}
	return board.Panels
}

// substitute puts values in the place of a dashboard's variables, as Grafana does.
func substitute(t *testing.T, expr string) string {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "4s", "$__range", "10m", "$job", "convoai", "$instance", ".+").Replace(expr)
	if left := regexp.MustCompile(`\$\w+`).FindString(expr); strings.Contains(strings.ReplaceAll(expr, `"$1"`, ""), "$") {
		t.Fatalf("the test does not know the variable %s", left)
	}
	return expr
}

func format(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }
