package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tokenServerPage is the documentation of the token server.
func tokenServerPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/token-server.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// blocks are the fenced blocks of a language under the last heading before each.
func blocks(page, language string) (headings, texts []string) {
	heading, inside := "", false
	for line := range strings.Lines(page) {
		switch trimmed := strings.TrimRight(line, "\n"); {
		case inside && trimmed == "```":
			inside = false
		case inside:
			texts[len(texts)-1] += line
		case trimmed == "```"+language:
			inside = true
			headings, texts = append(headings, heading), append(texts, "")
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(trimmed, "# ")
		}
	}
	return headings, texts
}

// The files that the examples of the page name.
func exampleFiles(t *testing.T) *strings.Replacer {
	t.Helper()
	certificate := filepath.Join(t.TempDir(), "certificate")
	writeFile(t, certificate, certificateA)
	return strings.NewReplacer("/run/secrets/agora_app_certificate", certificate, "/etc/caddy/devices-ca.pem", newClientCA(t).file)
}

func TestTokenServerPageHasConfigurationsThatLoad(t *testing.T) {
	headings, examples := blocks(tokenServerPage(t), "caddyfile")
	if len(examples) < 5 {
		t.Fatalf("%d examples", len(examples))
	}
	files := exampleFiles(t)
	for i, example := range examples {
		t.Run(headings[i], func(t *testing.T) {
			if !strings.Contains(example, "convoai_token_server") || !strings.Contains(example, "allow") {
				t.Error("it is about something else")
			}
			_, stderr, status := boot{caddyfile: files.Replace(example), env: append([]string{"APP_ID=" + appA}, vendorEnv...)}.run(t)
			if status != 0 {
				t.Errorf("status %d:\n%s", status, excerpt(stderr))
			}
			// The container's clients ask for what is better not granted.
			if strings.Contains(stderr, "a rule of the token server") && headings[i] != "In the place of the vendor's container" {
				t.Errorf("a rule is doubted:\n%s", excerpt(stderr))
			}
		})
	}
}

// Every line of the syntax is explained, and loads.
func TestTokenServerPageExplainsEverySubdirective(t *testing.T) {
	page := tokenServerPage(t)
	_, syntax := blocks(page, "")
	names := map[string]bool{}
	for line := range strings.Lines(syntax[0]) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] != "convoai_token_server" {
			names[fields[0]] = true
		}
	}
	if len(names) != 15 {
		t.Errorf("%d subdirectives: %v", len(names), names)
	}
	for name := range names {
		if !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("%s is not explained", name)
		}
	}
	for _, dialect := range []string{"docker", "rtc", "chat-go", "chat-node", "chat-python", "chat-java", "token-service"} {
		if !strings.Contains(page, "| `"+dialect+"` |") {
			t.Errorf("the dialect %s is not explained", dialect)
		}
	}
}
