package simulator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
)

const callBody = `{"name":"c","sip":{"to_number":"+19876543210","from_number":"+11234567890","rtc_uid":"100","rtc_token":"x"},"pipeline_id":"p",
	"properties":{"channel":"room-1","agent_rtc_uid":"111","remote_rtc_uids":["100"]}}`

func TestPhoneCallLivesUntilHangup(t *testing.T) {
	b := newBench(t, simulator.Options{})
	started := b.call("POST", "/v2/projects/{appid}/call", callBody).want(200, "")
	id := started.string("agent_id")
	path := "/v2/projects/{appid}/calls/" + id
	got := b.call("GET", path, "").want(200, "")
	if got.string("agent_id") != id || got.string("to_number") != "+19876543210" || got.string("from_number") != "+11234567890" ||
		got.string("pipeline_id") != "p" || got.string("type") != "outbound" || got.string("channel") != "room-1" ||
		got.string("state") != "answered" || got.number("create_ts") != start.Unix() || got.get("stop_ts") != nil {
		t.Errorf("call %s", got.text)
	}
	b.call("POST", agentPath(id, "/speak"), `{"text":"x"}`).want(200, "") // it is an agent, too
	b.advance(time.Minute)
	if ended := b.call("POST", path+"/hangup", "{}").want(200, ""); ended.text != "{}" {
		t.Errorf("hangup answered %s", ended.text)
	}
	got = b.call("GET", path, "").want(200, "")
	if got.string("state") != "hangup" || got.string("reason") != "request" || got.number("stop_ts") != start.Add(time.Minute).Unix() {
		t.Errorf("call after hangup %s", got.text)
	}
	b.call("POST", path+"/hangup", "{}").want(404, "not_found")
	// An agent of a join is no call.
	joined := b.join("a", "room-1")
	b.call("GET", "/v2/projects/{appid}/calls/"+joined, "").want(404, "not_found")
	b.call("POST", "/v2/projects/{appid}/calls/"+joined+"/hangup", "").want(404, "not_found")
	b.call("GET", agentPath(joined, ""), "").want(200, "")
	// Names of calls need not be unique.
	b.call("POST", "/v2/projects/{appid}/call", callBody).want(200, "")
	b.call("POST", "/v2/projects/{appid}/call", callBody).want(200, "")
}

func TestPhoneCallIsChecked(t *testing.T) {
	b := newBench(t, simulator.Options{RequireBodyToken: true})
	call := strings.Replace(callBody, `"channel"`, `"token":"x","channel"`, 1)
	b.call("POST", "/v2/projects/{appid}/call", call).want(200, "")
	for _, test := range []struct{ old, new, reason string }{
		{`"name":"c",`, ``, api.ReasonInvalidRequest},
		{`"sip":`, `"tip":`, api.ReasonInvalidRequest},
		{`"to_number"`, `"to"`, api.ReasonInvalidRequest},
		{`"rtc_uid":"100"`, `"rtc_uid":100`, api.ReasonInvalidRequest},
		{`"rtc_token":"x"`, `"rtc_token":""`, api.ReasonInvalidRequest},
		{`"token":"x",`, ``, api.ReasonInvalidRequest},
		{`"channel":"room-1",`, ``, api.ReasonInvalidRequest},
		{`+19876543210`, `19876543210`, "invalid_phone_format"},
		{`+19876543210`, `+0987654321`, "invalid_phone_format"},
		{`+19876543210`, `+1`, "invalid_phone_format"},
		{`+19876543210`, `+1234567890123456`, "invalid_phone_format"},
		{`+11234567890`, `+1 123 456`, "invalid_phone_format"},
	} {
		if !strings.Contains(call, test.old) {
			t.Fatal(test.old)
		}
		b.call("POST", "/v2/projects/{appid}/call", strings.Replace(call, test.old, test.new, 1)).want(400, test.reason)
	}
}

