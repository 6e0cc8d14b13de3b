package simulator

import (
	"math"
	"slices"
	"time"
)

// Defaults of the lists (the vendor's list and call history references).
const (
	listPeriod     = 2 * time.Hour
	callListPeriod = 60 * 24 * time.Hour
	listLimit      = 20
)

// list lists agents. Its cursor is the ID of the first agent of a page, as the
// vendor documents it.
func (s *Simulator) list(q *request) reply {
	p := parameters{Values: q.URL.Query()}
	from, to := p.period(q.now, listPeriod)
	states := p.states()
	channel := p.Get("channel")
	limit := p.integer("limit", listLimit, 1, math.MaxInt32)

	app := s.agents.lock(q.path.AppID, q.now)
	defer s.agents.mu.Unlock()
	start := app.cursor(&p)
	if p.failed() {
		return p.failure.reply()
	}
	matching := app.newestFirst(func(a *agent) bool {
		at := a.startedAt.Unix()
		return states[a.status] && at >= from && at <= to && (channel == "" || a.channel == channel)
	})
	page, next := cut(matching, int(limit), func(a *agent) bool { return start != nil && a.sequence > start.sequence })
	cursor := ""
	if next != nil {
		cursor = next.id
	}
	entries := make([]document, len(page))
	for i, a := range page {
		entries[i] = document{"start_ts": a.startedAt.Unix(), "status": a.status.String(), "agent_id": a.id}
	}
	return listReply(entries, cursor, len(matching))
}

// callList lists phone calls. Its cursor is the ID of the last call of the page
// before, as the vendor documents it.
func (s *Simulator) callList(q *request) reply {
	p := parameters{Values: q.URL.Query()}
	from, to := p.period(q.now, callListPeriod)
	number, direction := p.Get("number"), p.Get("type")
	if direction != "" && direction != inbound && direction != outbound {
		p.fail("type", "must be one of inbound, outbound")
	}
	limit := p.integer("limit", listLimit, 1, math.MaxInt32)

	app := s.agents.lock(q.path.AppID, q.now)
	defer s.agents.mu.Unlock()
	last := app.cursor(&p)
	if p.failed() {
		return p.failure.unprocessable()
	}
	matching := app.newestFirst(func(a *agent) bool {
		at := a.startedAt.Unix()
		return a.phone != nil && at >= from && at <= to && direction != inbound &&
			(number == "" || a.phone.to == number || a.phone.from == number)
	})
	page, _ := cut(matching, int(limit), func(a *agent) bool { return last != nil && a.sequence >= last.sequence })
	cursor := ""
	entries := make([]document, len(page))
	for i, a := range page {
		entries[i] = a.callDocument()
		cursor = a.id
	}
	return listReply(entries, cursor, len(matching))
}

// cursor is the agent that the parameter cursor names, if there is one.
func (app *appAgents) cursor(p *parameters) *agent {
	id := p.Get("cursor")
	if id == "" {
		return nil
	}
	a := app.byID[id]
	if a == nil {
		p.fail("cursor", "unknown")
	}
	return a
}

func (app *appAgents) newestFirst(wanted func(*agent) bool) []*agent {
	var list []*agent
	for _, a := range slices.Backward(app.ordered) {
		if wanted(a) {
			list = append(list, a)
		}
	}
	return list
}

// cut returns the first entries of a list, at most limit, that are not before
// the page, and the one behind them.
func cut(list []*agent, limit int, before func(*agent) bool) (page []*agent, next *agent) {
	first := slices.IndexFunc(list, func(a *agent) bool { return !before(a) })
	if first < 0 {
		return nil, nil
	}
	rest := list[first:]
	if len(rest) > limit {
		return rest[:limit], rest[limit]
	}
	return rest, nil
}

func listReply(entries []document, cursor string, total int) reply {
	return success(document{
		"data":   document{"count": len(entries), "list": entries},
		"meta":   document{"cursor": cursor, "total": total},
		"status": "ok",
	})
}
