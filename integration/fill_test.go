package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

// servicesFor are the services of a token for a body: of any RTC uid where the vendor
// assigns it.
func servicesFor(channel, account string) []token.Service {
	rtc := account
	if account == "0" {
		rtc = ""
	}
	return services(channel, rtc, account)
}

// services are those of a ConvoAI token that lives for a day.
func services(channel, rtc, rtm string) []token.Service {
	const day = 86400
	return []token.Service{
		{Type: token.ServiceRTC, Channel: channel, Account: rtc, Privileges: token.Privileges{
			{ID: token.PrivilegeJoinChannel, Expire: day}, {ID: token.PrivilegePublishAudioStream, Expire: day},
			{ID: token.PrivilegePublishVideoStream, Expire: day}, {ID: token.PrivilegePublishDataStream, Expire: day},
		}},
		{Type: token.ServiceRTM, Account: rtm, Privileges: token.Privileges{{ID: token.PrivilegeLogin, Expire: day}}},
	}
}

// wantToken checks a token of an app that was made just now.
func wantToken(t *testing.T, what, text, appID, certificate string, want []token.Service) {
	t.Helper()
	got, err := token.Parse(text)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if err := got.Verify(certificate); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if got.AppID != appID || got.Expire != 86400 || !reflect.DeepEqual(got.Services, want) {
		t.Errorf("%s: app %s for %d s, %+v; want app %s for 86400 s, %+v", what, got.AppID, got.Expire, got.Services, appID, want)
	}
	if age := time.Since(got.After(0)); age < -time.Second || age > patience {
		t.Errorf("%s: issued %s ago", what, age)
	}
}

// tokenAt returns the string at a path of members of a JSON body.
func tokenAt(t *testing.T, body string, path ...string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatal(err)
	}
	for _, name := range path {
		members, _ := value.(map[string]any)
		value = members[name]
	}
	text, _ := value.(string)
	return text
}

// cutMember removes a member with a token, which is to stand there once.
func cutMember(t *testing.T, body, name string) (rest, text string) {
	t.Helper()
	found := regexp.MustCompile(`,"`+name+`":"(007[^"]*)"`).FindAllStringSubmatchIndex(body, -1)
	if len(found) != 1 {
		t.Fatalf("%d members %s with a token, want 1", len(found), name)
	}
	at := found[0]
	return body[:at[0]] + body[at[1]:], body[at[2]:at[3]]
}

