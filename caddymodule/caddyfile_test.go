package caddymodule

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-convoai/convoai/caddymodule/internal/adapttest"
)

func TestAdapt(t *testing.T) { adapttest.Goldens(t) }

// Every message that the Caddyfile parser can give stands in a golden, with its
// line.
func TestEveryCaddyfileErrorHasAGolden(t *testing.T) {
	files, err := filepath.Glob("caddyfile*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
	files = append(files, "upstreams.go", "settings.go", "access.go", "headers.go")
	functions := []string{"Err", "Errf", "Errorf", "New", "atStart", "errorAt", "segmentErrf"}
	adapttest.EveryErrorHasAGolden(t, adapttest.Messages(t, 30, functions, files...))
}

// What convoai decides itself cannot be configured beside it.
func TestSubdirectivesThatConvoAIDecidesAreRefused(t *testing.T) {
	for name, why := range refusedSubdirectives {
		got, ok := adapttest.Adapt(t, "http://:8080 {\n\tconvoai {\n\t\tarea eu\n\t\t"+name+" canary\n\t}\n}\n")
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
		got, ok := adapttest.Adapt(t, "http://:8080 {\n\treverse_proxy localhost {\n\t\t"+name+"\n\t}\n}\n")
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
			got, ok := adapttest.Adapt(t, test.text)
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
