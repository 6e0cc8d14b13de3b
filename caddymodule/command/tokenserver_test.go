package command

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/caddymodule/tokenserver"
)

var testCredentials = map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}

func TestTokenServerConfigGolden(t *testing.T) {
	testdata := inTestdata(t)
	for _, test := range []struct {
		golden string
		flags  tokenServerFlags
		env    map[string]string
		socket string
	}{
		{
			golden: "token-server-default",
			flags:  tokenServerFlags{listen: []string{"127.0.0.1:8082"}},
			env:    testCredentials,
			socket: "/run/convoai/1-00000000.sock",
		},
		{
			golden: "token-server-flags",
			flags: tokenServerFlags{
				listen: []string{":8082"}, appID: testAppID,
				dialects: []string{"docker,rtc", "token-service"}, origins: []string{"https://app.example.com"},
				channels: []string{"room-*", "lobby"}, accounts: []string{"*"}, kinds: []string{"rtc rtm"},
				roles: []string{"publisher"}, maxExpire: "900", accessLog: true,
			},
			env: map[string]string{"APP_CERTIFICATE": testAppCertificate},
		},
		{
			golden: "token-server-environment",
			env: map[string]string{
				"APP_ID": testAppID, "APP_CERTIFICATE": testAppCertificate, "AGORA_APP_CERTIFICATE_SECONDARY": strings.ToLower(testAppCertificate),
				envListen: "127.0.0.1:8082", envDialects: "docker", envOrigins: "https://app.example.com", envAllowAll: "true", envMaxExpire: "24h",
			},
		},
	} {
		t.Run(test.golden, func(t *testing.T) {
			setEnv(t, test.env)
			s, err := test.flags.tokenServer()
			if err != nil {
				t.Fatal(err)
			}
			s.adminSocket = test.socket
			checkGolden(t, test.golden, s.config(), testdata)
			if err := caddy.Validate(s.config()); err != nil {
				t.Errorf("Caddy cannot use it: %v", err)
			}
		})
	}
}

func TestTokenServerRefusesWhatItCannotUse(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags tokenServerFlags
		env   map[string]string
		err   string
	}{
		{"no certificate", tokenServerFlags{}, map[string]string{"AGORA_APP_CERTIFICATE": ""}, "no app certificate in the environment: set AGORA_APP_ID and AGORA_APP_CERTIFICATE"},
		{"other credentials", tokenServerFlags{}, map[string]string{"AGORA_APP_CERTIFICATE": "", "AGORA_CUSTOMER_ID": "id", "AGORA_CUSTOMER_SECRET": "canary"}, "no other credential can sign"},
		{"no app ID", tokenServerFlags{}, map[string]string{"AGORA_APP_ID": ""}, "set AGORA_APP_ID (or APP_ID) or --app-id"},
		{"app ID", tokenServerFlags{appID: "canary"}, nil, "--app-id must be 32 hexadecimal digits"},
		{"certificate", tokenServerFlags{}, map[string]string{"AGORA_APP_CERTIFICATE": "canary"}, "AGORA_APP_CERTIFICATE must be 32 hexadecimal digits"},
		{"certificate and its file", tokenServerFlags{}, map[string]string{"AGORA_APP_CERTIFICATE_FILE": "x"}, "are both set"},
		{"secondary certificate alone", tokenServerFlags{}, map[string]string{"AGORA_APP_CERTIFICATE": "", "AGORA_APP_CERTIFICATE_SECONDARY": testAppCertificate}, "AGORA_APP_CERTIFICATE is needed as well"},
		{"listen", tokenServerFlags{listen: []string{"127.0.0.1"}}, nil, "--listen: "},
		{"access log variable", tokenServerFlags{}, map[string]string{envAccessLog: "perhaps"}, "CONVOAI_ACCESS_LOG must be true or false"},
		{"host", tokenServerFlags{allowHost: []string{"*.example"}}, nil, "--allow-host: "},
		{"host variable", tokenServerFlags{}, map[string]string{envAllowHost: "tokens:8082"}, "CONVOAI_ALLOW_HOST: "},
		{"everything variable", tokenServerFlags{}, map[string]string{envAllowAll: "perhaps"}, "CONVOAI_ALLOW_ALL must be true or false"},
		{"lifetime of nothing", tokenServerFlags{maxExpire: "0"}, nil, "--max-expire must be whole seconds between 1s and 24h"},
		{"lifetime that is too long", tokenServerFlags{maxExpire: "25h"}, nil, "--max-expire must be"},
		{"lifetime variable", tokenServerFlags{}, map[string]string{envMaxExpire: "soon"}, "CONVOAI_MAX_EXPIRE must be"},
		{"everything for everyone", tokenServerFlags{allowAll: true, listen: []string{":8082"}}, nil, "--allow-all is for loopback addresses, and :8082 can be reached from other hosts"},
		{"everything for everyone, among others", tokenServerFlags{allowAll: true, listen: []string{"127.0.0.1:8082", "192.0.2.1:8082"}}, nil, "192.0.2.1:8082 can be reached"},
		{"everything for everyone, by the environment", tokenServerFlags{}, map[string]string{envAllowAll: "1", envListen: "0.0.0.0:8082"}, "0.0.0.0:8082 can be reached"},
		{"everything on a listener of unknown reach", tokenServerFlags{allowAll: true, listen: []string{"fd/3"}}, nil, "fd/3 can be reached"},
		{"everything and something", tokenServerFlags{allowAll: true, channels: []string{"room"}}, nil, "--allow-channels and --allow-all are both set"},
		{"everything and something of the environment", tokenServerFlags{allowAll: true}, map[string]string{envAllowKinds: "rtm"}, "CONVOAI_ALLOW_KINDS and --allow-all are both set"},
		{"the caller's own account", tokenServerFlags{accounts: []string{"{user}"}}, nil, "--allow-accounts: {user} is nobody here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := maps.Clone(testCredentials)
			maps.Copy(env, test.env)
			setEnv(t, env)
			_, err := test.flags.tokenServer()
			checkError(t, err, test.err)
		})
	}
}