func TestCallListFiltersAndPages(t *testing.T) {
	b := newBench(t, simulator.Options{})
	b.authorization = basic(one.CustomerID, one.CustomerSecret)
	b.join("not a call", "room-1")
	var ids []string
	for i := range 5 {
		body := strings.Replace(callBody, "+19876543210", fmt.Sprintf("+1987654321%d", i), 1)
		ids = append(ids, b.call("POST", "/v2/projects/{appid}/call", body).want(200, "").string("agent_id"))
		b.advance(time.Hour)
	}
	slices.Reverse(ids)
	list := func(query string) answer {
		t.Helper()
		return b.call("GET", "/v2/projects/{appid}/call"+query, "")
	}
	first := list("?limit=2").want(200, "")
	if !slices.Equal(first.listed(), ids[:2]) || first.number("meta.total") != 5 || first.string("meta.cursor") != ids[1] {
		t.Errorf("first page %s", first.text)
	}
	second := list("?limit=2&cursor=" + ids[1])
	if !slices.Equal(second.listed(), ids[2:4]) {
		t.Errorf("second page %s", second.text)
	}
	if third := list("?limit=2&cursor=" + ids[3]); !slices.Equal(third.listed(), ids[4:]) {
		t.Errorf("third page %s", third.text)
	}
	if end := list("?cursor=" + ids[4]); len(end.listed()) != 0 || end.string("meta.cursor") != "" {
		t.Errorf("page behind the last %s", end.text)
	}
	for query, want := range map[string][]string{
		"?number=%2B19876543211":                            ids[3:4],
		"?number=%2B11234567890":                            ids,
		"?type=outbound":                                    ids,
		"?type=inbound":                                     {},
		fmt.Sprintf("?from_time=%d", start.Unix()+1):        ids[:4],
		fmt.Sprintf("?to_time=%d", start.Unix()+2*60*60-1):  ids[3:],
		fmt.Sprintf("?from_time=%d", start.Unix()+24*60*60): {},
	} {
		if got := list(query).want(200, "").listed(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"?type=both", "?limit=0", "?cursor=x", "?from_time=x"} {
		list(query).want(422, "unprocessable_content")
	}
	b.advance(61 * 24 * time.Hour)
	if got := list("").listed(); len(got) != 0 {
		t.Errorf("calls of 61 days ago are listed")
	}
}

const numberBody = `{"provider":"byo","phone_number":"+11234567890","label":"Sales","inbound_config":{"allowed_addresses":["192.0.2.0/24"]},
	"outbound_config":{"address":"sip.example.com","transport":"tls","user":"u","password":"canary-password"}}`

func TestPhoneNumbersAreImportedChangedAndDeleted(t *testing.T) {
	b := newBench(t, simulator.Options{})
	if got := b.call("GET", "/v2/phone-numbers", "").want(200, ""); got.text != "[]" {
		t.Errorf("no numbers: %s", got.text)
	}
	got := b.call("POST", "/v2/phone-numbers", numberBody).want(201, "")
	if got.string("phone_number") != "+11234567890" || got.string("label") != "Sales" || got.string("provider") != "byo" ||
		got.get("inbound") != true || got.get("outbound") != true || got.get("associated_pipeline") != nil ||
		got.string("outbound_config.transport") != "tls" || got.string("inbound_config.allowed_addresses.0") != "192.0.2.0/24" {
		t.Errorf("import answered %s", got.text)
	}
	if strings.Contains(got.text, "canary") {
		t.Error("the SIP password is shown")
	}
	b.call("POST", "/v2/phone-numbers", numberBody).want(409, "phone_number_exists")
	if list := b.call("GET", "/v2/phone-numbers", ""); list.text != "["+got.text+"]" {
		t.Errorf("list %s", list.text)
	}
	for _, path := range []string{"/v2/phone-numbers/+11234567890", "/v2/phone-numbers/%2B11234567890/"} {
		if one := b.call("GET", path, "").want(200, ""); one.text != got.text {
			t.Errorf("%s: %s", path, one.text)
		}
	}

	path := "/v2/phone-numbers/+11234567890"
	bound := b.call("PATCH", path, `{"inbound_config":{"pipeline_id":"p1"},"outbound_config":{"pipeline_id":"p2"}}`).want(200, "")
	if bound.string("associated_pipeline.pipeline_id") != "p1" || bound.string("outbound_config.pipeline_id") != "p2" || bound.string("outbound_config.transport") != "tls" {
		t.Errorf("PATCH answered %s", bound.text)
	}
	if same := b.call("PATCH", path, `{}`).want(200, ""); same.text != bound.text {
		t.Errorf("an empty PATCH changed something: %s", same.text)
	}
	cleared := b.call("PATCH", path, `{"inbound_config":null}`).want(200, "")
	if cleared.get("inbound_config") != nil || cleared.get("associated_pipeline") != nil || cleared.string("outbound_config.pipeline_id") != "p2" {
		t.Errorf("PATCH with null answered %s", cleared.text)
	}
	b.call("PATCH", path, `{"inbound_config":7}`).want(422, "unprocessable_content")

	if gone := b.call("DELETE", path, "").want(204, ""); gone.text != "" {
		t.Errorf("DELETE answered %s", gone.text)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		b.call(method, path, "{}").want(404, "not_found")
	}
}

func TestPhoneNumberImportIsChecked(t *testing.T) {
	b := newBench(t, simulator.Options{})
	for _, test := range []struct {
		old, new, reason string
		status           int
	}{
		{`"provider":"byo"`, `"provider":"other"`, "unprocessable_content", 422},
		{`"provider":"byo",`, ``, "unprocessable_content", 422},
		{`"label":"Sales",`, ``, "unprocessable_content", 422},
		{`"phone_number":"+11234567890",`, ``, "unprocessable_content", 422},
		{`["192.0.2.0/24"]`, `[]`, "unprocessable_content", 422},
		{`"tls"`, `"sctp"`, "unprocessable_content", 422},
		{`"outbound_config"`, `"out"`, "unprocessable_content", 422},
		{`+11234567890`, `11234567890`, "invalid_phone_format", 400},
	} {
		if !strings.Contains(numberBody, test.old) {
			t.Fatal(test.old)
		}
		b.call("POST", "/v2/phone-numbers", strings.Replace(numberBody, test.old, test.new, 1)).want(test.status, test.reason)
	}
	b.call("POST", "/v2/phone-numbers", "x").want(400, api.ReasonInvalidRequestBody)
}

func TestPhoneNumbersBelongToAnAccount(t *testing.T) {
	sibling := simulator.Project{AppID: "33333333333333333333333333333333", AppCertificate: two.AppCertificate, CustomerID: one.CustomerID, CustomerSecret: one.CustomerSecret}
	b := newBench(t, simulator.Options{Projects: []simulator.Project{one, two, sibling}})
	b.call("POST", "/v2/phone-numbers", numberBody).want(201, "")
	path := api.PrefixGlobal + "/v2/phone-numbers/+11234567890"
	b.send("GET", path, "", basic(one.CustomerID, one.CustomerSecret)).want(200, "")
	b.send("GET", path, "", "agora token="+b.token(sibling, nil)).want(200, "")
	b.send("GET", path, "", "agora token="+b.token(two, nil)).want(404, "not_found")
}