// The vendor refuses a join without a token that verifies for its channel and
// agent; the sidecar starts one that has none.
func TestJoinWithoutATokenStartsAnAgent(t *testing.T) {
	vendor, url := newSimulator(t, simulator.Options{
		Projects:         []simulator.Project{{AppID: appA, AppCertificate: certificateA, CustomerID: "me", CustomerSecret: "secret"}},
		RequireRTM:       true,
		RequireBodyToken: true,
		VerifyBodyToken:  true,
	})
	const (
		issue    = `{"name":"a","properties":{"channel":"room-1","agent_rtc_uid":"1001","remote_rtc_uids":["1002"]}}`
		assigned = `{"name":"b","properties":{"channel":"room-1","agent_rtc_uid":"0","remote_rtc_uids":["1002"],"advanced_features":{"enable_rtm":true}}}`
		named    = `{"name":"c","properties":{"channel":"räum","agent_rtc_uid":"agent","enable_string_uid":true,"remote_rtc_uids":["*"]}}`
	)
	for _, mode := range []struct{ name, settings string }{
		{"app credentials", ""},
		{"scope app", "scope app"},
		{"Basic", "customer_id me\ncustomer_secret {env.SECRET}"},
		{"a token made elsewhere", "auth_token {env.TOKEN}"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			side := start(t, site(credentialsA, mode.settings, "upstream "+url, "transport http {\n tls_trust_pool file <CA>\n }"),
				append(envA, "SECRET=secret", "TOKEN="+preBuilt(t, time.Now().Add(time.Hour)))...)
			for _, test := range []struct {
				body string
				want []token.Service
			}{
				{issue, servicesFor("room-1", "1001")},
				{assigned, servicesFor("room-1", "0")},
				{named, servicesFor("räum", "agent")},
			} {
				vendor.ResetCalls()
				body := strings.Replace(test.body, `"name":"`, `"name":"`+mode.name, 1)
				if a := side.send("POST", "/v2/projects/_/join", body, "Content-Type: application/x-www-form-urlencoded"); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"agent_id"`) {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
				calls := vendor.Calls()
				if len(calls) != 1 {
					t.Fatalf("%d calls came, want 1", len(calls))
				}
				rest, made := cutMember(t, string(calls[0].Body), "token")
				if rest != body {
					t.Errorf("the rest of the body is %s\nwant %s", rest, body)
				}
				wantToken(t, "body", made, appA, certificateA, test.want)
				if strings.Contains(calls[0].Header.Get("Authorization"), made) {
					t.Error("the header's token is the body's")
				}
			}
		})
	}
}

// What another implementation reads in a token that is not compressed.
func TestBodyTokenIsReadByOtherImplementations(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	side.send("POST", joinA, `{"properties":{"channel":"room-7","agent_rtc_uid":"1001"}}`)
	_, made := cutMember(t, up.only(t).body, "token")
	checkToken(t, made, appA, certificateA, "room-7", "1001")
}

func TestEachBodyGetsATokenOfItsOwn(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	bodies, headers := map[string]bool{}, map[string]bool{}
	for range 3 {
		up.reset()
		side.send("POST", joinA, `{"properties":{"channel":"room-7","agent_rtc_uid":"1001"}}`)
		got := up.only(t)
		_, made := cutMember(t, got.body, "token")
		bodies[made], headers[got.token(t)] = true, true
		if headers[made] {
			t.Error("a body has a token of a header")
		}
	}
	if len(bodies) != 3 || len(headers) != 1 {
		t.Errorf("%d tokens in bodies and %d in headers, want 3 and 1", len(bodies), len(headers))
	}
}

// complete is a body of a size that lacks nothing, with all that an editor could
// spoil.
func complete(size int) string {
	const head = "{ \"x\":1.0,\"x\":1e+2 ,\r\n\t\"ä\":\"\\u00e4\\/\\ud83d\\ude00😀\", \"properties\" : {\"token\":null,\"channel\":\"old\", \"channel\":\"room-1\",\"token\":\"given\",\"n\":12345678901234567890,\"pad\":\""
	const tail = "\"} , \"\":[ ] }\n"
	return head + strings.Repeat("p", max(0, size-len(head)-len(tail))) + tail
}

func TestBodyThatLacksNothingArrivesAsItWas(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	for _, size := range []int{0, 1 << 10, 4<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 - 1, 1 << 20} {
		for _, path := range []string{joinA, callA} {
			roundTrip(t, side, up, path, complete(size), complete(size))
		}
	}
	for _, size := range []int{1, 2, 511, 512, 1 << 10, 64 << 10, 1 << 20} {
		// Bodies that nobody has to read may hold anything.
		for _, path := range []string{speakA, updateA} {
			roundTrip(t, side, up, path, strings.Repeat("\xff", size), strings.Repeat("\xff", size))
		}
	}
	wantError(t, side.send("POST", joinA, complete(1<<20+1)), http.StatusRequestEntityTooLarge, "BodyTooLarge")
}

// roundTrip sends a body with its length and in chunks, and checks what arrives;
// want "" leaves that to the caller, who gets it.
func roundTrip(t *testing.T, side *sidecar, up *upstream, path, body, want string) (arrived string) {
	t.Helper()
	for _, chunked := range []bool{false, true} {
		up.reset()
		var content interface{ Read([]byte) (int, error) } = strings.NewReader(body)
		if chunked {
			content = struct{ *bytes.Buffer }{bytes.NewBufferString(body)} // of a length that net/http does not know
		}
		r, err := http.NewRequest("POST", side.url+path, content)
		if err != nil {
			t.Fatal(err)
		}
		res, err := side.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s of %d bytes, chunked %v: %d", path, len(body), chunked, res.StatusCode)
		}
		got := up.only(t)
		if arrived = got.body; want != "" && arrived != want {
			t.Errorf("%s of %d bytes, chunked %v: %d other bytes arrived", path, len(body), chunked, len(arrived))
		}
		if length := got.header.Get("Content-Length"); length != itoa(len(arrived)) {
			t.Errorf("%s of %d bytes, chunked %v: Content-Length %q for %d bytes", path, len(body), chunked, length, len(arrived))
		}
	}
	return arrived
}

func TestBodyOfAnySizeIsCompleted(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	for _, size := range []int{0, 1 << 10, 64 << 10, 1 << 20} {
		body := strings.Replace(complete(size), `"token":"given"`, `"taken":"given"`, 1)
		got := roundTrip(t, side, up, joinA, body, "")
		made := regexp.MustCompile(`"token":"(007[^"]*)"`).FindStringSubmatch(got)
		if made == nil || strings.Replace(got, `"`+made[1]+`"`, "null", 1) != body {
			t.Fatalf("of %d bytes: more has changed than the token that was null", size)
		}
		wantToken(t, "body", made[1], appA, certificateA, servicesFor("room-1", "0"))
	}
}

