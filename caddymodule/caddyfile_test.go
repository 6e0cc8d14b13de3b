package caddymodule

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write the results into testdata/adapt")

const separator = "----------\n"

// adapt returns what `caddy adapt --pretty` prints for a Caddyfile, or its error.
func adapt(t *testing.T, text string) (result string, ok bool) {
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

// goldens are the files of testdata/adapt: a Caddyfile, a line of hyphens, and
// its JSON or the error.
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

func TestAdapt(t *testing.T) {
	for _, file := range goldens(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			input, want := readGolden(t, file)
			if formatted := string(caddyfile.Format([]byte(input))); formatted != input {
				t.Errorf("the Caddyfile is not formatted as caddy fmt does; want\n%s", formatted)
			}
			got, ok := adapt(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("adapted to\n%s\nwant\n%s", got, want)
			}
			if isError := strings.HasPrefix(filepath.Base(file), "error_"); isError == ok {
				t.Errorf("adapted: %t", ok)
			}
			if strings.Contains(got, "canary") {
				t.Error("the result repeats what may be a secret")
			}
		})
	}
}

// Every message that the Caddyfile parser can give stands in a golden, with its
// line.
func TestEveryCaddyfileErrorHasAGolden(t *testing.T) {
	var all strings.Builder
	for _, file := range goldens(t) {
		if strings.HasPrefix(filepath.Base(file), "error_") {
			_, want := readGolden(t, file)
			if !regexp.MustCompile(`Caddyfile:[1-9]`).MatchString(want) {
				t.Errorf("%s does not name a line: %s", file, want)
			}
			all.WriteString(want)
		}
	}
	files, err := filepath.Glob("caddyfile*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range append(files, "upstreams.go", "settings.go", "access.go", "headers.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, message := range messages(t, file) {
			seen++
			pattern := regexp.MustCompile(`%[a-z]`).ReplaceAllString(regexp.QuoteMeta(message), ".+")
			if strings.Trim(pattern, ".+ :") == "" {
				continue // passes on the text of another error
			}
			if !regexp.MustCompile(pattern).MatchString(all.String()) {
				t.Errorf("no golden shows %q of %s", message, file)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d messages were found", seen)
	}
}

// messages returns the literal texts of the errors that a file makes.
func messages(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := ""
		switch f := call.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		switch name {
		case "Err", "Errf", "Errorf", "New", "atStart", "errorAt", "segmentErrf":
		default:
			return true
		}
		for _, arg := range call.Args {
			if literal, ok := arg.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, text)
				break
			}
		}
		return true
	})
	return list
}

// What convoai decides itself cannot be configured beside it.
func TestSubdirectivesThatConvoAIDecidesAreRefused(t *testing.T) {
	for name, why := range refusedSubdirectives {
		got, ok := adapt(t, "http://:8080 {\n\tconvoai {\n\t\tarea eu\n\t\t"+name+" canary\n\t}\n}\n")
		if want := name + " cannot be used in convoai: " + why; ok || !strings.Contains(got, want) || !strings.Contains(got, "Caddyfile:4") {
			t.Errorf("%s: %q, want %q at line 4", name, got, want)
		}
		if strings.Contains(got, "canary") {
			t.Errorf("%s: the error repeats its argument", name)
		}
	}
}

// The list of what is refused keeps up with the reverse proxy: whatever a newer
// Caddy adds to load balancing and health checks is looked at before it is let
// through.
func TestRefusedSubdirectivesAreTheProxys(t *testing.T) {
	for name := range refusedSubdirectives {
		got, ok := adapt(t, "http://:8080 {\n\treverse_proxy localhost {\n\t\t"+name+"\n\t}\n}\n")
		if !ok && strings.Contains(got, "unrecognized subdirective") {
			t.Errorf("reverse_proxy has no %s", name)
		}
	}
}

// {$X} is put in before anything is parsed. Where X has several lines, all but
// the first end up where subdirectives stand, and are no less secret there.
func TestSecretOfSeveralLinesIsNotShown(t *testing.T) {
	const first, second = "c4nary-first", "c4nary-second"
	for _, secret := range []string{
		first + "\n" + second, first + "\n" + second + " " + second, "-----BEGIN-----\n" + second + "\n-----END-----", first + "\n" + second + " {\n" + second + "\n}",
	} {
		t.Setenv("CONVOAI_TEST_SECRET", secret)
		for _, test := range []struct{ name, text string }{
			{"directive", "http://:8080 {\n\tconvoai {\n\t\tcustomer_secret {$CONVOAI_TEST_SECRET}\n\t}\n}\n"},
			{"quoted", "http://:8080 {\n\tconvoai {\n\t\tcustomer_secret \"{$CONVOAI_TEST_SECRET}\"\n\t}\n}\n"},
			{"app", "http://:8080 {\n\tconvoai {\n\t\tapp " + testAppID + " {\n\t\t\tapp_certificate {$CONVOAI_TEST_SECRET}\n\t\t}\n\t}\n}\n"},
			{"secret of an app", "http://:8080 {\n\tconvoai {\n\t\tapp " + testAppID + " {\n\t\t\tcaller_token {$CONVOAI_TEST_SECRET}\n\t\t}\n\t}\n}\n"},
			{"global option", "{\n\tconvoai {\n\t\tauth_token {$CONVOAI_TEST_SECRET}\n\t}\n}\n"},
			{"option of the proxy", "http://:8080 {\n\tconvoai {\n\t\theader_up X-Key {$CONVOAI_TEST_SECRET}\n\t}\n}\n"},
			{"list", "http://:8080 {\n\tconvoai {\n\t\tallow_host {$CONVOAI_TEST_SECRET}\n\t}\n}\n"},
		} {
			got, ok := adapt(t, test.text)
			if ok {
				t.Errorf("%s: accepted", test.name)
			}
			if strings.Contains(got, "c4nary") {
				t.Errorf("%s: the error shows a line of the secret", test.name)
			}
			if !strings.Contains(got, "Caddyfile:") {
				t.Errorf("%s: the error names no line", test.name)
			}
		}
	}
}
