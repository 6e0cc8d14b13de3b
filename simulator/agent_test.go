package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

func TestAgentLivesFromJoinToLeave(t *testing.T) {
	b := newBench(t, simulator.Options{})
	joined := b.call("POST", "/v2/projects/{appid}/join", joinBody("a", "room-1")).want(200, "")
	id := joined.string("agent_id")
	if id == "" || joined.number("create_ts") != start.Unix() || joined.string("status") != "RUNNING" {
		t.Errorf("join answered %s", joined.text)
	}
	got := b.call("GET", agentPath(id, ""), "").want(200, "")
	if got.string("agent_id") != id || got.string("name") != "a" || got.string("status") != "RUNNING" ||
		got.number("start_ts") != start.Unix() || got.number("stop_ts") != 0 {
		t.Errorf("query answered %s", got.text)
	}
	updated := b.call("POST", agentPath(id, "/update"), `{"properties":{"token":"x","llm":{"params":{}}}}`).want(200, "")
	if updated.text != joined.text {
		t.Errorf("update answered %s, want %s", updated.text, joined.text)
	}
	b.advance(time.Minute)
	if left := b.call("POST", agentPath(id, "/leave"), "").want(200, ""); left.text != "{}" {
		t.Errorf("leave answered %s", left.text)
	}
	got = b.call("GET", agentPath(id, ""), "").want(200, "")
	if got.string("status") != "STOPPED" || got.number("stop_ts") != start.Add(time.Minute).Unix() {
		t.Errorf("query after leave answered %s", got.text)
	}
	for _, rest := range []string{"/leave", "/update", "/speak", "/interrupt", "/think"} {
		b.call("POST", agentPath(id, rest), `{"text":"x"}`).want(404, api.ReasonTaskNotFound)
	}
}

func TestUnknownAgentIsNotFound(t *testing.T) {
	b := newBench(t, simulator.Options{})
	id := b.join("a", "room-1")
	for _, op := range api.Operations() {
		if !strings.Contains(op.Template, "agents/{agent_id}") {
			continue
		}
		path := strings.NewReplacer("{agent_id}", "A42AXX").Replace(op.Template)
		b.call(op.Method, path, `{"text":"x"}`).want(404, api.ReasonTaskNotFound)
	}
	// Nor does an agent of one app exist for another.
	b.authorization = "agora token=" + b.token(two, nil)
	b.send("GET", api.PrefixGlobal+"/v2/projects/"+two.AppID+"/agents/"+id, "", b.authorization).want(404, api.ReasonTaskNotFound)
}

func TestJoinIsChecked(t *testing.T) {
	const prefix = "create agent failed, code: 400, msg: "
	body := func(name, properties string) string { return `{"name":` + name + `,"properties":` + properties + `}` }
	with := func(member string) string {
		return body(`"a"`, `{"channel":"c","agent_rtc_uid":"1","remote_rtc_uids":["2"],`+member+`}`)
	}
	tests := []struct{ name, body, detail string }{
		{"no name", `{"properties":{}}`, "name not found"},
		{"name empty", body(`""`, `{}`), "name not found"},
		{"name number", body(`7`, `{}`), "name must be a string"},
		{"no properties", `{"name":"a"}`, "properties not found"},
		{"properties null", body(`"a"`, `null`), "properties not found"},
		{"properties string", body(`"a"`, `"x"`), "properties must be an object"},
		{"no channel", body(`"a"`, `{"agent_rtc_uid":"1","remote_rtc_uids":["2"]}`), "properties: channel not found"},
		{"channel null", with(`"channel":null`), "properties: channel not found"},
		{"channel too long", with(`"channel":"` + strings.Repeat("c", 64) + `"`), "properties: channel must be shorter than 64 bytes"},
		{"no uid", body(`"a"`, `{"channel":"c","remote_rtc_uids":["2"]}`), "properties: agent_rtc_uid not found"},
		{"uid number", with(`"agent_rtc_uid":1`), "properties: agent_rtc_uid must be a string"},
		{"uid name", with(`"agent_rtc_uid":"bot"`), "properties: agent_rtc_uid must be an integer unless enable_string_uid is true"},
		{"uid too large", with(`"agent_rtc_uid":"4294967296"`), "properties: agent_rtc_uid must be an integer unless enable_string_uid is true"},
		{"no remote uids", body(`"a"`, `{"channel":"c","agent_rtc_uid":"1"}`), "properties: remote_rtc_uids not found"},
		{"remote uids empty", with(`"remote_rtc_uids":[]`), "properties: remote_rtc_uids must not be empty"},
		{"remote uids numbers", with(`"remote_rtc_uids":[2]`), "properties: remote_rtc_uids must be a list of strings"},
		{"remote uid name", with(`"remote_rtc_uids":["bob"]`), "properties: remote_rtc_uids must be an integer unless enable_string_uid is true"},
		{"idle timeout too long", with(`"idle_timeout":259201`), "properties: idle_timeout must be 0 to 259200"},
		{"idle timeout negative", with(`"idle_timeout":-1`), "properties: idle_timeout must be 0 to 259200"},
		{"idle timeout fraction", with(`"idle_timeout":1.5`), "properties: idle_timeout must be an integer"},
		{"geofence without area", with(`"geofence":{}`), "properties: geofence: area not found"},
		{"geofence elsewhere", with(`"geofence":{"area":"MARS"}`), "properties: geofence: area must be one of GLOBAL, NORTH_AMERICA, EUROPE, ASIA, INDIA, JAPAN"},
		{"geofence excludes from a part", with(`"geofence":{"area":"ASIA","exclude_area":"JAPAN"}`), "properties: geofence: exclude_area needs the area GLOBAL"},
	}
	b := newBench(t, simulator.Options{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := b.call("POST", "/v2/projects/{appid}/join", test.body)
			if got.status != 400 || got.string("reason") != api.ReasonInvalidRequest || got.string("detail") != prefix+test.detail {
				t.Errorf("answer %d %s; want 400 %s", got.status, got.text, prefix+test.detail)
			}
		})
	}
	for _, body := range []string{"", "name=a", "null", "[]", `{"name":"a"`} {
		b.call("POST", "/v2/projects/{appid}/join", body).want(400, api.ReasonInvalidRequestBody)
	}
	for i, member := range []string{
		`"enable_string_uid":true,"agent_rtc_uid":"bot","remote_rtc_uids":["bob"]`, `"remote_rtc_uids":["*"]`, `"agent_rtc_uid":"0"`,
		`"idle_timeout":0`, `"token":null`, `"geofence":{"area":"GLOBAL","exclude_area":"JAPAN"}`, `"llm":{"url":"x"},"tts":{},"unheard_of":[1]`,
	} {
		b.call("POST", "/v2/projects/{appid}/join", strings.Replace(with(member), `"a"`, fmt.Sprintf(`"ok-%d"`, i), 1)).want(200, "")
	}
}