func TestAvatarIsCompletedAsTheSDKsDo(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	for _, test := range []struct {
		vendor         string
		token, session bool
	}{
		{"heygen", true, false}, {"liveavatar", true, false}, {"generic", true, true}, {"akool", false, false}, {"anam", false, false},
	} {
		for _, uid := range []string{"", "2001"} {
			for _, enable := range []bool{true, false} {
				params := map[string]any{"quality": "high"}
				if uid != "" {
					params["agora_uid"] = uid
				}
				avatar := map[string]any{"enable": enable, "vendor": test.vendor, "params": params}
				body, _ := json.Marshal(map[string]any{"name": "a", "properties": map[string]any{
					"channel": "room-1", "agent_rtc_uid": "1001", "token": "given", "avatar": avatar,
				}})
				up.reset()
				side.send("POST", joinA, string(body))
				got := up.only(t).body
				name := fmt.Sprintf("%s with uid %q, enabled %v", test.vendor, uid, enable)

				made := tokenAt(t, got, "properties", "avatar", "params", "agora_token")
				if enable && test.token && uid != "" {
					params["agora_token"] = made
					wantToken(t, name, made, appA, certificateA, servicesFor("room-1", uid))
				} else if made != "" {
					t.Errorf("%s: a token was filled in", name)
				}
				if enable && test.session {
					params["agora_appid"], params["agora_channel"] = appA, "room-1"
				}
				var arrived struct {
					Properties struct{ Avatar map[string]any }
				}
				if err := json.Unmarshal([]byte(got), &arrived); err != nil || !reflect.DeepEqual(arrived.Properties.Avatar, avatar) {
					t.Errorf("%s: %v, want %v", name, arrived.Properties.Avatar, avatar)
				}
				if params["agora_token"] == nil && params["agora_appid"] == nil && got != string(body) {
					t.Errorf("%s: the body has changed", name)
				}
			}
		}
	}
}

func TestCallIsCompletedForBothSides(t *testing.T) {
	vendor, url := newSimulator(t, simulator.Options{
		Projects:         []simulator.Project{{AppID: appA, AppCertificate: certificateA}},
		RequireBodyToken: true, VerifyBodyToken: true,
	})
	side := start(t, site(credentialsA, "upstream "+url, "transport http {\n tls_trust_pool file <CA>\n }"), envA...)
	const body = `{"name":"c","sip":{"to_number":"+19876543210","from_number":"+11234567890","rtc_uid":"100"},"properties":{"channel":"room-1","agent_rtc_uid":"111","remote_rtc_uids":["100"]}}`
	if a := side.send("POST", "/v2/projects/_/call", body); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	rest, agent := cutMember(t, string(vendor.Calls()[0].Body), "token")
	rest, gateway := cutMember(t, rest, "rtc_token")
	if rest != body {
		t.Errorf("the rest of the body is %s", rest)
	}
	wantToken(t, "agent", agent, appA, certificateA, servicesFor("room-1", "111"))
	wantToken(t, "gateway", gateway, appA, certificateA, servicesFor("room-1", "100"))
}

// An update is never completed: its token is the caller's to renew.
func TestUpdateStaysAsItIs(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	for _, body := range []string{`{"properties":{"channel":"c","token":""}}`, `{"properties":{}}`, `not JSON`} {
		up.reset()
		side.send("POST", updateA, body)
		if got := up.only(t).body; got != body {
			t.Errorf("sent %s for %s", got, body)
		}
	}
}