// What the handler itself refuses is about flags, too.
func TestTokenServerRefusesWhatTheHandlerCannotUse(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags tokenServerFlags
		err   string
	}{
		{"dialect", tokenServerFlags{dialects: []string{"klingon"}}, "--dialect: "},
		{"origin", tokenServerFlags{origins: []string{"app.example.com"}}, "--origin: "},
		{"kind", tokenServerFlags{kinds: []string{"everything"}}, "--allow-kinds: "},
		{"role", tokenServerFlags{roles: []string{"king"}}, "--allow-roles: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, testCredentials)
			test.flags.listen = []string{"127.0.0.1:0"}
			s, err := test.flags.tokenServer()
			if err != nil {
				t.Fatal(err)
			}
			status, err := s.start()
			if err == nil {
				_ = caddy.Stop()
			}
			checkError(t, err, test.err)
			if status != exitUnusable {
				t.Errorf("status %d, want %d", status, exitUnusable)
			}
		})
	}
}

func newTestTokenServer(t *testing.T, flags tokenServerFlags) *tokenServer {
	t.Helper()
	setEnv(t, testCredentials)
	flags.listen = []string{"127.0.0.1:0"}
	s, err := flags.tokenServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	if status, err := s.start(); status != exitDone || err != nil {
		t.Fatalf("status %d, error %v", status, err)
	}
	return s
}

func TestTokenServerOfThisHostAnswersNamesOfThisHostOnly(t *testing.T) {
	for name, flags := range map[string]tokenServerFlags{
		"everything": {allowAll: true},
		"a rule":     {accounts: []string{"*"}, kinds: []string{"chat-user"}},
		"a name":     {accounts: []string{"*"}, kinds: []string{"chat-user"}, allowHost: []string{"tokens.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			named := http.StatusForbidden
			if len(flags.allowHost) > 0 {
				named = http.StatusOK
			}
			flags.dialects = []string{"chat-node"}
			s := newTestTokenServer(t, flags)
			path := s.urls()[0] + "/api/token/generateUserToken?account=user123"
			for host, want := range map[string]int{
				"localhost": http.StatusOK, "LOCALHOST:8082": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:8082": http.StatusOK,
				"rebound.example": http.StatusForbidden, "127.0.0.1.nip.io:8082": http.StatusForbidden, "192.0.2.1": http.StatusForbidden,
				"tokens.example:8082": named,
			} {
				status, body := get(t, "", path, http.Header{"Host": {host}})
				if status != want || (want == http.StatusForbidden) != strings.Contains(body, "HostNotAllowed") {
					t.Errorf("Host %s: %d %s, want %d", host, status, body, want)
				}
			}
		})
	}
}

