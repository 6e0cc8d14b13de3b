package caddymodule

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-convoai/convoai/cache"
)

// registered returns the metrics that a configuration has, with their labels.
func registered(t *testing.T) map[string][]string {
	t.Helper()
	s := newState(cache.Config[tokenKey]{})
	t.Cleanup(func() { _ = s.Destruct() })
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		for _, c := range s.metrics.collectors() {
			c.Describe(descriptions)
		}
	}()
	labels := make(map[string][]string)
	for d := range descriptions {
		match := regexp.MustCompile(`fqName: "(\w+)".* variableLabels: \{(.*)\}\}`).FindStringSubmatch(d.String())
		if match == nil {
			t.Fatalf("a description reads %s", d)
		}
		labels[match[1]] = strings.FieldsFunc(match[2], func(r rune) bool { return r == ',' })
	}
	if len(labels) < 15 {
		t.Fatalf("only %d metrics are registered", len(labels))
	}
	return labels
}

const (
	dashboardFile  = "../deploy/grafana/convoai.json"
	alertsFile     = "../deploy/prometheus/convoai-alerts.yaml"
	operationsPage = "../docs/operations.md"
)

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is looked at at three in the morning is complete, and names nothing that
// is not there.
func TestMetricsAreDocumentedAndShown(t *testing.T) {
	labels := registered(t)
	page, board := readText(t, operationsPage), readText(t, dashboardFile)
	for name, labels := range labels {
		short := strings.TrimPrefix(name, metricsPrefix)
		row := regexp.MustCompile("(?m)^\\| `" + short + "` \\|.*$").FindString(page)
		if row == "" {
			t.Errorf("docs/operations.md has no row for %s", name)
		}
		for _, label := range labels {
			if !strings.Contains(row, "`"+label+"`") {
				t.Errorf("docs/operations.md does not name the label %s of %s", label, name)
			}
		}
		if !regexp.MustCompile(`"expr": ".*\b` + name + `\b`).MatchString(board) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	mentioned := regexp.MustCompile(`(?:^|[^:\w])(` + metricsPrefix + `\w+)`) // a colon: a recorded series
	for _, file := range []string{operationsPage, dashboardFile, alertsFile, "../docs/convoai.md"} {
		for _, match := range mentioned.FindAllStringSubmatch(readText(t, file), -1) {
			if _, ok := labels[match[1]]; !ok {
				t.Errorf("%s names %s, which does not exist", file, match[1])
			}
		}
	}
}

// The symptoms have each reason that a caller may be told.
func TestReasonsAreDocumented(t *testing.T) {
	_, symptoms, _ := strings.Cut(readText(t, operationsPage), "\n## Symptoms\n")
	symptoms, _, _ = strings.Cut(symptoms, "\n## ")
	for _, reason := range ownReasons {
		if !strings.Contains(symptoms, "`"+reason+"`") {
			t.Errorf("the symptoms in docs/operations.md lack %s", reason)
		}
	}
}

// The lines of the log that the page explains are those that are written.
func TestLogLinesAreAsDocumented(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			source.WriteString(readText(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, logs, _ := strings.Cut(readText(t, operationsPage), "\n## Logs\n")
	rows := regexp.MustCompile("(?m)^\\| [a-z, ]+ \\| `[\\w.]+` \\| ([^|]+) \\|.*$").FindAllStringSubmatch(logs, -1)
	if len(rows) < 10 {
		t.Fatalf("only %d log lines are documented", len(rows))
	}
	for _, row := range rows {
		for _, message := range strings.Split(row[1], "; ") {
			if !strings.Contains(source.String(), `"`+message) {
				t.Errorf("no line of the log begins with %q", message)
			}
		}
	}
}

// A runbook link leads to the heading of its alert.
func TestAlertsAreDocumented(t *testing.T) {
	rules, page := readText(t, alertsFile), readText(t, operationsPage)
	alert := regexp.MustCompile(`(?s)- alert: (\w+)\n.*?runbook_url: (\S+)`)
	documented := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^### (Convoai\w+)$`).FindAllStringSubmatch(page, -1) {
		documented[heading[1]] = true
	}
	found := alert.FindAllStringSubmatch(rules, -1)
	if all := strings.Count(rules, "- alert:"); len(found) != all || all < 10 {
		t.Fatalf("%d of %d alerts have a runbook", len(found), all)
	}
	for _, match := range found {
		name := match[1]
		if !documented[name] {
			t.Errorf("docs/operations.md has no heading %s", name)
		}
		delete(documented, name)
		if want := "https://github.com/caddy-convoai/convoai/blob/main/docs/operations.md#" + strings.ToLower(name); match[2] != want {
			t.Errorf("the runbook of %s is %s, want %s", name, match[2], want)
		}
	}
	for name := range documented {
		t.Errorf("docs/operations.md has %s, which is no alert", name)
	}
}

// dashboard is what the tests look at in the JSON of a dashboard.
type dashboard struct {
	SchemaVersion int
	Templating    struct{ List []struct{ Name, Type string } }
	Panels        []struct {
		ID          int
		Type, Title string
		Description *string
		Datasource  datasource
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			Expr, RefID string
			Datasource  datasource
		}
	}
}

type datasource struct{ Type, UID string }

func TestDashboardCanBeImportedAnywhere(t *testing.T) {
	var board dashboard
	if err := json.Unmarshal([]byte(readText(t, dashboardFile)), &board); err != nil {
		t.Fatal(err)
	}
	var variables []string
	for _, v := range board.Templating.List {
		variables = append(variables, v.Name+" "+v.Type)
	}
	if want := []string{"datasource datasource", "job query", "instance query"}; !slices.Equal(variables, want) {
		t.Errorf("variables %q, want %q", variables, want)
	}
	if board.SchemaVersion < 36 {
		t.Errorf("schema version %d is older than objects as data sources", board.SchemaVersion)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	chosen := datasource{"prometheus", "${datasource}"}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has the ID %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if p.Title == "" || g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %d (%s) is placed at %+v", p.ID, p.Title, g)
		}
		for x := range g.W {
			for y := range g.H {
				cell := [2]int{g.X + x, g.Y + y}
				if other := cells[cell]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource != chosen || len(p.Targets) == 0 || p.Description == nil {
			t.Errorf("%s: data source %+v, %d queries", p.Title, p.Datasource, len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.Datasource != chosen {
				t.Errorf("%s: the data source of %s is %+v", p.Title, target.RefID, target.Datasource)
			}
			checkSelectors(t, p.Title, target.Expr)
		}
	}
	last := slices.Max(slices.Collect(func(yield func(int) bool) {
		for cell := range maps.Keys(cells) {
			if !yield(cell[1]) {
				return
			}
		}
	}))
	for y := range last {
		if cells[[2]int{0, y}] == "" {
			t.Errorf("line %d begins with a gap", y)
		}
	}
}

// checkSelectors checks that a query is about the sidecars that were chosen.
func checkSelectors(t *testing.T, title, expr string) {
	t.Helper()
	for _, match := range regexp.MustCompile(`\b(?:job:)?(?:caddy_convoai_\w+|up)(?::\w+)?(?:\{[^}]*\})?`).FindAllString(expr, -1) {
		if strings.HasPrefix(match, "job:") && strings.Contains(match, `job=~"$job"`) {
			continue // recorded, for all sidecars of a job
		}
		if !strings.Contains(match, `job=~"$job"`) || !strings.Contains(match, `instance=~"$instance"`) {
			t.Errorf("%s: %s does not keep to the variables", title, match)
		}
	}
	if strings.Contains(expr, "rate(") && !strings.Contains(expr, "[$__rate_interval]") {
		t.Errorf("%s: %s has an interval of its own", title, expr)
	}
}