func TestBodiesThatMustBeReadAreRefusedInEveryMode(t *testing.T) {
	up := newUpstream(t, nil)
	for _, mode := range []struct{ name, settings string }{
		{"scope app", "scope app"},
		{"Basic", "customer_id me\ncustomer_secret {env.SECRET}"},
		{"a token made elsewhere", "auth_token {env.TOKEN}"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			env := append(envA, "SECRET=secret", "TOKEN="+preBuilt(t, time.Now().Add(time.Hour)))
			on := start(t, site(credentialsA, mode.settings, "max_body 1KiB", to(up)), env...)
			off := start(t, site(credentialsA, mode.settings, "max_body 1KiB", "fill_tokens off", to(up)), env...)
			for _, body := range []string{
				"", "{", "[]", "null", `{"channel":"room"}`, `{"properties":{}}`, `{"properties":{"channel":""}}`,
				`{"properties":{"channel":7,"token":"given"}}`, `{"properties":{"channel":"` + strings.Repeat("ä", 32) + `"}}`,
				`{"properties":{"channel":"room"}}{}`, strings.Repeat("[", 1000),
			} {
				up.reset()
				wantError(t, on.send("POST", joinA, body), http.StatusBadRequest, "InvalidRequestBody")
				wantError(t, on.send("POST", callA, body), http.StatusBadRequest, "InvalidRequestBody")
				if len(up.received()) != 0 {
					t.Errorf("%.40s was sent", body)
				}
				if a := off.send("POST", joinA, body); a.StatusCode != http.StatusOK || up.only(t).body != body {
					t.Errorf("%.40s: with nothing to fill, %d", body, a.StatusCode)
				}
			}
			wantError(t, on.send("POST", joinA, complete(1025)), http.StatusRequestEntityTooLarge, "BodyTooLarge")
		})
	}
}

// Two apps, one channel, one uid: each call and each body has its own app's
// tokens, in whatever order they come.
func TestTokensOfTwoAppsAreEachAppsOwn(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(
		"app {env.A_ID} {\n app_certificate {env.A_CERT}\n}",
		"app "+appB+" {\n app_certificate {env.B_CERT}\n}",
		to(up)), append(envA, "B_CERT="+certificateB)...)
	for _, app := range []struct{ id, certificate string }{{appA, certificateA}, {appB, certificateB}, {appA, certificateA}, {appB, certificateB}} {
		up.reset()
		side.send("POST", pathOf(app.id, "/join"), `{"properties":{"channel":"room","agent_rtc_uid":"1","avatar":{"vendor":"generic","params":{"agora_uid":"2"}}}}`)
		got := up.only(t)
		wantToken(t, "header", got.token(t), app.id, app.certificate, services("room", "1", "1"))
		wantToken(t, "body", tokenAt(t, got.body, "properties", "token"), app.id, app.certificate, servicesFor("room", "1"))
		wantToken(t, "avatar", tokenAt(t, got.body, "properties", "avatar", "params", "agora_token"), app.id, app.certificate, servicesFor("room", "2"))
		if id := tokenAt(t, got.body, "properties", "avatar", "params", "agora_appid"); id != app.id {
			t.Errorf("the avatar of app %s is told app %s", app.id, id)
		}
	}
}

func TestFillTokensOfADirectiveGoesBeforeTheGlobalOne(t *testing.T) {
	up := newUpstream(t, nil)
	const body = `{"properties":{"channel":"c"}}`
	for _, test := range []struct {
		global, own string
		fills       bool
	}{{"", "", true}, {"fill_tokens off", "", false}, {"fill_tokens off", "fill_tokens on", true}, {"fill_tokens on", "fill_tokens off", false}} {
		config := "{\n\tadmin off\n\tpersist_config off\n\tconvoai {" + credentialsA + "\n\t" + test.global + "\n\t}\n}\n" + siteAt("<PORT>", test.own, to(up))
		side := start(t, config, envA...)
		up.reset()
		side.send("POST", joinA, body)
		if got := up.only(t).body != body; got != test.fills {
			t.Errorf("global %q, own %q: filled: %v", test.global, test.own, got)
		}
	}
}