// A server that others reach has names that it does not know, unless they are given.
func TestTokenServerOfOthersKnowsTheNamesThatItIsGiven(t *testing.T) {
	for _, test := range []struct {
		listen, hosts []string
		want          bool
	}{
		{[]string{"127.0.0.1:8082", "[::1]:8082"}, nil, true},
		{[]string{"localhost:8082", "unix//run/tokens.sock"}, nil, true},
		{[]string{"unix//run/tokens.sock"}, nil, false},
		{[]string{":8082"}, nil, false},
		{[]string{"127.0.0.1:8082", "192.0.2.1:8082"}, nil, false},
		{[]string{":8082"}, []string{"tokens.example"}, true},
	} {
		s := &tokenServer{server: server{listen: test.listen}, allowHost: test.hosts}
		if got := s.checksHost(); got != test.want {
			t.Errorf("%v, %v: %t", test.listen, test.hosts, got)
		}
	}
}

func TestTokenServerHasNoOtherPaths(t *testing.T) {
	s := newTestTokenServer(t, tokenServerFlags{})
	if status, body := get(t, "", s.urls()[0]+"/elsewhere", nil); status != http.StatusNotFound || !strings.Contains(body, `"reason":"NotFound"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestTokenServerAnnouncesWhatItGrants(t *testing.T) {
	rule := func(channels, accounts string, kinds ...string) *tokenserver.Rule {
		return &tokenserver.Rule{Channels: splitList(channels), Accounts: splitList(accounts), Kinds: kinds}
	}
	for _, test := range []struct {
		name   string
		listen string
		rule   *tokenserver.Rule
		has    []string
		lacks  []string
	}{
		{"nothing", "127.0.0.1:8082", nil, []string{"nothing is granted", "--allow-channels and --allow-accounts"}, []string{"any caller"}},
		{
			"something", "127.0.0.1:8082", rule("room-*", "*"),
			[]string{"any caller gets tokens of the kinds rtc for the channels room-* and the accounts *, as subscriber, for at most 1h"},
			[]string{"nothing", "other hosts", "without"},
		},
		{"for everyone", "0.0.0.0:8082", rule("room", "42"), []string{"0.0.0.0:8082 can be reached from other hosts"}, nil},
		{"channels alone", "127.0.0.1:8082", rule("room", ""), []string{"no rtc token is granted without --allow-accounts"}, []string{"without --allow-channels"}},
		{"accounts alone", "127.0.0.1:8082", rule("", "42"), []string{"no rtc token is granted without --allow-channels"}, []string{"without --allow-accounts"}},
		{"accounts, and that is enough", "127.0.0.1:8082", rule("", "42", "rtm", "chat-user"), []string{"rtm, chat-user"}, []string{"without"}},
		{"kinds alone", "127.0.0.1:8082", rule("", "", "rtc", "rtm"), []string{"no rtc token is granted without --allow-channels", "no rtc token is granted without --allow-accounts", "no rtm token is granted without --allow-accounts"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &tokenServer{server: server{listen: []string{test.listen}}, appID: "1b33"}
			if test.rule != nil {
				s.handler.Allow = []tokenserver.Rule{*test.rule}
			}
			var text strings.Builder
			s.announce(&text)
			for _, part := range append(test.has, "app ID ending in 1b33") {
				if !strings.Contains(text.String(), part) {
					t.Errorf("lacks %q: %s", part, &text)
				}
			}
			for _, part := range test.lacks {
				if strings.Contains(text.String(), part) {
					t.Errorf("has %q: %s", part, &text)
				}
			}
		})
	}
}

func TestTokenServerFlagsCountBeforeVariables(t *testing.T) {
	env := maps.Clone(testCredentials)
	maps.Copy(env, map[string]string{envAllowChannels: "other", envMaxExpire: "1s", envDialects: "rtc", envOrigins: "https://other.example"})
	setEnv(t, env)
	flags := tokenServerFlags{channels: []string{"room"}, maxExpire: "2h", dialects: []string{"docker"}, origins: []string{"https://app.example"}}
	s, err := flags.tokenServer()
	if err != nil {
		t.Fatal(err)
	}
	rule := s.handler.Allow[0]
	if !slices.Equal(rule.Channels, []string{"room"}) || rule.MaxExpire != caddy.Duration(2*time.Hour) ||
		!slices.Equal(s.handler.Dialects, []string{"docker"}) || !slices.Equal(s.handler.Origins, []string{"https://app.example"}) {
		t.Errorf("channels %v, max_expire %v, dialects %v, origins %v", rule.Channels, rule.MaxExpire, s.handler.Dialects, s.handler.Origins)
	}
}
