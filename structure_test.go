package convoai_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/caddy-convoai/convoai"

// A layer is a package of this module and what its code may import besides the
// standard library.
type layer struct {
	// dir is the package's folder; "dir/..." takes its sub-folders as well.
	dir string

	// own are the packages of this module that it may import, in the form of dir.
	own []string

	// others are the import paths of other modules that it may import; a path
	// stands for what lies below it too.
	others []string

	// tests are the packages of this module that its tests alone may import
	// beyond own.
	tests []string
}

// layers is the structure of the module, lowest first. The first that fits a
// package decides.
var layers = []layer{
	{dir: "token/legacy", own: []string{"token"}},
	{dir: "token", others: []string{"github.com/klauspost/compress"}},
	{dir: "api", own: []string{"token"}, others: []string{"github.com/tidwall"}},
	{dir: "cache", others: []string{"github.com/hashicorp/golang-lru/v2", "golang.org/x/sync"}},
	{dir: "region"},
	{dir: "simulator", own: []string{"token", "api"}},
	{
		dir:    "caddymodule",
		own:    []string{"token", "token/legacy", "api", "cache", "region", "simulator"},
		others: caddyModules,
		tests:  []string{"integration/corpus"},
	},
	{
		dir:    "caddymodule/...",
		own:    []string{"token", "token/legacy", "api", "cache", "region", "simulator", "caddymodule/..."},
		others: caddyModules,
	},
	{dir: ".", own: []string{"caddymodule/..."}},
	{dir: "cmd/...", own: []string{"."}, others: []string{"github.com/caddyserver/caddy/v2"}},
	{dir: "deploy/measure/stock", others: []string{"github.com/caddyserver/caddy/v2"}},
	{dir: "deploy/...", own: []string{"api", "simulator"}},
	{dir: "integration/corpus", own: []string{"token", "simulator"}, others: []string{"golang.org/x"}},
	{dir: "integration/bench/plot", others: []string{"github.com/dustin/go-humanize"}},
	{
		dir:    "integration/bench",
		own:    []string{"simulator", "integration/bench/plot"},
		others: []string{"github.com/HdrHistogram/hdrhistogram-go", "github.com/dustin/go-humanize"},
	},
	{dir: "integration/...", own: []string{"token", "token/legacy", "api", "simulator"}, tests: []string{"integration/corpus"}},
}

// caddyModules are the modules that code for Caddy is written against. All but
// golang-lru come with Caddy.
var caddyModules = []string{
	"github.com/KimMachineGun/automemlimit",
	"github.com/caddyserver",
	"github.com/dustin/go-humanize",
	"github.com/hashicorp/golang-lru/v2",
	"github.com/prometheus",
	"github.com/spf13",
	"go.opentelemetry.io",
	"go.uber.org/zap",
	"golang.org/x",
}

// testModules are what tests alone may import beyond what their package may:
// a second implementation of the vendor's tokens, Caddy's own test kit, and what
// OpenTelemetry exports.
var testModules = []string{
	"github.com/AgoraIO-Community/go-tokenbuilder",
	"github.com/caddyserver",
	"github.com/hashicorp/golang-lru/v2",
	"github.com/klauspost/compress",
	"github.com/prometheus",
	"go.opentelemetry.io",
	"go.uber.org/zap",
	"go.yaml.in/yaml",
	"golang.org/x",
	"google.golang.org/protobuf",
}

func TestPackagesImportOnlyLayersBelow(t *testing.T) {
	for _, file := range goFiles(t) {
		dir := path.Dir(file)
		at := layerOf(dir)
		if at == nil {
			t.Errorf("%s: folder %s is in no layer", file, dir)
			continue
		}
		for _, imported := range importsOf(t, file) {
			if problem := at.check(dir, imported, strings.HasSuffix(file, "_test.go")); problem != "" {
				t.Errorf("%s: imports %s: %s", file, imported, problem)
			}
		}
	}
}

// The walk must see the packages that the rule is about; a rule that looks at
// nothing would pass.
func TestStructureRuleSeesThePackages(t *testing.T) {
	seen := map[string]bool{}
	for _, file := range goFiles(t) {
		seen[path.Dir(file)] = true
	}
	for _, dir := range []string{".", "api", "cache", "caddymodule", "cmd/caddy", "cmd/caddy-slim", "region", "simulator", "token"} {
		if !seen[dir] {
			t.Errorf("no Go file seen in %s", dir)
		}
	}
}

