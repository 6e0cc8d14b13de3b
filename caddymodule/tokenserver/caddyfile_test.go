package tokenserver

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
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
	texts := messages(t, "caddyfile.go")
	if len(texts) < 8 {
		t.Errorf("only %d messages were found", len(texts))
	}
	for _, err := range []error{
		errPatternEmpty, errPatternPlaceholder, errKinds, errRoles, errMaxExpire, errUsersUser, errIdentity,
		errOrigin, errDialects, errChatDialects, errDialectsTwice, errMaxBody, errRuleName, errOnOff,
	} {
		texts = append(texts, err.Error())
	}
	for _, text := range texts {
		pattern := regexp.MustCompile(`%[a-z]`).ReplaceAllString(regexp.QuoteMeta(text), ".+")
		if strings.Trim(pattern, ".+ :") == "" {
			continue // passes on the text of another error
		}
		if !regexp.MustCompile(pattern).MatchString(all.String()) {
			t.Errorf("no golden shows %q", text)
		}
	}
}

// messages returns the literal texts of the errors that a file makes.
func messages(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, 0)
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
		if name != "Errf" && name != "atStart" && name != "New" {
			return true
		}
		for _, arg := range call.Args {
			if literal, ok := arg.(*ast.BasicLit); ok && literal.Kind == gotoken.STRING {
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

// {$X} is put in before anything is parsed. Where X has several lines, all but
// the first end up where subdirectives stand, and are no less secret there.
func TestSecretOfSeveralLinesIsNotShown(t *testing.T) {
	const first, second = "c4nary-first", "c4nary-second"
	for _, secret := range []string{
		first + "\n" + second, first + "\n" + second + " " + second, "-----BEGIN-----\n" + second + "\n-----END-----", first + "\n" + second + " {\n" + second + "\n}",
		first + "\nkinds " + second, first + "\nallow " + second + " {\nkinds " + second + "\n}", first + "\norigins " + second, first + "\nmax_body " + second,
		first + "\nallow {\nidentity " + second + "\n}", first + "\nallow {\n" + second + " x\n}",
	} {
		t.Setenv("CONVOAI_TEST_SECRET", secret)
		for _, name := range []string{"app_id", "app_certificate", "app_certificate_secondary"} {
			for _, quote := range []string{"", `"`} {
				got, ok := adapt(t, "http://:8080 {\n\tconvoai_token_server {\n\t\t"+name+" "+quote+"{$CONVOAI_TEST_SECRET}"+quote+"\n\t}\n}\n")
				if ok {
					t.Errorf("%s: accepted", name)
				}
				if strings.Contains(got, "c4nary") {
					t.Errorf("%s: the error shows a line of the secret: %s", name, strings.ReplaceAll(got, "c4nary", "[secret]"))
				}
				if !strings.Contains(got, "Caddyfile:") {
					t.Errorf("%s: the error names no line", name)
				}
			}
		}
	}
}

// What a Caddyfile may say wrong, JSON may as well; it is found at load.
func TestJSONErrors(t *testing.T) {
	for name, settings := range map[string]string{
		"dialect":         `"dialects":["docker","php"]`,
		"dialects":        `"dialects":["chat-node","chat-python"]`,
		"origin":          `"origins":["*"]`,
		"body":            `"max_body":-1`,
		"large body":      `"max_body":1048577`,
		"kind":            `"allow":[{"kinds":["all"]}]`,
		"role":            `"allow":[{"roles":["host"]}]`,
		"identity":        `"allow":[{"identity":"{http.request.uri.query.user}"}]`,
		"header identity": `"allow":[{"identity":"{http.request.header.X-User}"}]`,
		"pattern":         `"allow":[{"channels":["{http.auth.user.id}"]}]`,
		"lifetime":        `"allow":[{"max_expire":"25h"}]`,
		"names":           `"allow":[{"name":"a"},{"name":"a"}]`,
		"unknown member":  `"alow":[{}]`,
		"app ID":          `"app_id":"x"`,
		"secondary alone": `"app_certificate_secondary":"` + certificate + `"`,
		"no certificate":  `"app_id":"` + strings.Repeat("0", 32) + `"`,
	} {
		credentials := `"app_id":"` + appID + `","app_certificate":"` + certificate + `",`
		if strings.Contains(settings, `"app_`) {
			credentials = ""
		}
		err := validateJSON(t, []byte(`{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":[":8080"],"routes":[{"handle":[{"handler":"convoai_token_server",`+
			credentials+settings+`}]}]}}}}}`))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), certificate) {
			t.Errorf("%s: the error shows the certificate", name)
		}
	}
}

// The credentials may be those of the global option.
func TestCredentialsOfTheGlobalOption(t *testing.T) {
	if err := validate(t, "http://:8080 {\nconvoai_token_server\n}"); err == nil || !strings.Contains(err.Error(), "app_id is required") {
		t.Error(err)
	}
	_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\nconvoai {\napp_id "+appID+"\napp_certificate "+certificate+"\n}\n}\nhttp://:8080 {\nconvoai_token_server\n}"), nil)
	if err != nil {
		t.Error(err)
	}
}
