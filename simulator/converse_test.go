package simulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
)

func TestSpeakIsChecked(t *testing.T) {
	b := newBench(t, simulator.Options{})
	id := b.join("a", "room-1")
	text := func(n int) string { return `{"text":"` + strings.Repeat("x", n) + `"}` }
	tests := []struct {
		name, body string
		status     int
		reason     string
	}{
		{"longest", text(512), 200, ""},
		{"too long", text(513), 400, api.ReasonInvalidFieldValue},
		{"too long in bytes", `{"text":"` + strings.Repeat("ä", 257) + `"}`, 400, api.ReasonInvalidFieldValue},
		{"no text", `{}`, 400, api.ReasonMissingRequiredField},
		{"empty text", text(0), 400, api.ReasonMissingRequiredField},
		{"text number", `{"text":1}`, 400, api.ReasonInvalidFieldValue},
		{"priority", `{"text":"x","priority":"APPEND","interruptable":false}`, 200, ""},
		{"other priority", `{"text":"x","priority":"append"}`, 400, api.ReasonInvalidFieldValue},
		{"interruptable string", `{"text":"x","interruptable":"no"}`, 400, api.ReasonInvalidFieldValue},
		{"not JSON", `text=x`, 400, api.ReasonInvalidRequestBody},
	}
	for _, test := range tests {
		got := b.call("POST", agentPath(id, "/speak"), test.body)
		if got.status != test.status || got.string("reason") != test.reason {
			t.Errorf("%s: %d %s", test.name, got.status, got.text)
		}
	}
	got := b.call("POST", agentPath(id, "/speak"), text(1))
	if got.string("agent_id") != id || got.string("channel") != "room-1" || got.number("start_ts") != start.Unix() {
		t.Errorf("answer %s", got.text)
	}
	body := strings.Replace(joinBody("multimodal", "room-1"), `"channel"`, `"mllm":{"enable":true},"channel"`, 1)
	id = b.call("POST", "/v2/projects/{appid}/join", body).want(200, "").string("agent_id")
	b.call("POST", agentPath(id, "/speak"), text(1)).want(400, api.ReasonInvalidRequest)
}

func TestThinkIsChecked(t *testing.T) {
	b := newBench(t, simulator.Options{})
	id := b.join("a", "room-1")
	b.call("POST", agentPath(id, "/think"), `{"text":"x","on_listening_action":"inject","on_thinking_action":"ignore","on_speaking_action":"interrupt","metadata":{"k":1}}`).want(200, "")
	b.call("POST", agentPath(id, "/think"), `{}`).want(400, api.ReasonMissingRequiredField)
	for _, member := range []string{`"on_listening_action":"speak"`, `"on_thinking_action":"inject"`, `"on_speaking_action":"inject"`, `"metadata":[]`} {
		b.call("POST", agentPath(id, "/think"), `{"text":"x",`+member+`}`).want(400, api.ReasonInvalidFieldValue)
	}
}

