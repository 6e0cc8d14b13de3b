package simulator

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddy-convoai/convoai/api"
)

// Limits of the vendor's speak and turns references.
const (
	maxSpeak    = 512 // bytes
	turnsFor    = 7 * 24 * time.Hour
	minPageSize = 10
	maxPageSize = 200
	pageSize    = 50
)

func (s *Simulator) speak(q *request) reply {
	f, wrong := parseBody(q.body, false)
	if wrong != nil {
		return *wrong
	}
	text := f.text("text", true)
	if len(text) > maxSpeak {
		f.fail("text", "must have at most %d bytes", maxSpeak)
	}
	priority := f.oneOf("priority", "INTERRUPT", "INTERRUPT", "APPEND", "IGNORE")
	f.flag("interruptable", true)
	return s.withAgent(q, false, func(_ *appAgents, a *agent) reply {
		switch {
		case f.failed():
			return f.failure.reply()
		case a.multimodal:
			return failure(http.StatusBadRequest, api.ReasonInvalidRequest, "speak is not supported with mllm")
		case priority == "IGNORE" && a.talk.speaking(q.now):
			return a.about()
		case priority == "INTERRUPT":
			a.talk.end(q.now, "api_speak", "http")
		}
		a.talk.say(q.now, "api_speak", text)
		return a.about()
	})
}

// interrupt takes any body: the vendor says that it is empty, and its examples
// send {}.
func (s *Simulator) interrupt(q *request) reply {
	return s.withAgent(q, false, func(_ *appAgents, a *agent) reply {
		a.talk.end(q.now, "api_interrupt", "http")
		return a.about()
	})
}

func (s *Simulator) think(q *request) reply {
	f, wrong := parseBody(q.body, false)
	if wrong != nil {
		return *wrong
	}
	text := f.text("text", true)
	f.oneOf("on_listening_action", "interrupt", "inject", "interrupt", "ignore")
	f.oneOf("on_thinking_action", "interrupt", "interrupt", "ignore")
	onSpeaking := f.oneOf("on_speaking_action", "ignore", "interrupt", "ignore")
	f.flag("interruptable", true)
	f.object("metadata", false)
	return s.withAgent(q, false, func(_ *appAgents, a *agent) reply {
		if f.failed() {
			return f.failure.reply()
		}
		if a.talk.speaking(q.now) {
			if onSpeaking == "ignore" {
				return a.about()
			}
			a.talk.end(q.now, "api_interrupt", "http")
		}
		a.talk.note("user", text)
		return a.about()
	})
}

func (s *Simulator) history(q *request) reply {
	return s.withAgent(q, false, func(_ *appAgents, a *agent) reply {
		contents := a.talk.contents
		if contents == nil {
			contents = []content{}
		}
		return success(document{
			"agent_id": a.id, "start_ts": a.startedAt.Unix(), "status": a.status.String(), "contents": contents,
		})
	})
}

func (s *Simulator) turns(q *request) reply {
	p := parameters{Values: q.URL.Query()}
	index := p.integer("page_index", 1, 1, maxTurns)
	size := p.integer("page_size", pageSize, minPageSize, maxPageSize)
	if p.failed() {
		return p.failure.reply()
	}
	return s.withAgent(q, true, func(_ *appAgents, a *agent) reply {
		if a.status != stopped || q.now.Sub(a.stoppedAt) > turnsFor {
			return notFound()
		}
		all := a.talk.turns
		pages := max(1, (len(all)+int(size)-1)/int(size))
		first := min(len(all), int(index-1)*int(size))
		page := all[first:min(len(all), first+int(size))]
		turns := make([]document, len(page))
		for i := range page {
			turns[i] = page[i].document(a)
		}
		return success(document{
			"agent_id": a.id, "name": a.name, "channel": a.channel, "total_turn_count": len(all),
			"pagination": document{"page_index": index, "total_pages": pages, "is_last_page": int(index) >= pages},
			"turns":      turns,
		})
	})
}

// invalidPhone is the answer to a number that is not in E.164 format, or nil.
func invalidPhone(name, number string) *reply {
	if isE164(number) {
		return nil
	}
	r := failure(http.StatusBadRequest, "invalid_phone_format", fmt.Sprintf("Invalid phone number format (not E.164 format): %s.", name))
	return &r
}

// isE164 reports whether s is "+" and 2 to 15 digits, the first not 0.
func isE164(s string) bool {
	if len(s) < 3 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