func TestNameIsUniqueAmongTheRunningAgentsOfAnApp(t *testing.T) {
	b := newBench(t, simulator.Options{})
	id := b.join("a", "room-1")
	got := b.call("POST", "/v2/projects/{appid}/join", joinBody("a", "room-2")).want(409, api.ReasonTaskConflict)
	if !strings.Contains(got.string("detail"), id) {
		t.Errorf("the conflict does not name the agent: %s", got.text)
	}
	b.send("POST", api.PrefixGlobal+"/v2/projects/"+two.AppID+"/join", joinBody("a", "room-1"), "agora token="+b.token(two, nil)).want(200, "")
	b.call("POST", agentPath(id, "/leave"), "").want(200, "")
	b.join("a", "room-1")
}

func TestQuotaLimitsRunningAgentsOfAnApp(t *testing.T) {
	b := newBench(t, simulator.Options{})
	var last string
	for i := range simulator.DefaultQuota {
		last = b.join(fmt.Sprint(i), "room-1")
	}
	b.call("POST", "/v2/projects/{appid}/join", joinBody("one more", "room-1")).want(422, api.ReasonResourceQuotaLimitExceeded)
	b.call("POST", "/v2/projects/{appid}/call", callBody).want(422, api.ReasonResourceQuotaLimitExceeded)
	b.send("POST", api.PrefixGlobal+"/v2/projects/"+two.AppID+"/join", joinBody("a", "room-1"), "agora token="+b.token(two, nil)).want(200, "")
	b.call("POST", agentPath(last, "/leave"), "").want(200, "")
	b.join("one more", "room-1")

	unlimited := newBench(t, simulator.Options{Quota: -1})
	for i := range simulator.DefaultQuota + 1 {
		unlimited.join(fmt.Sprint(i), "room-1")
	}
}

func TestAgentStopsAfter72Hours(t *testing.T) {
	b := newBench(t, simulator.Options{Quota: 1})
	b.authorization = basic(one.CustomerID, one.CustomerSecret)
	id := b.join("a", "room-1")
	b.advance(72*time.Hour - time.Second)
	if got := b.call("GET", agentPath(id, ""), "").string("status"); got != "RUNNING" {
		t.Errorf("status %s before the end", got)
	}
	b.advance(time.Hour)
	got := b.call("GET", agentPath(id, ""), "").want(200, "")
	if got.string("status") != "STOPPED" || got.number("stop_ts") != start.Add(72*time.Hour).Unix() || got.string("message") == "" {
		t.Errorf("query answered %s", got.text)
	}
	// Name and quota are free again, and the next one lives as long.
	next := b.join("a", "room-1")
	b.advance(72 * time.Hour)
	b.call("POST", agentPath(next, "/leave"), "").want(404, api.ReasonTaskNotFound)
}

