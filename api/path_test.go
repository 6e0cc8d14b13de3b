package api_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/api"
)

const appID = "970CA35de60c44645bbae8a215061b33"

func TestParsePathRecognisesEveryTemplateUnderEveryPrefix(t *testing.T) {
	fill := strings.NewReplacer("{appid}", appID, "{agent_id}", "A42AK62PE", "{phone_number}", "+11234567890")
	for _, op := range api.Operations() {
		path := fill.Replace(op.Template)
		for _, prefix := range []string{api.PrefixGlobal, api.PrefixCN, ""} {
			for _, end := range []string{"", "/"} {
				p, ok := api.ParsePath(prefix + path + end)
				if !ok {
					t.Errorf("%s: %s is not recognised", op, prefix+path+end)
					continue
				}
				if got, ok := p.Operation(op.Method); !ok || got != op {
					t.Errorf("%s: operation of %s is %v", op, prefix+path+end, got)
				}
				for _, to := range []string{api.PrefixGlobal, api.PrefixCN} {
					if got := p.Canonical(to); got != to+path {
						t.Errorf("canonical form of %s is %s, want %s", prefix+path+end, got, to+path)
					}
				}
				checkSegment(t, op, "{appid}", p.AppID, appID)
				checkSegment(t, op, "{agent_id}", p.AgentID, "A42AK62PE")
				checkSegment(t, op, "{phone_number}", p.PhoneNumber, "+11234567890")
			}
		}
	}
}

func checkSegment(t *testing.T, op *api.Operation, segment, got, want string) {
	t.Helper()
	if !strings.Contains(op.Template, segment) {
		want = ""
	}
	if got != want {
		t.Errorf("%s: %s is %q, want %q", op, segment, got, want)
	}
}

func TestParsePathDecodesVariableSegmentsOnce(t *testing.T) {
	tests := []struct{ path, canonical string }{
		{"/v2/phone-numbers/%2B11234567890", "/v2/phone-numbers/+11234567890"},
		{"/v2/phone-numbers/%2b1", "/v2/phone-numbers/+1"},
		{"/v2/projects/_/join", "/v2/projects/_/join"},
		{"/v2/projects/%5F/join", "/v2/projects/_/join"},
		{"/v2/projects/%61/agents/b:c@d=~.-_+", "/v2/projects/a/agents/b:c@d=~.-_+"},
		{"/v2/projects/.../join", "/v2/projects/.../join"},
	}
	for _, test := range tests {
		p, ok := api.ParsePath(test.path)
		if !ok {
			t.Errorf("%s is not recognised", test.path)
		} else if got := p.Canonical(api.PrefixGlobal); got != api.PrefixGlobal+test.canonical {
			t.Errorf("canonical form of %s is %s, want %s", test.path, got, api.PrefixGlobal+test.canonical)
		}
	}
}

func TestParsePathRefusesEverythingElse(t *testing.T) {
	for _, path := range []string{
		"", "/", "v2/phone-numbers", "/v2", "/v2/", "/v2/projects", "/v2/projects/" + appID,
		"/v1/projects/" + appID + "/join", "/v3/projects/" + appID + "/join",
		"/v2/projects/" + appID + "/join/x", "/v2/projects/" + appID + "/JOIN",
		"/V2/projects/" + appID + "/join", "/v2/projects/" + appID + "/joi%6e", "/v2/project%73/" + appID + "/join",
		"/v2/projects//join", "/v2//projects/" + appID + "/join", "//v2/phone-numbers", "/v2/phone-numbers//",
		"/v2/projects/../join", "/v2/projects/./join", "/v2/projects/%2e%2e/join", "/v2/projects/%2E/join",
		"/v2/projects/a/../../projects/b/join", "/v2/projects/a/%2e%2e/b/join",
		"/v2/projects/a%2fb/join", "/v2/projects/a%2Fb/join", "/v2/projects/a%5cb/join", `/v2/projects/a\b/join`,
		"/v2/projects/a%00/join", "/v2/projects/a\x00/join", "/v2/projects/a%0d%0a/join", "/v2/projects/a%20b/join",
		"/v2/projects/a b/join", "/v2/projects/a%252fb/join", "/v2/projects/a%25/join",
		"/v2/projects/a%/join", "/v2/projects/a%2/join", "/v2/projects/a%zz/join", "/v2/projects/a%2g/join",
		"/v2/projects/a?b/join", "/v2/projects/a#b/join", "/v2/projects/a;b/join", "/v2/projects/ä/join", "/v2/projects/%c3%a4/join",
		"/v2/projects/{env.X}/join", "/v2/projects/*/join",
		"/cn/v2/phone-numbers", "/CN/api/conversational-ai-agent/v2/phone-numbers", "/us/api/conversational-ai-agent/v2/phone-numbers",
		"/api/conversational-ai-agent", "/api/conversational-ai-agent/", "/api/conversational-ai-agentv2/phone-numbers",
		"/api/conversational-ai-agent/api/conversational-ai-agent/v2/phone-numbers",
		"/api/conversational-ai-agent//v2/phone-numbers", "/api/speech-to-text/v1/projects/" + appID + "/join",
		"/a/b/c/d/e/f/g/h/i/j/k", strings.Repeat("/", 5000),
	} {
		if p, ok := api.ParsePath(path); ok {
			t.Errorf("%q is recognised as %+v", path, p)
		}
	}
}