func TestHistoryAndTurnsTellWhatWasSaid(t *testing.T) {
	b := newBench(t, simulator.Options{})
	body := strings.Replace(joinBody("a", "room-1"), `"channel"`, `"llm":{"greeting_message":"hello"},"channel"`, 1)
	id := b.call("POST", "/v2/projects/{appid}/join", body).want(200, "").string("agent_id")
	say := func(operation, body string) {
		b.t.Helper()
		b.call("POST", agentPath(id, operation), body).want(200, "")
	}

	say("/speak", `{"text":"not heard","priority":"IGNORE"}`) // the greeting still sounds
	b.advance(10 * time.Second)
	say("/speak", `{"text":"`+strings.Repeat("x", 100)+`"}`) // 6 s
	say("/speak", `{"text":"never reached","priority":"APPEND"}`)
	b.advance(time.Second)
	say("/speak", `{"text":"`+strings.Repeat("y", 100)+`","priority":"INTERRUPT"}`)
	b.advance(time.Second)
	say("/interrupt", ``)
	say("/interrupt", `{}`) // nothing left to interrupt
	say("/think", `{"text":"buy"}`)
	say("/speak", `{"text":"last"}`)

	got := b.call("GET", agentPath(id, "/history"), "").want(200, "")
	for i, want := range []struct{ role, content string }{
		{"assistant", "hello"}, {"assistant", strings.Repeat("x", 100)}, {"assistant", "never reached"},
		{"assistant", strings.Repeat("y", 100)}, {"user", "buy"}, {"assistant", "last"},
	} {
		if path := fmt.Sprintf("contents.%d.", i); got.string(path+"role") != want.role || got.string(path+"content") != want.content {
			t.Errorf("history entry %d is not %v: %s", i, want, got.text)
		}
	}
	if got.string("agent_id") != id || got.string("status") != "RUNNING" || got.number("start_ts") != start.Unix() {
		t.Errorf("history %s", got.text)
	}

	b.call("GET", agentPath(id, "/turns"), "").want(404, api.ReasonTaskNotFound)
	b.call("POST", agentPath(id, "/leave"), "").want(200, "")
	b.call("GET", agentPath(id, "/history"), "").want(404, api.ReasonTaskNotFound)
	got = b.call("GET", agentPath(id, "/turns"), "").want(200, "")
	if got.string("agent_id") != id || got.string("name") != "a" || got.string("channel") != "room-1" || got.number("total_turn_count") != 4 {
		t.Errorf("turns %s", got.text)
	}
	for i, want := range []struct {
		kind, end, cause string
		length           int64 // ms
	}{
		{"greeting", "ok", "", 300},
		{"api_speak", "interrupted", "api_speak", 1000},
		{"api_speak", "interrupted", "api_interrupt", 1000},
		{"api_speak", "interrupted", "api_leave", 0},
	} {
		turn := fmt.Sprintf("turns.%d.", i)
		length := got.number(turn+"end.end_at") - got.number(turn+"start.start_at")
		if got.string(turn+"start.type") != want.kind || got.string(turn+"end.type") != want.end ||
			got.string(turn+"end.metadata.caused_by") != want.cause || length != want.length || got.number(turn+"turn_id") != int64(i+1) {
			t.Errorf("turn %d is not %v: %s", i+1, want, got.text)
		}
	}
	b.authorization = basic(one.CustomerID, one.CustomerSecret)
	b.advance(7*24*time.Hour + time.Second)
	b.call("GET", agentPath(id, "/turns"), "").want(404, api.ReasonTaskNotFound)
}

func TestTurnsPage(t *testing.T) {
	b := newBench(t, simulator.Options{})
	id := b.join("a", "room-1")
	for range 25 {
		b.call("POST", agentPath(id, "/speak"), `{"text":"x"}`).want(200, "")
		b.advance(time.Second)
	}
	b.call("POST", agentPath(id, "/leave"), "").want(200, "")
	tests := []struct {
		query              string
		first, count, page int64
		pages              int64
		last               bool
	}{
		{"", 1, 25, 1, 1, true},
		{"?page_size=10", 1, 10, 1, 3, false},
		{"?page_size=10&page_index=2", 11, 10, 2, 3, false},
		{"?page_size=10&page_index=3", 21, 5, 3, 3, true},
		{"?page_size=10&page_index=4", 0, 0, 4, 3, true},
		{"?page_size=200", 1, 25, 1, 1, true},
	}
	for _, test := range tests {
		got := b.call("GET", agentPath(id, "/turns"+test.query), "").want(200, "")
		turns := got.get("turns").([]any)
		if int64(len(turns)) != test.count || got.number("pagination.page_index") != test.page ||
			got.number("pagination.total_pages") != test.pages || got.get("pagination.is_last_page") != test.last || got.number("total_turn_count") != 25 {
			t.Errorf("%q: %s", test.query, got.text)
		}
		if test.count > 0 && got.number("turns.0.turn_id") != test.first {
			t.Errorf("%q: first turn is %d", test.query, got.number("turns.0.turn_id"))
		}
	}
	for _, query := range []string{"page_index=0", "page_index=x", "page_size=9", "page_size=201", "page_size=x"} {
		b.call("GET", agentPath(id, "/turns?"+query), "").want(400, api.ReasonInvalidFieldValue)
	}
}