func TestAppsThatCannotBeFilledAreNamedOnceAtLoad(t *testing.T) {
	const warning = "are not filled, for want of app_certificate"
	basicB := "app " + appB + " {\n customer_id me\n customer_secret {env.SECRET}\n}"
	for _, test := range []struct {
		name, config string
		want         int
	}{
		{"with a certificate", site(credentialsA), 0},
		{"Basic", site("app_id "+appB, "customer_id me", "customer_secret {env.SECRET}"), 1},
		{"Basic beside a certificate", site(credentialsA, "customer_id me", "customer_secret {env.SECRET}"), 0},
		{"one of two apps", site(credentialsA, basicB), 1},
		{"switched off", site(basicB, "fill_tokens off"), 0},
		{"on two sites", global + siteAt("<PORT>", basicB) + siteAt("<PORT2>", basicB), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			side := start(t, test.config, append(envA, "SECRET=secret")...)
			side.stop()
			log := side.stderr.String()
			if got := strings.Count(log, warning); got != test.want {
				t.Errorf("%d warnings, want %d", got, test.want)
			}
			if test.want == 1 && (!strings.Contains(log, appB) || strings.Contains(log, appA)) {
				t.Error("the warning does not name the app")
			}
		})
	}
}

// Not at any level, whatever becomes of the call, and neither what was sent nor
// what was filled in.
func TestNothingOfABodyIsLogged(t *testing.T) {
	const canary = "canary-93c1"
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/call") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	config := "{\n\tadmin off\n\tpersist_config off\n\tdebug\n}\n" +
		strings.Replace(siteAt("<PORT>", credentialsA, to(up)), "convoai {", "log\n\tconvoai {", 1) +
		strings.Replace(siteAt("<PORT2>", credentialsA, "max_body 64", "upstream https://127.0.0.1:"+freePort(t)), "convoai {", "log\n\tconvoai {", 1)
	side := start(t, config, envA...)
	good := `{"name":"` + canary + `","properties":{"channel":"` + canary + `","agent_rtc_uid":"` + canary + `","x":"` + canary + `"}}`
	for _, path := range []string{joinA, callA, updateA, speakA} {
		for _, body := range []string{good, canary, `{"` + canary + `":`, `{"properties":{"channel":["` + canary + `"]}}`, `{"properties":{"channel":"` + strings.Repeat(canary, 7) + `"}}`} {
			side.send("POST", path, body)
			side.send("POST", "http://127.0.0.1:"+side.other+path, body)
			side.send("POST", "http://127.0.0.1:"+side.other+path, `{"properties":{"channel":"`+canary+`"}}`)
		}
	}
	var filled []string
	for _, got := range up.received() {
		if made := tokenAt(t, orObject(got.body), "properties", "token"); made != "" {
			filled = append(filled, made)
		}
	}
	if len(filled) < 2 {
		t.Fatal("no body was filled")
	}
	side.stop()
	log := side.stdout.String() + side.stderr.String()
	if !strings.Contains(log, `"level":"debug"`) || !strings.Contains(log, "handled request") || !strings.Contains(log, "UpstreamUnreachable") {
		t.Fatal("the log does not hold what it is searched in")
	}
	if strings.Contains(log, canary) {
		t.Error("something of a body was logged")
	}
	for _, made := range filled {
		if strings.Contains(log, made) || strings.Contains(log, made[3:40]) {
			t.Error("a body's token was logged")
		}
	}
}

// orObject is body if it is a JSON object.
func orObject(body string) string {
	if json.Valid([]byte(body)) && strings.HasPrefix(body, "{") {
		return body
	}
	return "{}"
}

// step is one call of an application that uses the vendor's SDK.
type step struct{ operation, method, path, body string }

// sdkSteps are the calls of a session, a phone call and the phone numbers, in the
// order in which an SDK makes them.
var sdkSteps = []step{
	{"start", "POST", "/join", `{"name":"a","properties":{"channel":"room-1","agent_rtc_uid":"1001","remote_rtc_uids":["1002"]}}`},
	{"query", "GET", "/agents/agent-1", ""},
	{"list", "GET", "/agents?channel=room-1&limit=1", ""},
	{"update", "POST", "/agents/agent-1/update", `{"properties":{"llm":{}}}`},
	{"say", "POST", "/agents/agent-1/speak", `{"text":"hello"}`},
	{"think", "POST", "/agents/agent-1/think", `{"text":"hello"}`},
	{"interrupt", "POST", "/agents/agent-1/interrupt", `{}`},
	{"history", "GET", "/agents/agent-1/history", ""},
	{"turns", "GET", "/agents/agent-1/turns?page_index=1", ""},
	{"stop", "POST", "/agents/agent-1/leave", ""},
	{"call", "POST", "/call", `{"name":"c","sip":{"rtc_uid":"100"},"properties":{"channel":"room-2","agent_rtc_uid":"1003"}}`},
	{"calls", "GET", "/call", ""},
	{"query call", "GET", "/calls/agent-2", ""},
	{"hangup", "POST", "/calls/agent-2/hangup", `{}`},
	{"numbers", "GET", "/v2/phone-numbers", ""},
	{"add number", "POST", "/v2/phone-numbers", `{"phone_number":"+4912345"}`},
	{"query number", "GET", "/v2/phone-numbers/+4912345", ""},
	{"change number", "PATCH", "/v2/phone-numbers/+4912345", `{}`},
	{"delete number", "DELETE", "/v2/phone-numbers/+4912345", ""},
}

