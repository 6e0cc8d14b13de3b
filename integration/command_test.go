package integration

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// payload decompresses a token.
func payload(t *testing.T, token string) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "007"))
	if err != nil {
		t.Fatal("the token is not base64")
	}
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal("the token is not compressed")
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal("the token is not compressed")
	}
	return hex.EncodeToString(content)
}

// vector is one of the vendor's test vectors.
func vector(t *testing.T, name string) (token, payloadHex string) {
	t.Helper()
	text, err := os.ReadFile("../token/testdata/accesstoken2.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name    string `json:"name"`
		Token   string `json:"token"`
		Payload string `json:"payload_hex"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		if v.Name == name {
			return v.Token, v.Payload
		}
	}
	t.Fatalf("there is no vector %s", name)
	return "", ""
}

// command runs caddy convoai to its end.
func command(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return boot{env: env, args: append([]string{"convoai"}, args...)}.run(t)
}

var vendorEnv = []string{"AGORA_APP_ID=" + appA, "AGORA_APP_CERTIFICATE=" + certificateA}

func TestTokenCommandMakesTheVendorsVector(t *testing.T) {
	_, want := vector(t, "convoai_default")
	stdout, stderr, status := command(t, vendorEnv, "token", "convoai", "--channel", "room-1", "--account", "1001", "--issued-at", "1700000000", "--salt", "12345678")
	if status != 0 || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("status %d, %d lines\n%s", status, strings.Count(stdout, "\n"), stderr)
	}
	if payload(t, strings.TrimSpace(stdout)) != want {
		t.Error("the payload is not that of the vector")
	}
}

func TestInspectCommandSaysWhatATokenIs(t *testing.T) {
	known, _ := vector(t, "convoai_default")
	fresh, _, status := command(t, vendorEnv, "token", "convoai", "--channel", "room-1", "--account", "1001")
	if status != 0 {
		t.Fatalf("token: status %d", status)
	}
	fresh = strings.TrimSpace(fresh)
	for _, test := range []struct {
		name, token, certificate, signature string
		status                              int
	}{
		{"valid and live", fresh, certificateA, "valid", 0},
		{"another certificate", fresh, certificateB, "invalid", 1},
		{"expired", known, certificateA, "valid", 1},
		{"expired, another certificate", known, certificateB, "invalid", 1},
		{"no certificate", fresh, "", "unchecked", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"inspect", "--json"}
			if test.certificate != "" {
				args = append(args, "--app-certificate", test.certificate)
			}
			stdout, stderr, status := command(t, nil, append(args, test.token)...)
			if status != test.status {
				t.Errorf("status %d, want %d: %s", status, test.status, stderr)
			}
			var got struct {
				Version   string `json:"version"`
				AppID     string `json:"app_id"`
				IssuedAt  int64  `json:"issued_at"`
				Expire    int64  `json:"expire"`
				ExpiresAt int64  `json:"expires_at"`
				Signature string `json:"signature"`
				Services  []struct {
					Type       int              `json:"type"`
					Name       string           `json:"name"`
					Privileges map[string]int64 `json:"privileges"`
					Channel    *string          `json:"channel"`
					Account    string           `json:"account"`
				} `json:"services"`
			}
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatalf("no JSON: %v", err)
			}
			if got.Version != "007" || got.AppID != appA || got.Expire != 86400 || got.ExpiresAt != got.IssuedAt+86400 || got.Signature != test.signature {
				t.Errorf("version %s, app %s, expire %d, signature %s", got.Version, got.AppID, got.Expire, got.Signature)
			}
			if len(got.Services) != 2 || got.Services[0].Name != "rtc" || *got.Services[0].Channel != "room-1" || got.Services[0].Account != "1001" || len(got.Services[0].Privileges) != 4 ||
				got.Services[1].Name != "rtm" || got.Services[1].Type != 2 || got.Services[1].Account != "1001" || got.Services[1].Channel != nil {
				t.Errorf("services %+v", got.Services)
			}
			if strings.Contains(stdout+stderr, certificateA) || strings.Contains(stdout+stderr, certificateB) {
				t.Error("the certificate is shown")
			}
		})
	}
	for _, broken := range []string{"", "x", "007", "006" + known[3:], known[:40], known + "A"} {
		if _, _, status := command(t, nil, "inspect", "--json", broken); status == 0 {
			t.Errorf("what is no token is fine")
		}
	}
}

func TestHeaderCommandPrintsAHeaderThatIsAccepted(t *testing.T) {
	stdout, stderr, status := command(t, vendorEnv, "header", "--channel", "room-1", "--account", "1001")
	value, ok := strings.CutPrefix(strings.TrimSpace(stdout), "Authorization: agora token=")
	if status != 0 || !ok {
		t.Fatalf("status %d: %s", status, stderr)
	}
	checkToken(t, value, appA, certificateA, "room-1", "1001")
}

// The first two lines that the demo prints are there to be pasted into a shell.
func TestDemoPrintsCallsThatWork(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed: the lines that the demo prints cannot be run")
	}
	port, simulated := freePort(t), freePort(t)
	s := boot{args: []string{"convoai", "demo", "--listen", "127.0.0.1:" + port, "--simulator-listen", "127.0.0.1:" + simulated}, listens: port, says: "curl "}.start(t)
	lines := regexp.MustCompile(`(?m)^\s*(curl .*)\n`)
	var found []string
	waitFor(t, "the demo to print two curl lines", func() bool {
		found = nil
		for _, match := range lines.FindAllStringSubmatch(s.stdout.String(), -1) {
			found = append(found, match[1])
		}
		return len(found) == 2
	})
	curl := func(line string) (status, body string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", line+` -w '\n%{http_code}'`)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		body, status, _ = strings.Cut(string(out), "\n")
		return status, body
	}
	if status, body := curl(found[0]); status != "200" || !strings.Contains(body, `"agent_id"`) {
		t.Errorf("through the sidecar: %s %s", status, body)
	}
	if status, body := curl(found[1]); status != "401" {
		t.Errorf("straight to the simulator: %s %s", status, body)
	}
}

func TestRunCommandNeedsNoConfigurationFile(t *testing.T) {
	up := newUpstream(t, nil)
	port := freePort(t)
	s := boot{
		args:    []string{"convoai", "run", "--listen", "127.0.0.1:" + port, "--upstream", "https://127.0.0.1:" + up.port, "--upstream-ca", authority},
		env:     append([]string{"CONVOAI_CALLER_TOKEN=canary-caller"}, vendorEnv...),
		listens: port,
		says:    "convoai: listening on ",
	}.start(t)
	wantError(t, s.send("POST", joinA, joinBody("room", "1")), http.StatusUnauthorized, "CallerNotAuthorized")
	if a := s.send("POST", joinA, joinBody("room", "1"), "X-Convoai-Caller-Token: canary-caller"); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	got := up.only(t)
	checkToken(t, got.token(t), appA, certificateA, "room", "1")
	s.stop()
	sinks := append(s.files(), sink{"output", s.stdout.String() + s.stderr.String()})
	wantNowhere(t, sinks, map[string]string{"certificate": certificateA, "caller token": "canary-caller", "token": got.token(t)})
}
