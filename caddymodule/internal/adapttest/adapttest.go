// Package adapttest tests how a directive is adapted to JSON: by goldens in the
// folder testdata/adapt of its package.
package adapttest

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

var update = flag.Bool("update", false, "write the results into testdata/adapt")

const (
	separator   = "----------\n"
	errorPrefix = "error_" // of goldens that are refused
)

// Adapt returns what `caddy adapt --pretty` prints for a Caddyfile, or its error.
func Adapt(t *testing.T, text string) (result string, ok bool) {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err.Error() + "\n", false
	}
	var value any
	if err := json.Unmarshal(adapted, &value); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return string(pretty) + "\n", true
}

// Goldens adapts the Caddyfile of each golden: a Caddyfile, a line of hyphens, and
// its JSON or the error.
func Goldens(t *testing.T) {
	for _, file := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			input, want := readGolden(t, file)
			if formatted := string(caddyfile.Format([]byte(input))); formatted != input {
				t.Errorf("the Caddyfile is not formatted as caddy fmt does; want\n%s", formatted)
			}
			got, ok := Adapt(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("adapted to\n%s\nwant\n%s", got, want)
			}
			if isError := strings.HasPrefix(filepath.Base(file), errorPrefix); isError == ok {
				t.Errorf("adapted: %t", ok)
			}
			if strings.Contains(got, "canary") {
				t.Error("the result repeats what may be a secret")
			}
		})
	}
}

func goldens(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	return files
}

func readGolden(t *testing.T, file string) (input, want string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input, want, ok := strings.Cut(string(text), separator)
	if !ok {
		t.Fatalf("%s has no line %q", file, separator)
	}
	return input, want
}

// line is how an error names one.
var line = regexp.MustCompile(`Caddyfile:[1-9]`)

// verb is a verb of a format, in a pattern.
var verb = regexp.MustCompile(`%[a-z]`)

// EveryErrorHasAGolden reports messages that no golden shows, formats of package fmt
// among them, and goldens of errors without a line.
func EveryErrorHasAGolden(t *testing.T, messages []string) {
	t.Helper()
	var all strings.Builder
	for _, file := range goldens(t) {
		if strings.HasPrefix(filepath.Base(file), errorPrefix) {
			_, want := readGolden(t, file)
			if !line.MatchString(want) {
				t.Errorf("%s does not name a line: %s", file, want)
			}
			all.WriteString(want)
		}
	}
	for _, message := range messages {
		pattern := verb.ReplaceAllString(regexp.QuoteMeta(message), ".+")
		if strings.Trim(pattern, ".+ :") == "" {
			continue // passes on the text of another error
		}
		if !regexp.MustCompile(pattern).MatchString(all.String()) {
			t.Errorf("no golden shows %q", message)
		}
	}
}

// Messages returns the literal texts of the errors that files make by functions, each
// the first such argument. There have to be at least so many.
func Messages(t *testing.T, least int, functions []string, files ...string) []string {
	t.Helper()
	var list []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && slices.Contains(functions, nameOf(call.Fun)) {
				if text, ok := firstText(t, call.Args); ok {
					list = append(list, text)
				}
			}
			return true
		})
	}
	if len(list) < least {
		t.Errorf("only %d messages were found", len(list))
	}
	return list
}

func nameOf(function ast.Expr) string {
	switch f := function.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func firstText(t *testing.T, args []ast.Expr) (string, bool) {
	t.Helper()
	for _, arg := range args {
		if literal, ok := arg.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			return text, true
		}
	}
	return "", false
}
