package simulator

import (
	"net/http"

	"github.com/caddy-convoai/convoai/api"
)

func (s *Simulator) join(q *request) reply {
	f, wrong := parseBody(q.body, false)
	if wrong != nil {
		return *wrong
	}
	v := s.readSession(q, f)
	if f.failed() {
		return f.failure.startReply()
	}
	app := s.agents.lock(q.path.AppID, q.now)
	defer s.agents.mu.Unlock()
	if other := app.byName[v.name]; other != nil {
		return failure(http.StatusConflict, api.ReasonTaskConflict,
			"An agent with the same name already exists, agent_id: "+other.id)
	}
	if s.agents.full(app) {
		return overQuota()
	}
	a := &agent{session: v, startedAt: q.now}
	s.agents.start(app, a)
	a.talk.greet(q.now, v.greeting)
	return a.created()
}

func overQuota() reply {
	return failure(http.StatusUnprocessableEntity, api.ReasonResourceQuotaLimitExceeded,
		"Too many concurrent requests, exceeding the quota limit.")
}

func (a *agent) created() reply {
	return success(document{"agent_id": a.id, "create_ts": a.startedAt.Unix(), "status": a.status.String()})
}

func (s *Simulator) leave(q *request) reply {
	return s.withAgent(q, false, func(app *appAgents, a *agent) reply {
		s.agents.stop(app, a, q.now, "agent exits with reason: leave requested", "request")
		return success(document{})
	})
}

// update takes what the vendor lets a caller change of a running agent. None of
// it has an effect here, but it is checked.
func (s *Simulator) update(q *request) reply {
	f, wrong := parseBody(q.body, true)
	if wrong != nil {
		return *wrong
	}
	p := f.object("properties", false)
	text := p.text("token", false)
	p.object("llm", false)
	p.object("mllm", false)
	return s.withAgent(q, false, func(_ *appAgents, a *agent) reply {
		s.checkBodyToken(q, p, "token", text, a.channel, a.account, false)
		if f.failed() {
			return f.failure.reply()
		}
		return a.created()
	})
}

func (s *Simulator) query(q *request) reply {
	return s.withAgent(q, true, func(_ *appAgents, a *agent) reply {
		stop := int64(0)
		if a.status == stopped {
			stop = a.stoppedAt.Unix()
		}
		return success(document{
			"message": a.message, "start_ts": a.startedAt.Unix(), "stop_ts": stop,
			"name": a.name, "status": a.status.String(), "agent_id": a.id,
		})
	})
}
