package integration

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// The variables of the vendor's container, with the certificate in a file.
func containerEnv(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "certificate")
	writeFile(t, file, certificateA+"\n")
	return []string{"APP_ID=" + appA, "APP_CERTIFICATE_FILE=" + file}
}

func TestTokenServerCommandGrantsNothingUnasked(t *testing.T) {
	s := tokenCommand(t, containerEnv(t))
	wantNotGranted(t, s.ask(`{"kind":"rtc","channel":"room","uid":1}`))
	s.logged("nothing is granted, every request is refused")
	s.logged("--allow-channels and --allow-accounts")
	s.logged("rule_needed")
}

func TestTokenServerCommandGrantsWhatItsFlagsSay(t *testing.T) {
	env := append(containerEnv(t), "CONVOAI_ALLOW_ACCOUNTS=4*", "CONVOAI_MAX_EXPIRE=10m", "CONVOAI_ORIGINS=https://app.example.com")
	s := tokenCommand(t, env, "--allow-channels", "room-*,lobby", "--allow-channels", "hall")
	for _, channel := range []string{"room-7", "lobby", "hall"} {
		_, made := wantGranted(t, s.ask(`{"kind":"rtc","channel":"`+channel+`","uid":42}`))
		if want := "600 rtc(" + channel + ",42) 1:600"; contents(made) != want {
			t.Errorf("got %s, want %s", contents(made), want)
		}
	}
	for _, body := range []string{
		`{"kind":"rtc","channel":"room","uid":42}`, `{"kind":"rtc","channel":"room-7","uid":52}`, `{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher"}`,
		`{"kind":"rtm","account":"42"}`, `{"kind":"rtc","channel":"room-*","account":"4*"}`,
	} {
		wantNotGranted(t, s.ask(body))
	}
	a := s.ask(`{"kind":"rtc","channel":"hall","uid":42}`, "Origin: https://app.example.com")
	if wantGranted(t, a); a.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("Access-Control-Allow-Origin is %q", a.Header.Get("Access-Control-Allow-Origin"))
	}
	wantError(t, s.ask(`{"kind":"rtc","channel":"hall","uid":42}`, "Origin: https://evil.example"), http.StatusForbidden, "CrossSiteRequest")
	s.logged("any caller gets tokens of the kinds rtc for the channels room-*, lobby, hall and the accounts 4*, as subscriber, for at most 10m")
}

func TestTokenServerCommandThatAllowsAll(t *testing.T) {
	s := tokenCommand(t, containerEnv(t), "--allow-all", "--dialect", "docker")
	for body, want := range map[string]string{
		`{"kind":"rtc","channel":"any","uid":7,"role":"publisher","expire":60}`:                "60 rtc(any,7) 1:60,2:60,3:60,4:60",
		`{"kinds":["rtc","rtm"],"channel":"any","account":"a","role":"publisher"}`:             "3600 rtc(any,a) 1:3600,2:3600,3:3600,4:3600 rtm(a) 1:3600",
		`{"kind":"chat-user","account":"a","expire":86400}`:                                    "3600 chat(a) 1:3600",
		`{"kinds":["rtc","rtm","chat-user"],"channel":"any","account":"a","role":"publisher"}`: "3600 rtc(any,a) 1:3600,2:3600,3:3600,4:3600 rtm(a) 1:3600 chat(a) 1:3600",
	} {
		if _, made := wantGranted(t, s.ask(body)); contents(made) != want {
			t.Errorf("%s: got %s, want %s", body, contents(made), want)
		}
	}
	for _, body := range []string{
		`{"kind":"chat-app"}`, `{"kind":"education-app"}`, `{"kind":"fpa"}`, `{"kind":"convoai","channel":"any","account":"a"}`, `{"kind":"rtc-006","channel":"any","account":"a"}`,
		`{"kind":"rtc","channel":"any","uid":0}`, `{"kind":"rtc","channel":"*","uid":7}`, `{"kind":"rtc","channel":"","uid":7}`, `{"kind":"rtm","account":"*"}`,
	} {
		wantNotGranted(t, s.ask(body))
	}
	const rebound = "rebound.example"
	for _, path := range []string{"/token", "/token/generate", "/elsewhere"} {
		wantError(t, s.send("POST", path, `{"kind":"rtc","channel":"any","uid":7}`, "Host: "+rebound+":"+s.port, "Origin: http://"+rebound+":"+s.port), http.StatusForbidden, "HostNotAllowed")
	}
}

