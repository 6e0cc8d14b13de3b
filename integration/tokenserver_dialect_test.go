package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guideLine is a command line of the vendor's guides and of the community's
// server, as it stands there but for the address.
type guideLine struct{ dialect, curl string }

var guideLines = []guideLine{
	// "Secure authentication with tokens", Deploy a token generator through Docker.
	{"docker", `curl --location 'http://localhost:8080/token/generate' \
--header 'Content-Type: application/json' \
--data '{
    "channelName": "channel_name_test",
    "uid": "12345678",
    "tokenExpireTs": 3600,
    "privilegeExpireTs": 3600,
    "serviceRtc": {
        "enable": true,
        "role": 1
    }
}'`},
	// The same in the container's source.
	{"docker", `curl --location 'http://localhost:8080/token/generate' \
--header 'Content-Type: application/json' \
--data '{
    "channelName": "channel_name_test",
    "uid": "12345678",
    "tokenExpireTs": 3600,
    "privilegeExpireTs": 3600,
    "serviceRtc": {
        "enable": true,
        "role": 1
    },
    "serviceRtm": {
        "enable": true
    }
}'`},
	// The guide's own server, as its Android sample asks it.
	{"rtc", `curl -X POST http://localhost:8082/fetch_rtc_token \
-H "Content-Type: application/json; charset=utf-8" \
-d '{"uid": 1234, "ChannelName": "demo", "role": 1}'`},
	{"rtc", `curl -X POST http://localhost:8082/fetch_rtc_token \
-H "Content-Type: application/json; charset=utf-8" \
-d '{"uid": 1234, "ChannelName": "demo", "role": 2}'`},
	// "Secure authentication with tokens" of Chat, in five languages.
	{"chat-go", `curl -X POST http://localhost:8080/generate-user-token \
-H "Content-Type: application/json" \
-d '{"user_uuid": "test_user", "expire": 3600}'`},
	{"chat-go", `curl -X POST http://localhost:8080/generate-app-token \
-H "Content-Type: application/json" \
-d '{"expire": 3600}'`},
	{"chat-node", `curl "http://localhost:8080/api/token/generateUserToken?account=user123&expireTimeInSeconds=3600"`},
	{"chat-node", `curl "http://localhost:8080/api/token/generateAppToken?expireTimeInSeconds=3600"`},
	{"chat-python", `curl "http://localhost:3001/api/token/generateUserToken?account=123456789&expireTimeInSeconds=3600"`},
	{"chat-python", `curl "http://localhost:3001/api/token/generateAppToken?expireTimeInSeconds=3600"`},
	{"chat-java", `curl -X POST http://localhost:8080/token/generate \
-H "Content-Type: application/x-www-form-urlencoded" \
-d "userId=testUser" \
-d "expireSeconds=3600" \
-d "tokenType=user"`},
	{"chat-java", `curl -X POST http://localhost:8080/token/generate \
-H "Content-Type: application/x-www-form-urlencoded" \
-d "userId=testUser" \
-d "expireSeconds=3600" \
-d "tokenType=app"`},
	// AgoraIO-Community/agora-token-service.
	{"token-service", `curl http://localhost:8080/ping`},
	{"token-service", `curl http://localhost:8080/rtc/testing/publisher/userAccount/1234/`},
	{"token-service", `curl http://localhost:8080/rtc/testing/publisher/uid/1234/`},
	{"token-service", `curl "http://localhost:8080/rtc/testing/subscriber/uid/1234/?expiry=600"`},
	{"token-service", `curl http://localhost:8080/rtm/1234/`},
	{"token-service", `curl http://localhost:8080/rte/testing/publisher/uid/1234/`},
	{"token-service", `curl http://localhost:8080/chat/account/1234/`},
	{"token-service", `curl http://localhost:8080/chat/app/`},
	{"token-service", `curl -X POST http://localhost:8080/getToken -H 'Content-Type: application/json' -d '{"tokenType":"rtc","channel":"testing","role":"publisher","uid":"1234","expire":3600}'`},
	{"token-service", `curl -X POST http://localhost:8080/getToken -H 'Content-Type: application/json' -d '{"tokenType":"rtm","uid":"1234","expire":3600}'`},
	{"token-service", `curl -X POST http://localhost:8080/getToken -H 'Content-Type: application/json' -d '{"tokenType":"chat","uid":"1234","expire":3600}'`},
}

var guideAddress = regexp.MustCompile(`http://localhost:\d+/`)

// curl runs a command line of a guide against s. The rest of its environment may
// be the caller's: a proxy is not.
func (s *sidecar) curl(line string) answer {
	s.t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		s.t.Skip("curl is not installed: the lines of the guides cannot be run")
	}
	line = guideAddress.ReplaceAllString(line, "http://127.0.0.1:"+s.port+"/")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	head := filepath.Join(s.t.TempDir(), "head")
	cmd := exec.CommandContext(ctx, "sh", "-c", line+` -sS --noproxy '*' -D "$HEAD" -w '\n%{http_code} %{content_type}'`)
	cmd.Env = append(os.Environ(), "HEAD="+head)
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	text := string(out)
	at := strings.LastIndexByte(text, '\n')
	status, media, _ := strings.Cut(text[at+1:], " ")
	a := answer{&http.Response{Header: http.Header{"Content-Type": {media}}}, text[:at]}
	if _, err := fmt.Sscan(status, &a.StatusCode); err != nil {
		s.t.Fatal(err)
	}
	headers, err := os.ReadFile(head)
	if err != nil {
		s.t.Fatal(err)
	}
	for header := range strings.Lines(string(headers)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(header), ": "); ok && name != "Content-Type" {
			a.Header.Add(name, value)
		}
	}
	return a
}

var guideTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d`)

// guideGolden is a command line with its answer: status, Content-Type, the body
// but for what differs from run to run, and what the tokens in it grant.
func guideGolden(t *testing.T, line guideLine, a answer) string {
	t.Helper()
	text := fmt.Sprintf("$ %s\n%d %s\n", line.curl, a.StatusCode, a.Header.Get("Content-Type"))
	tokens := varying[0].pattern.FindAllString(a.body, -1)
	body := guideTime.ReplaceAllString(varying[0].pattern.ReplaceAllString(a.body, "<token>"), "<time>")
	text += body
	if !strings.HasSuffix(body, "\n") {
		text += "\\\n" // there is no line feed at its end
	}
	for _, found := range tokens {
		text += "# " + contents(parseToken(t, found)) + "\n"
	}
	return text + "\n"
}

func checkGuideGolden(t *testing.T, name string, got map[string]string) {
	t.Helper()
	for dialect, text := range got {
		file := filepath.Join("testdata", "token-server", dialect+name+".txt")
		if *update {
			writeFile(t, file, text)
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", dialect, text, want)
		}
	}
}

// everyDialect are servers that speak all dialects: two of them have the same
// paths.
func everyDialect(t *testing.T, flags ...string) func(dialect string) *sidecar {
	t.Helper()
	most := tokenCommand(t, vendorEnv, append([]string{"--dialect", "docker,rtc,chat-go,chat-node,chat-java,token-service"}, flags...)...)
	python := tokenCommand(t, vendorEnv, append([]string{"--dialect", "chat-python"}, flags...)...)
	return func(dialect string) *sidecar {
		if dialect == "chat-python" {
			return python
		}
		return most
	}
}

// What is granted in the tests of dialects, app tokens included.
var grantForGuides = []string{"--allow-kinds", "rtc,rtm,chat-user,chat-app", "--allow-channels", "*", "--allow-accounts", "*", "--allow-roles", "publisher subscriber"}

func TestTokenServerAnswersTheGuides(t *testing.T) {
	server := everyDialect(t, grantForGuides...)
	got := map[string]string{}
	for _, line := range guideLines {
		a := server(line.dialect).curl(line.curl)
		if strings.Contains(line.curl, "/ping") != !holdsToken(a.body) || a.StatusCode != http.StatusOK {
			t.Errorf("%s\n%d %s", line.curl, a.StatusCode, excerpt(a.body))
		}
		if !strings.Contains(a.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: Cache-Control is %q", line.curl, a.Header.Get("Cache-Control"))
		}
		got[line.dialect] += guideGolden(t, line, a)
	}
	checkGuideGolden(t, "", got)
}

// What is refused has the shape that the dialect's clients know.
func TestTokenServerRefusesInTheShapeOfTheDialect(t *testing.T) {
	server := everyDialect(t)
	got := map[string]string{}
	for _, line := range guideLines {
		if strings.Contains(line.curl, "/ping") {
			continue
		}
		a := server(line.dialect).curl(line.curl)
		if a.StatusCode != http.StatusForbidden || a.Header.Get("X-Convoai-Error") != "NotAllowed" {
			t.Errorf("%s\n%d %s", line.curl, a.StatusCode, excerpt(a.body))
		}
		wantNoToken(t, line.curl, a.body)
		// Of those that look alike, one.
		if _, shape, _ := strings.Cut(guideGolden(t, guideLine{}, a), "\n"); !strings.Contains(got[line.dialect], shape) {
			got[line.dialect] += guideGolden(t, line, a)
		}
	}
	checkGuideGolden(t, "-refused", got)
}

// Another implementation reads what the dialects grant.
func TestTokenServerTokensAreReadByOthers(t *testing.T) {
	server := everyDialect(t, grantForGuides...)
	token := func(line guideLine, member string) string {
		t.Helper()
		var body map[string]any
		if err := json.Unmarshal([]byte(server(line.dialect).curl(line.curl).body), &body); err != nil {
			t.Fatal(err)
		}
		if data, ok := body["data"].(map[string]any); ok {
			body = data
		}
		text, _ := body[member].(string)
		return text
	}
	got := decode(t, certificateA, token(guideLines[1], "token"), token(guideLines[3], "token"))
	if both := got[0]; !both.Signed || both.AppID != appA || len(both.Services) != 2 || both.Services[0].Type != 1 || both.Services[1].Type != 2 || len(both.Services[0].Privileges) != 4 {
		t.Errorf("python3 reads %+v", both)
	}
	if listens := got[1]; !listens.Signed || len(listens.Services) != 1 || len(listens.Services[0].Privileges) != 1 || listens.Services[0].Names[1] != "1234" {
		t.Errorf("python3 reads %+v", listens)
	}
}

// A dialect that is not switched on is not there.
func TestTokenServerSpeaksNoDialectUnasked(t *testing.T) {
	s := tokenCommand(t, vendorEnv, grantForGuides...)
	for _, line := range guideLines {
		a := s.curl(line.curl)
		if a.StatusCode != http.StatusNotFound || a.Header.Get("X-Convoai-Error") != "NotFound" {
			t.Errorf("%s\n%d %s", line.curl, a.StatusCode, excerpt(a.body))
		}
		wantNoToken(t, line.curl, a.body)
	}
	wantGranted(t, s.ask(`{"kind":"rtc","channel":"room","uid":1}`))
}
