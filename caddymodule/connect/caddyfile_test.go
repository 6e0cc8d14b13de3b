package connect

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func TestDirective(t *testing.T) {
	for text, want := range map[string]*Handler{
		"convoai_connect":      {},
		"convoai_connect {\n}": {},
		"convoai_connect {\n tunnel a.test B.test\n tunnel c.test\n tunnel_private on\n other_paths forward\n proxy_auth required\n ca memory\n}": {
			Tunnel: []string{"a.test", "B.test", "c.test"}, TunnelPrivate: true, OtherPaths: "forward", ProxyAuth: "required", CA: "memory",
		},
		"convoai_connect {\n tunnel_private off\n other_paths refuse\n proxy_auth optional\n ca storage\n}": {OtherPaths: "refuse", ProxyAuth: "optional", CA: "storage"},
	} {
		got := new(Handler)
		if err := got.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for text, says := range map[string]string{
		"convoai_connect api.agora.io":                                    "no arguments but a matcher",
		"convoai_connect {\n unknown\n}":                                  "unrecognized subdirective unknown",
		"convoai_connect {\n tunnel\n}":                                   "wrong argument count",
		"convoai_connect {\n tunnel a.test:443\n}":                        "tunnel takes host names",
		"convoai_connect {\n tunnel 192.0.2.1\n}":                         "tunnel takes host names",
		"convoai_connect {\n tunnel *.test\n}":                            "tunnel takes host names",
		"convoai_connect {\n tunnel api.agora.io\n}":                      "is a ConvoAI host",
		"convoai_connect {\n tunnel_private\n}":                           "wrong argument count",
		"convoai_connect {\n tunnel_private yes\n}":                       "must be off or on",
		"convoai_connect {\n tunnel_private on off\n}":                    "wrong argument count",
		"convoai_connect {\n other_paths pass\n}":                         "must be refuse or forward",
		"convoai_connect {\n other_paths refuse\n other_paths forward\n}": "already set",
		"convoai_connect {\n proxy_auth on\n}":                            "must be optional or required",
		"convoai_connect {\n ca file\n}":                                  "must be storage or memory",
		"convoai_connect {\n ca memory {\n x\n }\n}":                      "takes no block",
	} {
		err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

// Whatever the order in the file, CONNECT comes to this handler before the gate
// refuses it.
func TestDirectiveStandsBeforeTheGate(t *testing.T) {
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("http://:8080 {\n convoai {\n app_id 970CA35de60c44645bbae8a215061b33\n }\n convoai_connect\n respond /x 403\n}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, handler := range []string{`"handler":"convoai_connect"`, `"handler":"convoai"`} {
		before, _, ok := strings.Cut(string(adapted), handler)
		if !ok {
			t.Fatalf("no %s in %s", handler, adapted)
		}
		found = append(found, before)
	}
	denial, _, _ := strings.Cut(string(adapted), `"handler":"static_response"`)
	if len(found[0]) > len(found[1]) || len(denial) > len(found[0]) {
		t.Errorf("the order is another one: %s", adapted)
	}
}

func TestSettingsOfJSON(t *testing.T) {
	for text, says := range map[string]string{
		`{"other_paths":"x"}`:         "other_paths must be refuse or forward",
		`{"proxy_auth":"x"}`:          "proxy_auth must be optional or required",
		`{"ca":"x"}`:                  "ca must be storage or memory",
		`{"tunnel":["10.0.0.1"]}`:     "tunnel takes host names",
		`{"tunnel":["api.agora.io"]}`: "is a ConvoAI host",
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(text), h); err != nil {
			t.Fatal(err)
		}
		if err := h.readSettings(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
	h := &Handler{Tunnel: []string{"A.test"}}
	if err := h.readSettings(); err != nil || !h.tunnels["a.test"] || h.OtherPaths != refuseOthers || h.ProxyAuth != authOptional || h.CA != inStorage {
		t.Errorf("%v %+v", err, h)
	}
}