func TestTokenServerCommandThatCannotBeRun(t *testing.T) {
	port := freePort(t)
	taken := listen(t)
	for _, test := range []struct {
		name   string
		env    []string
		flags  []string
		status int
		says   string
	}{
		{"everything, for everyone", vendorEnv, []string{"--listen", "0.0.0.0:" + port, "--allow-all"}, 2, "--allow-all is for loopback addresses"},
		{"everything, on all interfaces", vendorEnv, []string{"--listen", ":" + port, "--allow-all"}, 2, "--allow-all is for loopback addresses"},
		{"everything, by the environment", append([]string{"CONVOAI_ALLOW_ALL=true", "CONVOAI_LISTEN=[::]:" + port}, vendorEnv...), nil, 2, "--allow-all is for loopback addresses"},
		{"no certificate", []string{"APP_ID=" + appA}, nil, 2, "no app certificate"},
		{"a certificate that is none", []string{"APP_ID=" + appA, "APP_CERTIFICATE=canary"}, nil, 2, "APP_CERTIFICATE must be 32 hexadecimal digits"},
		{"a file that is not there", []string{"APP_ID=" + appA, "APP_CERTIFICATE_FILE=/does/not/exist"}, nil, 2, "APP_CERTIFICATE_FILE: "},
		{"a dialect that nobody speaks", vendorEnv, []string{"--listen", "127.0.0.1:" + port, "--dialect", "klingon"}, 2, "--dialect: dialects must be of docker"},
		{"two dialects with the same paths", vendorEnv, []string{"--listen", "127.0.0.1:" + port, "--dialect", "chat-node,chat-python"}, 2, "--dialect: dialects: chat-node and chat-python"},
		{"an origin that is none", vendorEnv, []string{"--listen", "127.0.0.1:" + port, "--origin", "*"}, 2, "--origin: origins must be"},
		{"a kind that is none, by the environment", append([]string{"CONVOAI_ALLOW_KINDS=all"}, vendorEnv...), []string{"--listen", "127.0.0.1:" + port}, 2, "CONVOAI_ALLOW_KINDS: kinds must be of rtc"},
		{"a kind that is none", vendorEnv, []string{"--listen", "127.0.0.1:" + port, "--allow-kinds", "all"}, 2, "--allow-kinds: kinds must be of rtc"},
		{"a role that is none", vendorEnv, []string{"--listen", "127.0.0.1:" + port, "--allow-roles", "host"}, 2, "--allow-roles: roles must be"},
		{"a channel that is none", vendorEnv, []string{"--listen", "127.0.0.1:" + port, "--allow-channels", "{env.HOME}"}, 2, "--allow-channels: channels: a pattern has no placeholders"},
		{"a lifetime that is none", vendorEnv, []string{"--max-expire", "2d"}, 2, "--max-expire must be"},
		{"a secret among the flags", vendorEnv, []string{"--app-certificate", "canary"}, 2, "unknown flag: --app-certificate"},
		{"a port that is taken", vendorEnv, []string{"--listen", taken.Addr().String()}, 1, "is taken by another program"},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, status := command(t, test.env, append([]string{"token-server"}, test.flags...)...)
			if status != test.status || !strings.Contains(stderr, test.says) || stdout != "" {
				t.Errorf("status %d, want %d and %q:\n%s", status, test.status, test.says, excerpt(stderr))
			}
			wantNowhere(t, []sink{{"output", stdout + stderr}}, map[string]string{"certificate": certificateA, "value": "canary"})
		})
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		_ = conn.Close()
		t.Error("something listens")
	}
}

func TestTokenServerCommandLeavesNothing(t *testing.T) {
	s := tokenCommand(t, vendorEnv, "--allow-all")
	wantGranted(t, s.ask(`{"kind":"rtc","channel":"any","uid":7}`))
	line := s.stderr.String()
	_, socket, _ := strings.Cut(line, "admin API on unix/")
	socket, _, _ = strings.Cut(socket, "\n")
	s.stop()
	if _, err := net.Dial("unix", socket); socket == "" || err == nil {
		t.Errorf("the admin socket is %q, and it answers %v", socket, err)
	}
	if left := s.files("Caddyfile"); len(left) > 0 {
		t.Errorf("%s is left", left[0].name)
	}
	wantNowhere(t, []sink{{"output", s.stdout.String() + s.stderr.String()}}, map[string]string{"certificate": certificateA})
}
