package corpus

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/caddy-convoai/convoai/token"
)

var fieldName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// The calls that may reach an upstream: method, and path behind the prefix. A
// segment is letters, digits and -._~+:@=, and neither "." nor "..".
var (
	allowedCalls = []*regexp.Regexp{
		call("POST", "/v2/projects/APP/(join|call)"),
		call("GET", "/v2/projects/APP/(agents|call)"),
		call("POST", "/v2/projects/APP/agents/SEGMENT/(leave|update|interrupt|speak|think)"),
		call("GET", "/v2/projects/APP/agents/SEGMENT(/(history|turns))?"),
		call("GET", "/v2/projects/APP/calls/SEGMENT"),
		call("POST", "/v2/projects/APP/calls/SEGMENT/hangup"),
		call("(GET|POST)", "/v2/phone-numbers"),
		call("(GET|PATCH|DELETE)", "/v2/phone-numbers/SEGMENT"),
	}
	segmentForm = `(\.?[A-Za-z0-9\-_~+:@=]|\.\.[A-Za-z0-9\-._~+:@=])[A-Za-z0-9\-._~+:@=]*`
	queryForm   = regexp.MustCompile(`^[!-~]*$`)
)

func call(method, path string) *regexp.Regexp {
	path = strings.NewReplacer("APP", "("+AppA+"|"+AppB+")", "SEGMENT", segmentForm).Replace(path)
	return regexp.MustCompile("^" + method + " (/cn)?/api/conversational-ai-agent" + path + "$")
}

// The fields that may reach an upstream. What is not in here is a fault: fields
// of one connection, cookies, forwarding fields, idempotency keys.
var allowedFields = regexp.MustCompile(`(?i)^(Host|User-Agent|Content-Length|Authorization|X-Convoai-Instance|X-Allowed|` +
	`Accept|Accept-Charset|Accept-Encoding|Accept-Language|Content-(Disposition|Encoding|Language|Location|MD5|Type)|` +
	`If-(Match|Modified-Since|None-Match|Range|Unmodified-Since)|Traceparent|Tracestate|X-Request-Id|` +
	`Agora-Feature.*|X-Fern-.*)$`)

// ours are the fields that only the sidecar sets, each once.
var ours = []string{"Host", "Authorization", "X-Convoai-Instance"}

var instances = regexp.MustCompile(`^([0-9a-f]{16}, ){0,3}[0-9a-f]{16}$`)

// Check says what is wrong with a request that has come to an upstream of which
// host is the Host header. It never repeats a credential.
func Check(raw, host string) error {
	if err := CheckCall(raw, host); err != nil {
		return err
	}
	encoded := base64.RawStdEncoding.EncodeToString([]byte(Canary))[:8]
	if lower := strings.ToLower(raw); strings.Contains(lower, Canary) || strings.Contains(raw, encoded) {
		return errors.New("it has a value of the caller's that is not for the upstream")
	}
	return nil
}

// CheckCall is Check for requests that may have a canary anywhere.
func CheckCall(raw, host string) error {
	r, err := ParseReached(raw)
	if err != nil {
		return err
	}
	path, query, _ := strings.Cut(r.Target, "?")
	app := ""
	for _, allowed := range allowedCalls {
		if m := allowed.FindStringSubmatch(r.Method + " " + path); m != nil {
			app = AppA // that of paths without one
			if strings.Contains(path, "/projects/"+AppB+"/") {
				app = AppB
			}
		}
	}
	if app == "" {
		return fmt.Errorf("%s %q is no call in canonical form", r.Method, path)
	}
	if !queryForm.MatchString(query) {
		return errors.New("its query is not clean")
	}
	for _, f := range r.Fields {
		if !allowedFields.MatchString(f.Name) {
			return fmt.Errorf("it has the field %s", f.Name)
		}
	}
	for _, name := range ours {
		if n := len(r.Values(name)); n != 1 {
			return fmt.Errorf("it has %d fields %s", n, name)
		}
	}
	if got := r.Values("Host")[0]; got != host {
		return fmt.Errorf("its Host is %q", got)
	}
	if !instances.MatchString(r.Values("X-Convoai-Instance")[0]) {
		return errors.New("its list of sidecars is malformed")
	}
	if err := checkLength(r); err != nil {
		return err
	}
	return checkCredential(r.Values("Authorization")[0], app)
}

func checkLength(r Reached) error {
	lengths := r.Values("Content-Length")
	if len(lengths) == 0 && r.Body == "" && (r.Method == "GET" || r.Method == "DELETE") {
		return nil
	}
	if len(lengths) != 1 || lengths[0] != strconv.Itoa(len(r.Body)) {
		return fmt.Errorf("its Content-Length is %q for a body of %d bytes", lengths, len(r.Body))
	}
	return nil
}

// checkCredential looks whether a value of Authorization is the configured
// credential of app.
func checkCredential(value, app string) error {
	if app == AppB {
		if value != "Basic "+base64.StdEncoding.EncodeToString([]byte(CustomerB+":"+SecretB)) {
			return errors.New("its credential is not that of the second app")
		}
		return nil
	}
	text, ok := strings.CutPrefix(value, "agora token=")
	t, err := token.Parse(text)
	if !ok || err != nil || t.AppID != app || t.Verify(CertificateA) != nil {
		return errors.New("its credential is not a token of the first app")
	}
	return nil
}
