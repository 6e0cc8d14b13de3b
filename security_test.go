package convoai_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every threat of docs/security.md has a test, and every test that it names is
// there.
func TestEveryThreatHasATest(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.`)
	for _, file := range goFiles(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range declaration.FindAllStringSubmatch(string(text), -1) {
			declared[found[1]] = true
		}
	}
	threats := 0
	name := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| threat ") {
			continue
		}
		threats++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 4 {
			t.Errorf("%d cells, want 4: %s", len(cells), cells[0])
			continue
		}
		tests := name.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", cells[0])
		}
		for _, test := range tests {
			if !declared[test[1]] {
				t.Errorf("there is no %s: %s", test[1], cells[0])
			}
		}
	}
	if threats < 42 {
		t.Errorf("%d threats, want 42 at least", threats)
	}
	for _, test := range name.FindAllStringSubmatch(string(page), -1) {
		if !declared[test[1]] {
			t.Errorf("there is no %s", test[1])
		}
	}
}
