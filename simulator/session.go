package simulator

import (
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// maxIdleTimeout is the largest idle_timeout in seconds: 72 hours.
const maxIdleTimeout = 259200

// A session is what a join or a call asks for.
type session struct {
	name, channel, account string
	greeting               string
	multimodal             bool // an MLLM, which does not take speak
}

// readSession reads name and properties of a join or a call.
func (s *Simulator) readSession(q *request, f *fields) session {
	var v session
	v.name = f.text("name", true)
	f.text("preset", false)
	f.text("pipeline_id", false)
	p := f.object("properties", true)
	v.channel = p.text("channel", true)
	if len(v.channel) > token.MaxChannel {
		p.fail("channel", "must be shorter than %d bytes", token.MaxChannel+1)
	}
	bodyToken := p.text("token", s.options.RequireBodyToken)
	stringUID := p.flag("enable_string_uid", false)
	v.account = p.uid("agent_rtc_uid", true, stringUID)
	for _, uid := range p.texts("remote_rtc_uids", true) {
		if uid != "*" {
			p.checkUID("remote_rtc_uids", uid, stringUID)
		}
	}
	p.number("idle_timeout", 0, maxIdleTimeout)
	readGeofence(p)
	features := p.object("advanced_features", false)
	v.multimodal = features.flag("enable_mllm", false) || p.object("mllm", false).flag("enable", false)
	v.greeting = p.object("llm", false).text("greeting_message", false)
	s.checkBodyToken(q, p, "token", bodyToken, v.channel, v.account, features.flag("enable_rtm", false))
	return v
}

func readGeofence(p *fields) {
	if !p.has("geofence") {
		return
	}
	g := p.object("geofence", false)
	area := g.oneOf("area", "", "GLOBAL", "NORTH_AMERICA", "EUROPE", "ASIA", "INDIA", "JAPAN")
	if area == "" {
		g.text("area", true)
	}
	if g.oneOf("exclude_area", "", "NORTH_AMERICA", "EUROPE", "ASIA", "INDIA", "JAPAN") != "" && area != "GLOBAL" {
		g.fail("exclude_area", "needs the area GLOBAL")
	}
}

// checkBodyToken verifies a token in a body, if there is one and Options say so.
func (s *Simulator) checkBodyToken(q *request, f *fields, name, text, channel, account string, needsRTM bool) {
	if !s.options.VerifyBodyToken || text == "" || f.failed() {
		return
	}
	if problem := s.bodyTokenProblem(q.project, q.now, text, channel, account, needsRTM); problem != "" {
		f.fail(name, "invalid: %s", problem)
	}
}

// bodyTokenProblem says what is wrong with a token for a channel, or "".
func (s *Simulator) bodyTokenProblem(project *Project, now time.Time, text, channel, account string, needsRTM bool) string {
	t, err := token.Parse(text)
	if err != nil {
		return string(MalformedToken)
	}
	if t.AppID != project.AppID {
		return "it is for another app"
	}
	if verdict := s.judgeParsed(t, project, now); verdict != Accepted {
		return string(verdict)
	}
	rtc, _ := t.Service(token.ServiceRTC) // judgeParsed has seen it
	if rtc.Channel != channel && rtc.Channel != "" && rtc.Channel != "*" {
		return "it is for another channel"
	}
	if rtc.Account != account && rtc.Account != "" && rtc.Account != "*" {
		return "it is for another user"
	}
	if rtm, has := t.Service(token.ServiceRTM); needsRTM && !has {
		return string(NoRTM)
	} else if needsRTM && rtm.Account != account && account != "0" {
		return "its RTM service is for another user"
	}
	return ""
}