func TestAgentStopsAfter72HoursThoughTheClockWasTurnedBack(t *testing.T) {
	b := newBench(t, simulator.Options{Skew: time.Hour})
	b.authorization = basic(one.CustomerID, one.CustomerSecret)
	first := b.join("first", "room-1")
	b.call("GET", agentPath(first, ""), "").want(200, "")
	b.SetSkew(0)
	second := b.join("second", "room-1")
	b.advance(72 * time.Hour)
	for id, want := range map[string]string{first: "RUNNING", second: "STOPPED"} {
		if got := b.call("GET", agentPath(id, ""), "").string("status"); got != want {
			t.Errorf("status %s, want %s", got, want)
		}
	}
}

func TestStoppedAgentsAreForgottenInTheEnd(t *testing.T) {
	b := newBench(t, simulator.Options{KeepStopped: 4})
	var ids []string
	for i := range 6 {
		id := b.join(fmt.Sprint(i), "room-1")
		ids = append(ids, id)
		b.call("POST", agentPath(id, "/leave"), "").want(200, "")
	}
	running := b.join("runs", "room-1")
	for i, id := range append(ids, running) {
		want := http.StatusOK
		if i < 2 {
			want = http.StatusNotFound
		}
		if got := b.call("GET", agentPath(id, ""), ""); got.status != want {
			t.Errorf("agent %d: %d, want %d", i, got.status, want)
		}
	}
	if got := b.call("GET", "/v2/projects/{appid}/agents?state=2,4", "").number("meta.total"); got != 5 {
		t.Errorf("%d agents listed, want 5", got)
	}
}

func TestBodyTokensAreRequiredAndVerifiedOnlyOnDemand(t *testing.T) {
	with := func(b *bench, change func(*token.Token)) string {
		return strings.Replace(joinBody("a", "room-1"), `"channel"`, `"token":"`+b.token(one, change)+`","channel"`, 1)
	}
	asked := func(body string) string {
		return strings.Replace(body, `"channel"`, `"advanced_features":{"enable_rtm":true},"channel"`, 1)
	}
	b := newBench(t, simulator.Options{RequireBodyToken: true})
	got := b.call("POST", "/v2/projects/{appid}/join", joinBody("a", "room-1")).want(400, api.ReasonInvalidRequest)
	if !strings.HasSuffix(got.string("detail"), "properties: token not found") {
		t.Errorf("answer %s", got.text)
	}
	b.call("POST", "/v2/projects/{appid}/join", strings.Replace(joinBody("a", "room-1"), `"channel"`, `"token":"anything","channel"`, 1)).want(200, "")

	b = newBench(t, simulator.Options{VerifyBodyToken: true})
	none := func(*token.Token) {}
	tests := []struct {
		name, body string
		good       bool
	}{
		{"none", joinBody("a", "room-1"), true},
		{"good", with(b, none), true},
		{"good for RTM too", asked(with(b, none)), true},
		{"any channel and user", with(b, func(t *token.Token) { t.Services[0].Channel, t.Services[0].Account = "*", "" }), true},
		{"without RTM, not asked for", with(b, func(t *token.Token) { t.Services = t.Services[:1] }), true},
		{"without RTM", asked(with(b, func(t *token.Token) { t.Services = t.Services[:1] })), false},
		{"RTM of another user", asked(with(b, func(t *token.Token) { t.Services[1].Account = "7" })), false},
		{"other channel", with(b, func(t *token.Token) { t.Services[0].Channel = "room-2" }), false},
		{"other user", with(b, func(t *token.Token) { t.Services[0].Account = "1003" }), false},
		{"expired", with(b, func(t *token.Token) { t.IssuedAt -= 3600 }), false},
		{"no RTC", with(b, func(t *token.Token) { t.Services = t.Services[1:] }), false},
		{"other app", strings.Replace(joinBody("a", "room-1"), `"channel"`, `"token":"`+b.token(two, nil)+`","channel"`, 1), false},
		{"no token", strings.Replace(joinBody("a", "room-1"), `"channel"`, `"token":"x","channel"`, 1), false},
	}
	for i, test := range tests {
		got := b.call("POST", "/v2/projects/{appid}/join", strings.Replace(test.body, `"a"`, fmt.Sprintf(`"%d"`, i), 1))
		if good := got.status == 200; good != test.good {
			t.Errorf("%s: %d %s", test.name, got.status, got.text)
		}
	}
	id := b.join("updated", "room-1")
	b.call("POST", agentPath(id, "/update"), `{"properties":{"token":"`+b.token(one, nil)+`"}}`).want(200, "")
	b.call("POST", agentPath(id, "/update"), `{"properties":{"token":"x"}}`).want(400, api.ReasonInvalidFieldValue)
	b.call("POST", agentPath(id, "/update"), `{"properties":{"llm":[]}}`).want(400, api.ReasonInvalidFieldValue)
}
