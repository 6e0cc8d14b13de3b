package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Events come with what happens, as Caddy's events app shows them in its debug log.
func TestEventOfAFailover(t *testing.T) {
	up, dead := newUpstream(t, nil), "127.0.0.1:"+freePort(t)
	s := start(t, strings.Replace(site(credentialsA, "upstream https://"+dead+" https://127.0.0.1:"+up.port, "transport http {\n tls_trust_pool file <CA>\n}"),
		"admin off", "admin off\n\tdebug", 1), envA...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("answered %d", a.StatusCode)
	}
	var event struct {
		Logger, Name, Origin string
		Data                 map[string]any
	}
	waitFor(t, "the event", func() bool {
		for line := range strings.Lines(s.stderr.String()) {
			if strings.Contains(line, "convoai.failover") && json.Unmarshal([]byte(line), &event) == nil {
				return true
			}
		}
		return false
	})
	if event.Logger != "events" || event.Name != "convoai.failover" || event.Origin != "convoai" {
		t.Errorf("%s of %s by %s", event.Name, event.Origin, event.Logger)
	}
	for key, want := range map[string]any{
		"from": dead, "to": "127.0.0.1:" + up.port, "operation": "join", "cause": "connection refused", "attempt": 2.0,
	} {
		if event.Data[key] != want {
			t.Errorf("%s is %v, want %v", key, event.Data[key], want)
		}
	}
}
