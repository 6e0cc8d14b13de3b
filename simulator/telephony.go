package simulator

import "net/http"

// Directions of a phone call. Nobody calls the simulator, so that all are
// outbound.
const (
	inbound  = "inbound"
	outbound = "outbound"
)

// call starts an outbound phone call and its agent. It is answered at once.
func (s *Simulator) call(q *request) reply {
	f, wrong := parseBody(q.body, false)
	if wrong != nil {
		return *wrong
	}
	sip := f.object("sip", true)
	phone := &phone{to: sip.text("to_number", true), from: sip.text("from_number", true), pipeline: f.text("pipeline_id", false)}
	gateway := sip.uid("rtc_uid", true, true)
	gatewayToken := sip.text("rtc_token", s.options.RequireBodyToken)
	v := s.readSession(q, f)
	s.checkBodyToken(q, sip, "rtc_token", gatewayToken, v.channel, gateway, false)
	if f.failed() {
		return f.failure.startReply()
	}
	if wrong := invalidPhone("to_number", phone.to); wrong != nil {
		return *wrong
	}
	if wrong := invalidPhone("from_number", phone.from); wrong != nil {
		return *wrong
	}
	app := s.agents.lock(q.path.AppID, q.now)
	defer s.agents.mu.Unlock()
	if s.agents.full(app) {
		return overQuota()
	}
	a := &agent{session: v, phone: phone, startedAt: q.now}
	s.agents.start(app, a)
	a.talk.greet(q.now, v.greeting)
	return success(document{"agent_id": a.id})
}

func (s *Simulator) callQuery(q *request) reply {
	return s.withCall(q, true, func(_ *appAgents, a *agent) reply { return success(a.callDocument()) })
}

func (s *Simulator) hangup(q *request) reply {
	return s.withCall(q, false, func(app *appAgents, a *agent) reply {
		s.agents.stop(app, a, q.now, "agent exits with reason: hangup requested", "request")
		return success(document{})
	})
}

// withCall is withAgent for agents of phone calls.
func (s *Simulator) withCall(q *request, alsoEnded bool, f func(*appAgents, *agent) reply) reply {
	noCall := failure(http.StatusNotFound, "not_found", "The specified call session was not found.")
	answer := s.withAgent(q, alsoEnded, func(app *appAgents, a *agent) reply {
		if a.phone == nil {
			return noCall
		}
		return f(app, a)
	})
	if answer.status == http.StatusNotFound {
		return noCall
	}
	return answer
}

func (a *agent) callDocument() document {
	d := document{
		"to_number": a.phone.to, "from_number": a.phone.from, "pipeline_id": a.phone.pipeline,
		"type": outbound, "agent_id": a.id, "channel": a.channel,
		"create_ts": a.startedAt.Unix(), "state": "answered", "stop_ts": nil,
	}
	if a.status == stopped {
		d["state"], d["stop_ts"], d["reason"] = "hangup", a.stoppedAt.Unix(), a.phone.reason
	}
	return d
}
