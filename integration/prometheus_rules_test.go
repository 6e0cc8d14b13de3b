package integration

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promtool runs promtool in the folder of the rules, and fails the test if it
// does.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = filepath.Dir(rulesFile)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertRulesDoWhatTheirTestsSay(t *testing.T) {
	t.Parallel()
	needPrometheus(t)
	rules := filepath.Base(rulesFile)
	promtool(t, "check", "rules", rules)
	promtool(t, "check", "config", filepath.Base(scrapeFile))
	for _, file := range ruleTests(t) {
		promtool(t, "test", "rules", filepath.Base(file))
	}
}

func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(rulesFile), "*_test.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files with tests of rules, %v", len(files), err)
	}
	return files
}

// A rule that never fires, and one that always does, would pass the half of the
// tests.
func TestEachAlertIsTestedFiringAndNotFiring(t *testing.T) {
	firing, silent := map[string]int{}, map[string]int{}
	evaluation := regexp.MustCompile(`(?m)^ +alertname: (\w+)\n +exp_alerts:(.*)\n`)
	for _, file := range ruleTests(t) {
		text := readShipped(t, file)
		matches := evaluation.FindAllStringSubmatch(text, -1)
		if all := strings.Count(text, "alertname:"); all != len(matches) {
			t.Fatalf("%s: %d of %d evaluations can be read", file, len(matches), all)
		}
		for _, match := range matches {
			if strings.TrimSpace(match[2]) == "[]" {
				silent[match[1]]++
			} else {
				firing[match[1]]++
			}
		}
	}
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(readShipped(t, rulesFile), -1)
	if len(alerts) < 10 {
		t.Fatalf("only %d alerts", len(alerts))
	}
	for _, match := range alerts {
		if name := match[1]; firing[name] == 0 || silent[name] == 0 {
			t.Errorf("%s is tested %d times firing and %d times silent, want both", name, firing[name], silent[name])
		}
	}
}
