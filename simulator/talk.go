package simulator

import (
	"slices"
	"time"
)

const (
	// perByte is how long a byte of text takes to say.
	perByte = 60 * time.Millisecond
	// maxTurns and maxContents bound what is kept of a conversation; the oldest
	// is forgotten first.
	maxTurns    = 1000
	maxContents = 1000
)

// A talk is what an agent has said and was told.
type talk struct {
	turns    []turn
	count    int // of turns, those included that were forgotten
	contents []content
}

// A content is an entry of the history.
type content struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// A turn is one thing that an agent says, from start to end. The end may lie
// ahead: until then the agent is speaking.
type turn struct {
	id         int
	kind       string // greeting, api_speak
	start, end time.Time
	causedBy   string // what interrupted it; "" if nothing did
	transport  string // how what interrupted it was delivered; "" where that is not told
}

func (t *talk) say(at time.Time, kind, text string) {
	start := at
	if n := len(t.turns); n > 0 && t.turns[n-1].end.After(start) {
		start = t.turns[n-1].end
	}
	t.count++
	t.turns = lastOf(append(t.turns, turn{
		id: t.count, kind: kind, start: start, end: start.Add(time.Duration(len(text)) * perByte),
	}), maxTurns)
	t.note("assistant", text)
}

func (t *talk) greet(at time.Time, text string) {
	if text != "" {
		t.say(at, "greeting", text)
	}
}

func (t *talk) note(role, text string) {
	t.contents = lastOf(append(t.contents, content{role, text}), maxContents)
}

func lastOf[E any](list []E, n int) []E {
	return slices.Delete(list, 0, max(0, len(list)-n))
}

// speaking reports whether the agent is speaking, or has something left to say.
func (t *talk) speaking(at time.Time) bool {
	n := len(t.turns)
	return n > 0 && t.turns[n-1].end.After(at)
}

// end interrupts what is being said, and forgets what was to be said after it.
func (t *talk) end(at time.Time, causedBy, transport string) {
	t.turns = slices.DeleteFunc(t.turns, func(u turn) bool { return u.start.After(at) })
	if t.speaking(at) {
		last := &t.turns[len(t.turns)-1]
		last.end, last.causedBy, last.transport = at, causedBy, transport
	}
	if n := len(t.turns); n > 0 {
		t.count = t.turns[n-1].id
	}
}

func (u *turn) document(a *agent) document {
	start := document{"start_at": u.start.UnixMilli(), "type": u.kind}
	switch u.kind {
	case "greeting":
		start["metadata"] = document{"greeting_nth": 1}
	case "api_speak":
		start["metadata"] = document{"transport": "http"}
	}
	end := document{"end_at": u.end.UnixMilli(), "type": "ok", "metadata": document{"playback_duration_ms": u.end.Sub(u.start).Milliseconds()}}
	if u.causedBy != "" {
		cause := document{"caused_by": u.causedBy}
		if u.transport != "" {
			cause["transport"] = u.transport
		}
		end["type"], end["metadata"] = "interrupted", cause
	}
	return document{
		"agent_id": a.id, "channel": a.channel, "turn_id": u.id, "start": start, "end": end,
		"metrics": document{"e2e_latency_ms": 0, "segmented_latency_ms": []document{}},
	}
}