func TestStructureRule(t *testing.T) {
	const tokenbuilder = "github.com/AgoraIO-Community/go-tokenbuilder/accesstoken2"
	for _, test := range []struct {
		name, dir, imported string
		inTest, allowed     bool
	}{
		{"standard library", "token", "crypto/hmac", false, true},
		{"arrow down", "simulator", module + "/api", false, true},
		{"arrow up", "api", module + "/simulator", false, false},
		{"arrow up in a test", "api", module + "/simulator", true, false},
		{"arrow sideways", "region", module + "/cache", false, false},
		{"arrow to the root", "caddymodule", module, false, false},
		{"own package from its external test", "region", module + "/region", true, true},
		{"own internal package", "token", module + "/token/internal/wire", false, true},
		{"internal package of a layer above", "token/internal/wire", module + "/api", false, false},
		{"Caddy below caddymodule", "simulator", "github.com/caddyserver/caddy/v2", false, false},
		{"Caddy in caddymodule", "caddymodule/command", "github.com/caddyserver/caddy/v2", false, true},
		{"sub-package of the module", "caddymodule/command", module + "/caddymodule", false, true},
		{"test kit in code", "caddymodule", module + "/integration/corpus", false, false},
		{"test kit in a test", "caddymodule", module + "/integration/corpus", true, true},
		{"path that only begins alike", "token", "github.com/klauspost/compressor", false, false},
		{"second implementation in code", "token", tokenbuilder, false, false},
		{"second implementation in a test", "token", tokenbuilder, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			problem := layerOf(test.dir).check(test.dir, test.imported, test.inTest)
			if allowed := problem == ""; allowed != test.allowed {
				t.Errorf("%s importing %s: allowed = %v (%s), want %v", test.dir, test.imported, allowed, problem, test.allowed)
			}
		})
	}
	if at := layerOf("tokens"); at != nil {
		t.Errorf("unknown folder is taken for %s", at.dir)
	}
}

func layerOf(dir string) *layer {
	dir = owner(dir)
	for i := range layers {
		if covers(layers[i].dir, dir) {
			return &layers[i]
		}
	}
	return nil
}

// owner is the folder whose detail dir is: an internal package belongs to the
// layer of the folder that holds it, and the compiler sees to who uses it.
func owner(dir string) string {
	dir, _, _ = strings.Cut(dir+"/", "/internal/")
	return strings.TrimSuffix(dir, "/")
}

// check says what is wrong with an import in a package of this layer, or
// nothing.
func (l *layer) check(dir, imported string, inTest bool) string {
	if within(imported, module) {
		target := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
		if target == "" {
			target = "."
		}
		target, dir = owner(target), owner(dir)
		if target == dir {
			return "" // an external test's, or an internal package
		}
		allowed := l.own
		if inTest {
			allowed = slices.Concat(allowed, l.tests)
		}
		if slices.ContainsFunc(allowed, func(own string) bool { return covers(own, target) }) {
			return ""
		}
		return l.dir + " may not import it"
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return "" // the standard library
	}
	allowed := l.others
	if inTest {
		allowed = slices.Concat(allowed, testModules)
	}
	if slices.ContainsFunc(allowed, func(other string) bool { return within(imported, other) }) {
		return ""
	}
	return l.dir + " may not depend on it"
}

// covers reports whether pattern, a folder or "folder/...", takes dir in.
func covers(pattern, dir string) bool {
	if parent, all := strings.CutSuffix(pattern, "/..."); all {
		return within(dir, parent)
	}
	return dir == pattern
}

// within reports whether the path p is parent or lies below it.
func within(p, parent string) bool {
	return p == parent || strings.HasPrefix(p, parent+"/")
}

// goFiles lists the module's Go files with slashes, whatever build constraints
// they carry. Nested modules, testdata and hidden folders are not part of it.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if strings.HasSuffix(name, ".go") {
				files = append(files, filepath.ToSlash(name))
			}
			return nil
		}
		if name == "." {
			return nil
		}
		base := entry.Name()
		if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
			return filepath.SkipDir
		}
		// What an interrupted build leaves here on macOS is a module too.
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	imports := make([]string, 0, len(parsed.Imports))
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		imports = append(imports, imported)
	}
	return imports
}
