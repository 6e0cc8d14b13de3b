package simulator_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

// The credentials of the tests. They belong to nobody.
var (
	one = simulator.Project{
		AppID: "970CA35de60c44645bbae8a215061b33", AppCertificate: "5CFd2fd1755d40ecb72977518be15d3b",
		AppCertificateSecondary: "0123456789abcdef0123456789abcdef",
		CustomerID:              "customer-one", CustomerSecret: "test:secret ä",
	}
	two = simulator.Project{AppID: "11111111111111111111111111111111", AppCertificate: "22222222222222222222222222222222"}
)

var start = time.Unix(1_700_000_000, 0)

// A bench is a simulator under test, its clock, and a client that signs.
type bench struct {
	t *testing.T
	*simulator.Simulator
	server *httptest.Server
	nanos  atomic.Int64 // of the clock

	authorization string // of the following calls
}

func newBench(t *testing.T, o simulator.Options) *bench {
	t.Helper()
	b := &bench{t: t}
	b.nanos.Store(start.UnixNano())
	if o.Projects == nil {
		o.Projects = []simulator.Project{one, two}
	}
	if o.Now == nil {
		o.Now = b.now
	}
	s, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Simulator = s
	b.server = httptest.NewServer(s)
	t.Cleanup(b.server.Close)
	b.authorization = "agora token=" + b.token(one, nil)
	return b
}

func (b *bench) now() time.Time          { return time.Unix(0, b.nanos.Load()) }
func (b *bench) advance(d time.Duration) { b.nanos.Add(int64(d)) }