func TestOperationOfAnotherMethodIsRefusedWithAllow(t *testing.T) {
	tests := []struct{ path, method, allow string }{
		{"/v2/projects/a/join", http.MethodGet, "POST"},
		{"/v2/projects/a/join", "post", "POST"},
		{"/v2/projects/a/agents/b", http.MethodPost, "GET"},
		{"/v2/projects/a/call", http.MethodDelete, "POST, GET"},
		{"/v2/phone-numbers", http.MethodTrace, "GET, POST"},
		{"/v2/phone-numbers/1", http.MethodConnect, "GET, PATCH, DELETE"},
		{"/v2/phone-numbers/1", http.MethodHead, "GET, PATCH, DELETE"},
	}
	for _, test := range tests {
		p, ok := api.ParsePath(test.path)
		if !ok {
			t.Fatalf("%s is not recognised", test.path)
		}
		if op, ok := p.Operation(test.method); ok {
			t.Errorf("%s %s is %s", test.method, test.path, op)
		}
		if got := p.Allow(); got != test.allow {
			t.Errorf("%s allows %q, want %q", test.path, got, test.allow)
		}
	}
}

// FuzzParsePath checks that whatever is accepted has exactly one harmless form:
// an upstream only ever sees that.
func FuzzParsePath(f *testing.F) {
	seeds, err := os.ReadFile("testdata/paths.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(seeds)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, ok := api.ParsePath(path)
		if !ok {
			return
		}
		for _, prefix := range []string{api.PrefixGlobal, api.PrefixCN} {
			canonical := p.Canonical(prefix)
			rest, ok := strings.CutPrefix(canonical, prefix+"/v2/")
			if !ok {
				t.Fatalf("%q became %q, which is not below %s/v2/", path, canonical, prefix)
			}
			for segment := range strings.SplitSeq(rest, "/") {
				if segment == "" || segment == "." || segment == ".." {
					t.Errorf("%q became %q, which has an empty or dot segment", path, canonical)
				}
			}
			for _, c := range []byte(canonical) {
				if c <= ' ' || c >= 0x7f || strings.IndexByte(`%\?#;"<>{}|^`, c) >= 0 {
					t.Errorf("%q became %q, which has the byte %q", path, canonical, c)
				}
			}
			again, ok := api.ParsePath(canonical)
			if !ok {
				t.Fatalf("%q became %q, which is not recognised", path, canonical)
			}
			if again.AppID != p.AppID || again.AgentID != p.AgentID || again.PhoneNumber != p.PhoneNumber || again.Allow() != p.Allow() {
				t.Errorf("%q is %+v, but its canonical form is %+v", path, p, again)
			}
			if got := again.Canonical(prefix); got != canonical {
				t.Errorf("%q became %q, and that %q", path, canonical, got)
			}
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	for b.Loop() {
		if _, ok := api.ParsePath("/api/conversational-ai-agent/v2/projects/" + appID + "/agents/A42AK62PE74LN47MF46E/leave"); !ok {
			b.Fatal("not recognised")
		}
	}
}
