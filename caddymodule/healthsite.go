package caddymodule

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-convoai/convoai/region"
)

// site is what is asked whether it is ready: a gate with its apps and hosts, or a
// token server with its app and no hosts.
type site struct {
	number   int // from 1, by which reports name it
	area     string
	projects []*project    // the default app first
	hosts    *region.Group // nil for a token server
	prober   region.Prober // nil where hosts cannot be probed
}

// listSites returns the sites of a's configuration, in an order that is the same
// for each that names the same: Caddy provisions servers in any order.
func (a *App) listSites() []*site {
	var list []*site
	for _, g := range a.gates {
		list = append(list, &site{area: g.area, projects: g.apps(), hosts: g.endpoints, prober: g.prober})
	}
	for _, p := range a.projects {
		if p.handsOut {
			list = append(list, &site{projects: []*project{p}})
		}
	}
	key := make(map[*site]string, len(list))
	for _, s := range list {
		key[s] = s.key()
	}
	slices.SortStableFunc(list, func(one, other *site) int { return cmp.Compare(key[one], key[other]) })
	for i, s := range list {
		s.number = i + 1
	}
	return list
}

// key orders sites: gates first, by what they are configured with.
func (s *site) key() string {
	var b strings.Builder
	if s.hosts == nil {
		b.WriteString("~")
	}
	b.WriteString(s.area)
	for _, p := range s.projects {
		b.WriteString(" " + p.appID + p.mode)
	}
	if s.hosts != nil {
		var hosts []string
		for _, e := range s.hosts.Endpoints() { // in whatever order they are preferred
			hosts = append(hosts, e.String())
		}
		slices.Sort(hosts)
		b.WriteString(" " + strings.Join(hosts, " "))
	}
	return b.String()
}

// apps returns g's apps, the default one first.
func (g *Gate) apps() []*project {
	return slices.SortedFunc(maps.Values(g.projects), func(one, other *project) int {
		switch g.defaultProject {
		case one:
			return -1
		case other:
			return 1
		}
		return cmp.Compare(one.appID, other.appID)
	})
}

// pair gives a's gates that have none the prober of a reverse proxy: it stands
// behind them, and modules are provisioned in the order in which they stand.
func (a *App) pair(p region.Prober) {
	for _, g := range a.gates {
		if !g.paired {
			g.paired, g.prober = true, p
			if p == nil {
				g.throughProxy(a.state.regions)
			}
		}
	}
}

// throughProxy says that g's calls go through a forward proxy. What is known of its
// hosts is kept apart from what sites know that reach them directly, or do not.
func (g *Gate) throughProxy(hosts *region.Tracker) {
	list := slices.Clone(g.candidates)
	for i := range list {
		list[i].Proxied = true
	}
	direct := g.endpoints
	g.endpoints = hosts.Group(list)
	direct.Release()
}

// problem returns why no credential can be made for p's calls, or no token where
// it hands them out; nil: it can.
func (p *project) problem() error {
	switch p.mode {
	case modeBasic:
		return nil // its secret was checked when it was read
	case modeToken:
		static, err := p.preBuilt()
		if err == nil && !p.now().Before(static.expiresAt) {
			err = errTokenExpired
		}
		return err
	}
	s := p.signing().inUse()
	t, err := s.dated(stopChannel, stopAccount, p.seconds(), s.clock.offset())
	if err == nil {
		_, err = t.Sign(s.certificate)
	}
	return err
}
