package tokenserver

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	formType      = "application/x-www-form-urlencoded"
	ginJSON       = "application/json; charset=utf-8"
	rtcPublisher  = `[{"type":1,"name":"rtc","privileges":{"1":3600,"2":3600,"3":3600,"4":3600},"channel":"c","account":"u"}]`
	rtcSubscriber = `[{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"c","account":"u"}]`
	rtmOnly       = `[{"type":2,"name":"rtm","privileges":{"1":3600},"account":"u"}]`
	streamToken   = `[{"type":1,"name":"rtc","privileges":{"1":3600,"4":3600},"channel":"c","account":"u"},{"type":2,"name":"rtm","privileges":{"1":3600},"account":"u"}]`
	chatUserToken = `[{"type":5,"name":"chat","privileges":{"1":3600},"account":"u"}]`
	chatAppToken  = `[{"type":5,"name":"chat","privileges":{"2":3600},"account":""}]`
)

// dialectCase is a request that a client of a dialect makes, and its answer.
type dialectCase struct {
	name, dialect      string
	method, path, body string
	contentType        string // of the request
	answerType         string
	answer             string // the members by name, sorted; a token is called by what is in tokens
	tokens             map[string]string
}

func form(pairs ...string) string { return strings.Join(pairs, "&") }

var dialectCases = []dialectCase{
	// The curl line of the guide on tokens.
	{"guide", "docker", "POST", "/token/generate",
		`{"channelName": "channel_name_test","uid": "12345678","tokenExpireTs": 3600,"privilegeExpireTs": 3600,"serviceRtc": {"enable": true,"role": 1}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{
			"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600,"2":3600,"3":3600,"4":3600},"channel":"channel_name_test","account":"12345678"}]`}},
	{"every service", "docker", "POST", "/token/generate",
		`{"channelName":"c","uid":"u","tokenExpireTs":600,"privilegeExpireTs":60,"serviceRtc":{"enable":true,"role":2},"serviceRtm":{"enable":true},"serviceFpa":{"enable":true},
		  "serviceChat":{"enableUser":true,"userUuid":"chatter"},"serviceApaas":{"enableUser":true,"userUuid":"pupil"}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{
			"A": `600 [{"type":1,"name":"rtc","privileges":{"1":60},"channel":"c","account":"u"},{"type":2,"name":"rtm","privileges":{"1":600},"account":"u"},` +
				`{"type":4,"name":"fpa","privileges":{"1":0}},{"type":5,"name":"chat","privileges":{"1":600},"account":"chatter"},` +
				`{"type":7,"name":"education","privileges":{"2":600},"room":"","account":"pupil","role":-1}]`}},
	{"user and app of a service", "docker", "POST", "/token/generate",
		`{"tokenExpireTs":600,"serviceChat":{"enableUser":true,"enableApp":true,"userUuid":"u"},"serviceEducation":{"enableApp":true}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{
			"A": `600 [{"type":5,"name":"chat","privileges":{"1":600},"account":"u"},{"type":5,"name":"chat","privileges":{"2":600},"account":""},` +
				`{"type":7,"name":"education","privileges":{"3":600},"room":"","account":"","role":-1}]`}},
	{"no lifetimes", "docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{"A": "3600 " + rtcSubscriber}},
	{"privilege that outlives the token", "docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","tokenExpireTs":3600,"privilegeExpireTs":7200,"serviceRtc":{"enable":true}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{"A": "3600 " + rtcSubscriber}},
	{"names in other cases, other members, null, no Content-Type", "docker", "POST", "/token/generate",
		`{"ChannelName":"c","UID":"u","tokenExpireTs":null,"tenant":{"a":[1]},"serviceRtc":{"Enable":true,"codec":"vp8"},"serviceRtm":null}`,
		"", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{"A": "3600 " + rtcSubscriber}},
	{"as curl sends it without a header", "docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true}}`,
		formType, ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{"A": "3600 " + rtcSubscriber}},
	{"wildcards", "docker", "POST", "/token/generate", `{"tokenExpireTs":60,"serviceRtc":{"enable":true}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{
			"A": `60 [{"type":1,"name":"rtc","privileges":{"1":60},"channel":"","account":""}]`}},
	{"the text 0", "docker", "POST", "/token/generate", `{"channelName":"c","uid":"0","tokenExpireTs":60,"serviceRtc":{"enable":true}}`,
		"application/json", ginJSON, `{"code":0,"data":{"token":"A"},"message":"Success"}`, map[string]string{
			"A": `60 [{"type":1,"name":"rtc","privileges":{"1":60},"channel":"c","account":"0"}]`}},

	// What the sample client of the guide sends.
	{"guide", "rtc", "POST", "/fetch_rtc_token", `{"uid":1234,"ChannelName":"demo","role":1}`,
		"application/json; charset=UTF-8", "application/json", `{"code":"200","token":"A"}`, map[string]string{
			"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600,"2":3600,"3":3600,"4":3600},"channel":"demo","account":"1234"}]`}},
	{"subscriber", "rtc", "POST", "/fetch_rtc_token", `{"uid":1234,"ChannelName":"demo","role":2}`,
		"application/json", "application/json", `{"code":"200","token":"A"}`, map[string]string{
			"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"demo","account":"1234"}]`}},
	{"uid 0, as text", "rtc", "POST", "/fetch_rtc_token", `{"uid":0,"channelname":"demo"}`,
		"text/plain;charset=UTF-8", "application/json", `{"code":"200","token":"A"}`, map[string]string{
			"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"demo","account":""}]`}},

	// The curl lines of the guide on Chat.
	{"guide, user", "chat-go", "POST", "/generate-user-token", `{"user_uuid": "u", "expire": 3600}`,
		"application/json", plainText, `{"token":"A"}`, map[string]string{"A": "3600 " + chatUserToken}},
	{"guide, app", "chat-go", "POST", "/generate-app-token", `{"expire": 3600}`,
		"application/json", plainText, `{"token":"A"}`, map[string]string{"A": "3600 " + chatAppToken}},
	{"without a lifetime", "chat-go", "POST", "/generate-app-token", `{}`,
		"application/json", plainText, `{"token":"A"}`, map[string]string{"A": "3600 " + chatAppToken}},
	{"guide, user", "chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=3600", "",
		"", ginJSON, `{"status":"success","token":"A"}`, map[string]string{"A": "3600 " + chatUserToken}},
	{"guide, app", "chat-node", "GET", "/api/token/generateAppToken?expireTimeInSeconds=3600", "",
		"", ginJSON, `{"status":"success","token":"A"}`, map[string]string{"A": "3600 " + chatAppToken}},
	{"without a lifetime", "chat-node", "GET", "/api/token/generateUserToken?other=1&account=u&expireTimeInSeconds=", "",
		"", ginJSON, `{"status":"success","token":"A"}`, map[string]string{"A": "3600 " + chatUserToken}},
	{"guide, user", "chat-python", "GET", "/api/token/generateUserToken?account=123456789&expireTimeInSeconds=3600", "",
		"", "application/json", `{"token":"A"}`, map[string]string{"A": `3600 [{"type":5,"name":"chat","privileges":{"1":3600},"account":"123456789"}]`}},
	{"guide, app", "chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=3600", "",
		"", "application/json", `{"token":"A"}`, map[string]string{"A": "3600 " + chatAppToken}},
	{"guide, user", "chat-java", "POST", "/token/generate", form("userId=u", "expireSeconds=3600", "tokenType=user"),
		formType, "text/plain;charset=UTF-8", "A", map[string]string{"A": "3600 " + chatUserToken}},
	{"guide, app", "chat-java", "POST", "/token/generate", form("userId=testUser", "expireSeconds=3600", "tokenType=APP"),
		formType, "text/plain;charset=UTF-8", "A", map[string]string{"A": "3600 " + chatAppToken}},
	{"blank type", "chat-java", "POST", "/token/generate", form("userId=u", "expireSeconds=3600", "tokenType="),
		formType, "text/plain;charset=UTF-8", "A", map[string]string{"A": "3600 " + chatUserToken}},
	{"default type, encoded", "chat-java", "POST", "/token/generate", form("userId=j%C3%B6rg+1", "expireSeconds=60"),
		formType + "; charset=UTF-8", "text/plain;charset=UTF-8", "A", map[string]string{
			"A": `60 [{"type":5,"name":"chat","privileges":{"1":60},"account":"jörg 1"}]`}},

	{"ping", "token-service", "GET", "/ping", "", "", ginJSON, `{"message":"pong"}`, nil},
	{"rtc", "token-service", "POST", "/getToken", `{"tokenType":"rtc","channel":"c","role":"publisher","uid":"u","expire":3600}`,
		"application/json", ginJSON, `{"token":"A"}`, map[string]string{"A": "3600 " + rtcPublisher}},
	{"rtc with a number", "token-service", "POST", "/getToken", `{"tokenType":"rtc","channel":"c","role":"audience","uid":"007"}`,
		"application/json", ginJSON, `{"token":"A"}`, map[string]string{"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"c","account":"7"}]`}},
	{"rtm", "token-service", "POST", "/getToken", `{"tokenType":"rtm","uid":"u"}`,
		"application/json", ginJSON, `{"token":"A"}`, map[string]string{"A": "3600 " + rtmOnly}},
	{"rtm with a channel", "token-service", "POST", "/getToken", `{"tokenType":"rtm","uid":"u","channel":"c"}`,
		"application/json", ginJSON, `{"token":"A"}`, map[string]string{"A": "3600 " + streamToken}},
	{"chat user", "token-service", "POST", "/getToken", `{"tokenType":"chat","uid":"u"}`,
		"application/json", ginJSON, `{"token":"A"}`, map[string]string{"A": "3600 " + chatUserToken}},
	{"chat app", "token-service", "POST", "/getToken", `{"tokenType":"chat"}`,
		"application/json", ginJSON, `{"token":"A"}`, map[string]string{"A": "3600 " + chatAppToken}},
	{"older rtc", "token-service", "GET", "/rtc/c/publisher/userAccount/u/?expiry=3600", "",
		"", ginJSON, `{"rtcToken":"A"}`, map[string]string{"A": "3600 " + rtcPublisher}},
	{"older rtc, uid, no slash at the end", "token-service", "GET", "/rtc/a%20%7C%25/subscriber/uid/0", "",
		"", ginJSON, `{"rtcToken":"A"}`, map[string]string{"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"a |%","account":""}]`}},
	{"older rtm", "token-service", "GET", "/rtm/u/?expiry=3600", "",
		"", ginJSON, `{"rtmToken":"A"}`, map[string]string{"A": "3600 " + rtmOnly}},
	{"older rte", "token-service", "GET", "/rte/c/publisher/userAccount/u/", "",
		"", ginJSON, `{"rtcToken":"A","rtmToken":"B"}`, map[string]string{"A": "3600 " + rtcPublisher, "B": "3600 " + streamToken}},
	{"older rte, two users", "token-service", "GET", "/rte/c/subscriber/uid/0/u/", "",
		"", ginJSON, `{"rtcToken":"A","rtmToken":"B"}`, map[string]string{
			"A": `3600 [{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"c","account":""}]`, "B": "3600 " + streamToken}},
	{"older chat app", "token-service", "GET", "/chat/app/?expiry=3600", "",
		"", ginJSON, `{"chatToken":"A"}`, map[string]string{"A": "3600 " + chatAppToken}},
	{"older chat user", "token-service", "GET", "/chat/account/u/", "",
		"", ginJSON, `{"chatToken":"A"}`, map[string]string{"A": "3600 " + chatUserToken}},
}

func TestDialects(t *testing.T) {
	servers := map[string]http.Handler{}
	for name := range dialects {
		servers[name] = serve(t, "dialects "+name+"\n"+allowAll)
	}
	for _, test := range dialectCases {
		t.Run(test.dialect+" "+test.name, func(t *testing.T) {
			got := ask(t, servers[test.dialect], asked{
				method: test.method, path: test.path, body: test.body, header: map[string]string{"Content-Type": test.contentType},
			})
			if got.status != 200 || got.header.Get("Content-Type") != test.answerType || got.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%v, %s", got, got.header)
			}
			body := got.body
			for _, name := range slices.Sorted(maps.Keys(test.tokens)) {
				at := strings.Index(body, "007")
				if at < 0 {
					t.Fatalf("no token %s in %s", name, got.body)
				}
				text := body[at:]
				if end := strings.IndexByte(text, '"'); end >= 0 {
					text = text[:end]
				}
				verifyWithVendor(t, text)
				if s := spec(t, text); s != test.tokens[name] {
					t.Errorf("token %s is\n%s, want\n%s", name, s, test.tokens[name])
				}
				body = body[:at] + name + body[at+len(text):]
			}
			if sorted(body) != test.answer {
				t.Errorf("answer %s, want %s", sorted(body), test.answer)
			}
		})
	}
}

// sorted is a JSON object with its members sorted; anything else as it is.
func sorted(body string) string {
	var members map[string]any
	if json.Unmarshal([]byte(body), &members) != nil {
		return body
	}
	out, _ := json.Marshal(members)
	return string(out)
}

// Where two dialects share a path, the Content-Type tells them apart.
func TestDialectsOfOnePath(t *testing.T) {
	server := serve(t, "dialects docker chat-java\n"+allowAll)
	for contentType, want := range map[string]string{
		"application/json": ginJSON,
		"":                 ginJSON, // as the container has it
		formType:           "text/plain;charset=UTF-8",
	} {
		body := `{"channelName":"c","uid":"u","serviceRtc":{"enable":true}}`
		if contentType == formType {
			body = "userId=u&expireSeconds=60"
		}
		got := ask(t, server, asked{path: "/token/generate", body: body, header: map[string]string{"Content-Type": contentType}})
		if got.status != 200 || got.header.Get("Content-Type") != want {
			t.Errorf("%q: %v, %s", contentType, got, got.header.Get("Content-Type"))
		}
	}
	onlyJava := serve(t, "dialects chat-java\n"+allowAll)
	if got := ask(t, onlyJava, asked{path: "/token/generate", body: `{"serviceChat":{"enableUser":true}}`}); got.status != 415 {
		t.Error(got)
	}
}

// malformedDialect are requests that are none, by dialect.
var malformedDialect = []struct{ dialect, method, path, body string }{
	{"docker", "POST", "/token/generate", ``},
	{"docker", "POST", "/token/generate", `[]`},
	{"docker", "POST", "/token/generate", `{}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":false}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":7,"serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":7,"uid":"u","serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":true}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":"true"}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true,"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true,"Enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true,"role":3}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true,"role":"publisher"}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","channelname":"d","uid":"u","serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true},"serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true},"x":1,"x":2}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","tokenExpireTs":"3600","serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","tokenExpireTs":-1,"serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","tokenExpireTs":4294967296,"serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","privilegeExpireTs":0.5,"serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"a/b","uid":"u","serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u\n","serviceRtc":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"uid":"` + strings.Repeat("a", 65) + `","serviceRtm":{"enable":true}}`},
	{"docker", "POST", "/token/generate", `{"serviceChat":{"enableUser":true,"userUuid":"` + strings.Repeat("a", 256) + `"}}`},
	{"docker", "POST", "/token/generate", `{"serviceChat":{"enableUser":true,"userUuid":7}}`},
	{"docker", "POST", "/token/generate", `{"serviceApaas":{"enableApp":true},"serviceEducation":{"enableApp":true}}`},
	{"docker", "POST", "/token/generate", `{"serviceFpa":{"enable":1}}`},
	{"docker", "POST", "/token/generate", `{"channelName":"c","uid":"u","serviceRtc":{"enable":true}}}`},

	{"rtc", "POST", "/fetch_rtc_token", ``},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":"1234","ChannelName":"demo","role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":4294967296,"ChannelName":"demo","role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":-1,"ChannelName":"demo","role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1.5,"ChannelName":"demo","role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1,"ChannelName":["demo"],"role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1,"ChannelName":"demo","role":0}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1,"ChannelName":"demo","role":3}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1,"ChannelName":"demo","role":"1"}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1,"ChannelName":"demo","channelname":"other","role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `{"uid":1,"ChannelName":"` + strings.Repeat("c", 64) + `","role":1}`},
	{"rtc", "POST", "/fetch_rtc_token", `uid=1`},

	{"chat-go", "POST", "/generate-user-token", ``},
	{"chat-go", "POST", "/generate-user-token", `{"user_uuid":7,"expire":60}`},
	{"chat-go", "POST", "/generate-user-token", `{"user_uuid":"u","expire":"60"}`},
	{"chat-go", "POST", "/generate-user-token", `{"user_uuid":"u","user_uuid":"v","expire":60}`},
	{"chat-go", "POST", "/generate-app-token", `{"expire":-60}`},
	{"chat-go", "POST", "/generate-app-token", `null`},
	{"chat-go", "POST", "/generate-app-token", "{\"expire\":60,\"other\":\"\xff\"}"},
	{"chat-go", "POST", "/generate-app-token", `{` + manyMembers + `"expire":60}`},

	{"chat-node", "GET", "/api/token/generateUserToken", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&account=v", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=-1", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=4294967296", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=%ff", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=%zz", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&other=%ff", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=%EF%BF%BD", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&%ff=x", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u;expireTimeInSeconds=60", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=a%00", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=undefined", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=60.5", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=60abc", ``},
	{"chat-node", "GET", "/api/token/generateUserToken?account=u&expireTimeInSeconds=-60", ``},
	{"chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=%2B60", ``},
	{"chat-python", "GET", "/api/token/generateUserToken?user=u", ``},
	{"chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=60s", ``},
	{"chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=60.5", ``},
	{"chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=-60", ``},
	{"chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=undefined", ``},
	{"chat-python", "GET", "/api/token/generateAppToken?expireTimeInSeconds=60&expireTimeInSeconds=60", ``},

	{"chat-java", "POST", "/token/generate", ``},
	{"chat-java", "POST", "/token/generate", `userId=u`},
	{"chat-java", "POST", "/token/generate", `expireSeconds=60`},
	{"chat-java", "POST", "/token/generate", `userId=u&expireSeconds=`},
	{"chat-java", "POST", "/token/generate", `userId=u&expireSeconds=1.5`},
	{"chat-java", "POST", "/token/generate", `userId=u&expireSeconds=60&tokenType=admin`},
	{"chat-java", "POST", "/token/generate", `userId=u&userId=v&expireSeconds=60`},
	{"chat-java", "POST", "/token/generate", `userId=%f&expireSeconds=60`},
	{"chat-java", "POST", "/token/generate", `{"userId":"u"}`},

	{"token-service", "POST", "/getToken", ``},
	{"token-service", "POST", "/getToken", `{}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"fpa"}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"rtc","uid":"u"}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"rtc","channel":"c"}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"rtc","channel":"c","uid":7}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"rtc","channel":"c","uid":"4294967296"}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"rtc","channel":"c","uid":"u","expire":-1}`},
	{"token-service", "POST", "/getToken", `{"tokenType":"rtm","channel":"c"}`},
	{"token-service", "GET", "/rtc/c/publisher/nonsense/0/", ``},
	{"token-service", "GET", "/rtc/c/publisher/uid/test/", ``},
	{"token-service", "GET", "/rtc/c/publisher/uid/-1/", ``},
	{"token-service", "GET", "/rtc/c/publisher/uid/4294967296/", ``},
	{"token-service", "GET", "/rtc/c/publisher/uid/0/?expiry=failing", ``},
	{"token-service", "GET", "/rtc/c/publisher/uid/0/?expiry=1&expiry=2", ``},
	{"token-service", "GET", "/rtc/a%2Fb/publisher/uid/7/", ``},
	{"token-service", "GET", "/rtc/c/publisher/userAccount/a%2Fb/", ``},
	{"token-service", "GET", "/rtc/c/publisher/userAccount/a%2F..%2F..%2F..%2F..%2F..%2F..%2Fx/", ``},
	{"token-service", "GET", "/rtc/c/publisher/userAccount/a%5Cb/", ``},
	{"token-service", "GET", "/rtc/../publisher/uid/7/", ``},
	{"token-service", "GET", "/rtc/%2e%2E/publisher/uid/7/", ``},
	{"token-service", "GET", "/rtc/c/%2e/uid/7/", ``},
	{"token-service", "GET", "/rtm/%2e%2e", ``},
	{"token-service", "GET", "/rte/c/publisher/uid/7/..%2f..%2fx/", ``},
	{"token-service", "GET", "/chat/account/a%2F..%2F..%2F..%2Fx/", ``},
	{"token-service", "GET", "/rtc/%C3%A9/publisher/uid/7/", ``},
	{"token-service", "GET", "/rtm/0/", ``},
	{"token-service", "GET", "/rtm/a%0D%0Ab/", ``},
	{"token-service", "GET", "/rtm/%FF/", ``},
	{"token-service", "GET", "/rte/c/publisher/uid/0/", ``},
	{"token-service", "GET", "/rte/c/publisher/uid/x/u/", ``},
	{"token-service", "GET", "/chat/account/", ``},
	{"token-service", "GET", "/chat/invalid/", ``},
}

func dialectHeader(dialect string) map[string]string {
	if dialect == "chat-java" {
		return map[string]string{"Content-Type": formType}
	}
	return nil
}

func TestDialectsMalformed(t *testing.T) {
	servers := map[string]http.Handler{}
	for name := range dialects {
		servers[name] = serve(t, "dialects "+name+"\n"+allowAll)
	}
	for _, test := range malformedDialect {
		got := ask(t, servers[test.dialect], asked{method: test.method, path: test.path, body: test.body, header: dialectHeader(test.dialect)})
		if got.status != http.StatusBadRequest || got.header.Get("X-Convoai-Error") != "InvalidRequest" || strings.Contains(got.body, "007") {
			t.Errorf("%s %s %s: %v", test.dialect, test.path, test.body, got)
		}
		checkRefusal(t, test.dialect, test.path, got)
	}
}

// checkRefusal checks that an error has the shape that clients of a dialect expect.
func checkRefusal(t *testing.T, dialect, path string, got reply) {
	t.Helper()
	var members map[string]any
	_ = json.Unmarshal([]byte(got.body), &members)
	text := func(name string) bool { s, ok := members[name].(string); return ok && s != "" }
	status := float64(got.status)
	ok := false
	switch dialect {
	case "docker":
		code := float64(-1)
		if got.status == http.StatusForbidden && got.header.Get("X-Convoai-Error") == "NotAllowed" {
			code = -2
		}
		ok = len(members) == 3 && members["code"] == code && members["data"] == "" && text("message")
	case "rtc":
		ok = len(members) == 2 && members["code"] == strconv.Itoa(got.status) && text("token")
	case "chat-go":
		ok = got.status == 400 && strings.HasPrefix(got.body, "Invalid request payload") || len(members) == 2 && members["token"] == "" && text("error")
	case "chat-node", "chat-python":
		ok = len(members) == 1 && text("error")
	case "chat-java":
		ok = len(members) == 5 && members["status"] == status && text("error") && text("message") && text("timestamp") && members["path"] == path
	case "token-service":
		if path == "/getToken" {
			ok = len(members) == 1 && text("error")
		} else {
			ok = len(members) == 2 && members["status"] == status && (text("error") || text("message"))
		}
	}
	if !ok {
		t.Errorf("%s %s: the error has the shape %v", dialect, path, got)
	}
}

// Whatever a dialect asks for, a rule must grant it.
func TestDialectsWithoutARule(t *testing.T) {
	for _, test := range dialectCases {
		if test.tokens == nil {
			continue
		}
		server := serve(t, "dialects "+test.dialect+"\nallow {\nchannels x\naccounts y\n}")
		got := ask(t, server, asked{method: test.method, path: test.path, body: test.body, header: map[string]string{"Content-Type": test.contentType}})
		if got.status != http.StatusForbidden || got.header.Get("X-Convoai-Error") != "NotAllowed" || strings.Contains(got.body, "007") {
			t.Errorf("%s %s: %v", test.dialect, test.name, got)
		}
		path, _, _ := strings.Cut(test.path, "?")
		checkRefusal(t, test.dialect, path, got)
	}
}

// A rule holds for all dialects alike.
func TestDialectsAndTheRule(t *testing.T) {
	server := serve(t, "dialects docker rtc chat-go chat-node chat-java token-service\nallow {\nkinds rtc chat-user\nchannels room-*\naccounts {user}\nmax_expire 10m\n}")
	for _, test := range []struct {
		name, method, path, body, contentType string
		granted                               bool
	}{
		{"docker own", "POST", "/token/generate", `{"channelName":"room-7","uid":"42","tokenExpireTs":86400,"privilegeExpireTs":86400,"serviceRtc":{"enable":true}}`, "application/json", true},
		{"docker other", "POST", "/token/generate", `{"channelName":"room-7","uid":"43","serviceRtc":{"enable":true}}`, "application/json", false},
		{"docker publisher", "POST", "/token/generate", `{"channelName":"room-7","uid":"42","serviceRtc":{"enable":true,"role":1}}`, "application/json", false},
		{"docker with rtm", "POST", "/token/generate", `{"channelName":"room-7","uid":"42","serviceRtc":{"enable":true},"serviceRtm":{"enable":true}}`, "application/json", false},
		{"docker with another's chat", "POST", "/token/generate", `{"channelName":"room-7","uid":"42","serviceRtc":{"enable":true},"serviceChat":{"enableUser":true,"userUuid":"43"}}`, "application/json", false},
		{"docker with own chat", "POST", "/token/generate", `{"channelName":"room-7","uid":"42","serviceRtc":{"enable":true},"serviceChat":{"enableUser":true,"userUuid":"42"}}`, "application/json", true},
		{"docker with the chat app", "POST", "/token/generate", `{"serviceChat":{"enableApp":true,"userUuid":"42"}}`, "application/json", false},
		{"rtc own", "POST", "/fetch_rtc_token", `{"uid":42,"ChannelName":"room-7","role":2}`, "application/json", true},
		{"rtc other", "POST", "/fetch_rtc_token", `{"uid":43,"ChannelName":"room-7","role":2}`, "application/json", false},
		{"rtc anybody", "POST", "/fetch_rtc_token", `{"uid":0,"ChannelName":"room-7","role":2}`, "application/json", false},
		{"rtc elsewhere", "POST", "/fetch_rtc_token", `{"uid":42,"ChannelName":"lobby","role":2}`, "application/json", false},
		{"rtc everywhere", "POST", "/fetch_rtc_token", `{"uid":42,"role":2}`, "application/json", false},
		{"chat-go own", "POST", "/generate-user-token", `{"user_uuid":"42","expire":86400}`, "application/json", true},
		{"chat-go other", "POST", "/generate-user-token", `{"user_uuid":"43"}`, "application/json", false},
		{"chat-go nobody", "POST", "/generate-user-token", `{}`, "application/json", false},
		{"chat-go app", "POST", "/generate-app-token", `{}`, "application/json", false},
		{"chat-node own", "GET", "/api/token/generateUserToken?account=42&expireTimeInSeconds=86400", "", "", true},
		{"chat-node other", "GET", "/api/token/generateUserToken?account=43", "", "", false},
		{"chat-java own", "POST", "/token/generate", "userId=42&expireSeconds=86400", formType, true},
		{"chat-java app", "POST", "/token/generate", "userId=42&expireSeconds=86400&tokenType=app", formType, false},
		{"token-service own", "POST", "/getToken", `{"tokenType":"rtc","channel":"room-7","uid":"42","expire":86400}`, "application/json", true},
		{"token-service own, written otherwise", "POST", "/getToken", `{"tokenType":"rtc","channel":"room-7","uid":"0042"}`, "application/json", true}, // it is for 42
		{"token-service rtm", "POST", "/getToken", `{"tokenType":"rtm","channel":"room-7","uid":"42"}`, "application/json", false},
		{"token-service app by leaving out the uid", "POST", "/getToken", `{"tokenType":"chat"}`, "application/json", false},
		{"older own", "GET", "/rtc/room-7/audience/uid/42/?expiry=86400", "", "", true},
		{"older other", "GET", "/rtc/room-7/audience/uid/43/", "", "", false},
		{"older both", "GET", "/rte/room-7/audience/uid/42/", "", "", false},
	} {
		got := ask(t, server, asked{user: "42", method: test.method, path: test.path, body: test.body, header: map[string]string{"Content-Type": test.contentType}})
		if want := map[bool]int{true: 200, false: 403}[test.granted]; got.status != want || strings.Contains(got.body, "007") != test.granted {
			t.Errorf("%s: %v", test.name, got)
			continue
		}
		if !test.granted {
			continue
		}
		text := got.body[strings.Index(got.body, "007"):]
		text, _, _ = strings.Cut(text, `"`)
		parsed := granted(t, text)
		if parsed.Expire > 3600 || strings.Contains(test.name+test.path+test.body, "86400") && parsed.Expire != 600 {
			t.Errorf("%s: lives %d seconds", test.name, parsed.Expire)
		}
		for _, service := range parsed.Services {
			for _, p := range service.Privileges {
				if p.Expire != parsed.Expire {
					t.Errorf("%s: %s ends after %d of %d seconds", test.name, service.Type, p.Expire, parsed.Expire)
				}
			}
			if service.Account != "42" {
				t.Errorf("%s: for %q", test.name, service.Account)
			}
		}
	}
}