// token signs a ConvoAI token issued now, after change has had its way with it.
func (b *bench) token(p simulator.Project, change func(*token.Token)) string {
	b.t.Helper()
	t, err := token.NewConvoAI(p.AppID, "room-1", "1001", 3600, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	t.IssuedAt = uint32(b.now().Unix())
	if change != nil {
		change(t)
	}
	s, err := t.Sign(p.AppCertificate)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// An answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	text   string
}

// call sends a request below the global prefix; {appid} in path is that of one.
func (b *bench) call(method, path, body string) answer {
	b.t.Helper()
	return b.send(method, api.PrefixGlobal+strings.ReplaceAll(path, "{appid}", one.AppID), body, b.authorization)
}

func (b *bench) send(method, path, body string, authorization ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest(method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header["Authorization"] = authorization
	response, err := b.server.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		b.t.Fatal(err)
	}
	return answer{b.t, response.StatusCode, response.Header, text.String()}
}

// want fails the test unless the answer has the status, and, for an error, the
// reason.
func (a answer) want(status int, reason string) answer {
	a.t.Helper()
	if a.status != status || status >= 400 && a.string("reason") != reason {
		a.t.Fatalf("answer %d %s; want %d %q", a.status, a.text, status, reason)
	}
	return a
}

// get returns the member of the body that a path such as "data.list.0" leads to.
func (a answer) get(path string) any {
	a.t.Helper()
	var value any
	if a.text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(a.text), &value); err != nil {
		a.t.Fatalf("answer %d is not JSON: %s", a.status, a.text)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i := int(name[0] - '0')
			if i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

func (a answer) string(path string) string {
	a.t.Helper()
	s, _ := a.get(path).(string)
	return s
}

func (a answer) number(path string) int64 {
	a.t.Helper()
	n, ok := a.get(path).(float64)
	if !ok {
		a.t.Fatalf("%s is no number in %s", path, a.text)
	}
	return int64(n)
}

func joinBody(name, channel string) string {
	return `{"name":"` + name + `","properties":{"channel":"` + channel + `","agent_rtc_uid":"1001","remote_rtc_uids":["1002"]}}`
}

// join starts an agent and returns its ID.
func (b *bench) join(name, channel string) string {
	b.t.Helper()
	return b.call("POST", "/v2/projects/{appid}/join", joinBody(name, channel)).want(200, "").string("agent_id")
}

func agentPath(id, rest string) string { return "/v2/projects/{appid}/agents/" + id + rest }

func TestOnlyTheVendorsPathsAreRoutes(t *testing.T) {
	b := newBench(t, simulator.Options{})
	list := "/v2/projects/" + one.AppID + "/agents"
	tests := []struct {
		method, path string
		status       int
	}{
		{"GET", api.PrefixGlobal + list, 200},
		{"GET", api.PrefixCN + list, 200},
		{"GET", api.PrefixGlobal + list + "/", 200},
		{"GET", list, 404},
		{"GET", "/us" + api.PrefixGlobal + list, 404},
		{"GET", api.PrefixGlobal + api.PrefixGlobal + list, 404},
		{"GET", api.PrefixGlobal, 404},
		{"GET", api.PrefixGlobal + "/v1/projects/" + one.AppID + "/agents", 404},
		{"GET", api.PrefixGlobal + "/v2/projects/x/../" + one.AppID + "/agents", 404},
		{"DELETE", api.PrefixGlobal + list, 405},
		{"HEAD", api.PrefixGlobal + list, 405},
	}
	for _, test := range tests {
		got := b.send(test.method, test.path, "", b.authorization)
		if got.status != test.status {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.path, got.status, got.text, test.status)
		}
		if got.status == 404 && got.text != `{"message":"no Route matched with those values"}` {
			t.Errorf("%s: body %s", test.path, got.text)
		}
	}
	if got := b.send("PUT", api.PrefixGlobal+"/v2/phone-numbers", "", b.authorization).header.Get("Allow"); got != "GET, POST" {
		t.Errorf("Allow is %q", got)
	}
}

func TestAnswersCarryTheSimulatorsDateAndARequestID(t *testing.T) {
	b := newBench(t, simulator.Options{Skew: -5 * time.Minute})
	for _, authorization := range []string{b.authorization, ""} {
		got := b.send("GET", api.PrefixGlobal+"/v2/phone-numbers", "", authorization)
		if date := got.header.Get("Date"); date != start.Add(-5*time.Minute).UTC().Format(http.TimeFormat) {
			t.Errorf("Date is %s", date)
		}
		if id := got.header.Get("X-Request-Id"); len(id) != 32 {
			t.Errorf("X-Request-Id is %q", id)
		}
	}
	b.SetSkew(time.Hour)
	if date := b.call("GET", "/v2/phone-numbers", "").header.Get("Date"); date != start.Add(time.Hour).UTC().Format(http.TimeFormat) {
		t.Errorf("Date is %s after SetSkew", date)
	}
	r := httptest.NewRequest("GET", api.PrefixGlobal+"/v2/phone-numbers", nil)
	r.Header.Set("X-Request-Id", "mine")
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	if id := w.Header().Get("X-Request-Id"); id != "mine" {
		t.Errorf("X-Request-Id is %q, want the caller's", id)
	}
}

func TestBodyOverTheLimitIsRefused(t *testing.T) {
	b := newBench(t, simulator.Options{MaxBody: 1000})
	body := joinBody("a", "room-1")
	b.call("POST", "/v2/projects/{appid}/join", body+strings.Repeat(" ", 1000-len(body))).want(200, "")
	body = joinBody("b", "room-1")
	b.call("POST", "/v2/projects/{appid}/join", body+strings.Repeat(" ", 1001-len(body))).want(413, "")
}

func TestOptionsThatMakeNoSenseAreRefusedWithoutShowingSecrets(t *testing.T) {
	const secret = "canary-secret-canary-secret-cana"
	tests := []struct {
		name string
		o    simulator.Options
	}{
		{"app ID", simulator.Options{Projects: []simulator.Project{{AppID: secret, AppCertificate: one.AppCertificate}}}},
		{"certificate", simulator.Options{Projects: []simulator.Project{{AppID: one.AppID, AppCertificate: secret}}}},
		{"secondary certificate", simulator.Options{Projects: []simulator.Project{{AppID: one.AppID, AppCertificate: one.AppCertificate, AppCertificateSecondary: secret}}}},
		{"secret without ID", simulator.Options{Projects: []simulator.Project{{AppID: one.AppID, CustomerSecret: secret}}}},
		{"ID without secret", simulator.Options{Projects: []simulator.Project{{AppID: one.AppID, AppCertificate: one.AppCertificate, CustomerID: secret}}}},
		{"no credential", simulator.Options{Projects: []simulator.Project{{AppID: one.AppID}}}},
		{"same app twice", simulator.Options{Projects: []simulator.Project{one, one}}},
		{"two secrets of one customer", simulator.Options{Projects: []simulator.Project{
			{AppID: one.AppID, CustomerID: "c", CustomerSecret: secret}, {AppID: two.AppID, CustomerID: "c", CustomerSecret: "other"},
		}}},
		{"fault", simulator.Options{Faults: []simulator.Fault{{Operation: "dance", Status: 500}}}},
	}
	for _, test := range tests {
		_, err := simulator.New(test.o)
		if err == nil {
			t.Errorf("%s: no error", test.name)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows the value", test.name)
		}
	}
}