func TestSDKsRunIsCarriedOutInEveryModeAndScope(t *testing.T) {
	preBuiltToken := preBuilt(t, time.Now().Add(time.Hour))
	session := map[string][2]string{"start": {"room-1", "1001"}, "call": {"room-2", "1003"}}
	for _, mode := range []struct{ name, settings, header string }{
		{"app credentials", "", ""},
		{"Basic", "customer_id me\ncustomer_secret {env.SECRET}", basic("me", "secret")},
		{"a token made elsewhere", "auth_token {env.TOKEN}", "agora token=" + preBuiltToken},
	} {
		for _, scope := range []string{"session", "app"} {
			for _, area := range []struct{ name, prefix string }{{"us", "/api/conversational-ai-agent"}, {"cn", "/cn/api/conversational-ai-agent"}} {
				t.Run(mode.name+", scope "+scope+", area "+area.name, func(t *testing.T) {
					t.Parallel()
					up := newUpstream(t, nil)
					side := start(t, site("area "+area.name, "scope "+scope, credentialsA, mode.settings,
						"app "+appB+" {\n app_certificate {env.B_CERT}\n}", to(up)),
						append(envA, "B_CERT="+certificateB, "SECRET=secret", "TOKEN="+preBuiltToken)...)
					for _, base := range []struct{ prefix, appID, slash string }{
						{area.prefix, appA, ""}, // AGORA_AGENTS_API_BASE_URL, and the SDKs' own options
						{area.prefix, appA, "/"},
						{"", "_", ""},
					} {
						for _, s := range sdkSteps {
							path, query, found := strings.Cut(s.path, "?")
							if !strings.HasPrefix(path, "/v2/") {
								path = "/v2/projects/" + base.appID + path
							}
							target := base.prefix + path + base.slash
							want := area.prefix + strings.Replace(path, "/_/", "/"+appA+"/", 1)
							if found {
								target, want = target+"?"+query, want+"?"+query
							}
							up.reset()
							if a := side.send(s.method, target, s.body, "Authorization: agora token=", "User-Agent: agora-agents/v2.6.0"); a.StatusCode != http.StatusOK {
								t.Errorf("%s: %d %s", s.operation, a.StatusCode, a.body)
								continue
							}
							got := up.only(t)
							if got.method != s.method || got.uri != want {
								t.Errorf("%s: sent %s %s, want %s %s", s.operation, got.method, got.uri, s.method, want)
							}
							signed, bySession := session[s.operation]
							if mode.header != "" {
								if got.authorization(t) != mode.header {
									t.Errorf("%s: not the credential that is configured", s.operation)
								}
							} else {
								channel, account := "stop", "0"
								if bySession && scope == "session" {
									channel, account = signed[0], signed[1]
								}
								wantToken(t, s.operation, got.token(t), appA, certificateA, services(channel, account, account))
							}
							if !bySession {
								if got.body != s.body {
									t.Errorf("%s: sent the body %s", s.operation, got.body)
								}
								continue
							}
							wantToken(t, s.operation+", body", tokenAt(t, got.body, "properties", "token"), appA, certificateA, servicesFor(signed[0], signed[1]))
							if s.operation == "call" {
								wantToken(t, "call, gateway", tokenAt(t, got.body, "sip", "rtc_token"), appA, certificateA, servicesFor("room-2", "100"))
							}
						}
					}
				})
			}
		}
	}
	operations := make([]string, len(sdkSteps))
	for i, s := range sdkSteps {
		operations[i] = s.operation
	}
	if slices.Sort(operations); len(slices.Compact(operations)) != len(sdkSteps) {
		t.Error("a step stands there twice")
	}
}
