package caddymodule

import (
	"context"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/region"
)

// Readiness is whether calls can be carried out, as /readyz answers it.
type Readiness struct {
	// Status is "ready" or "unready".
	Status string `json:"status"`

	// Reasons are why it is not ready. Empty if it is.
	Reasons []Reason `json:"reasons,omitempty"`
}

// The values of Readiness.Status.
const (
	StatusReady   = "ready"
	StatusUnready = "unready"
)

// Ready reports whether r is ready.
func (r Readiness) Ready() bool { return r.Status == StatusReady }

// Reason is one thing that stands in the way of being ready.
type Reason struct {
	// Reason is one of the words below.
	Reason string `json:"reason"`

	// Site is the number of the site that it is about, as GET /convoai/status
	// has it; 0 for none in particular.
	Site int `json:"site,omitempty"`

	// AppIDsEndIn are the last four characters of the App IDs that it is about,
	// of five at most.
	AppIDsEndIn []string `json:"app_ids_end_in,omitempty"`

	// Hosts are the hosts that it is about, with the port where that is not the
	// usual one.
	Hosts []string `json:"hosts,omitempty"`

	// Detail is what is known beyond that.
	Detail string `json:"detail,omitempty"`
}

// The values of Reason.Reason.
const (
	// ReasonStarting: it is not known yet whether a host can be reached.
	ReasonStarting = "starting"

	// ReasonStopping: the process, or this server, is about to end.
	ReasonStopping = "stopping"

	// ReasonNothingConfigured: there is neither a convoai handler nor a token
	// server.
	ReasonNothingConfigured = "nothing_configured"

	// ReasonNoCredential: for none of the site's apps a credential can be made.
	ReasonNoCredential = "no_credential"

	// ReasonNoHost: none of the site's hosts can be reached.
	ReasonNoHost = "no_host_reachable"
)

// readyWait is how long an answer may wait for probes. Whoever asks waits for a
// second, as Kubernetes does by default.
const readyWait = 700 * time.Millisecond

// maxReasonApps is how many apps a reason names.
const maxReasonApps = 5

// readiness asks all sites, and says in the log when the answer is another than
// the last one. It takes readyWait at most.
func (a *App) readiness(ctx context.Context) Readiness {
	if caddy.Exiting() {
		return unready(Reason{Reason: ReasonStopping})
	}
	sites := a.sites()
	if len(sites) == 0 {
		return unready(Reason{Reason: ReasonNothingConfigured})
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	reaches := reachesOf(ctx, sites)
	var reasons []Reason
	for i, s := range sites {
		if problem := s.lacksCredential(); problem != nil {
			reasons = append(reasons, *problem)
		}
		if problem := s.lacksHost(reaches[i]); problem != nil {
			reasons = append(reasons, *problem)
		}
	}
	r := Readiness{Status: StatusReady}
	if len(reasons) > 0 {
		r = unready(reasons...)
	}
	a.state.readiness.log(r)
	return r
}

func unready(reasons ...Reason) Readiness {
	return Readiness{Status: StatusUnready, Reasons: reasons}
}

// reachesOf asks the hosts of all sites at the same time.
func reachesOf(ctx context.Context, sites []*site) []region.Reach {
	reaches := make([]region.Reach, len(sites))
	var asking sync.WaitGroup
	for i, s := range sites {
		switch {
		case s.hosts == nil:
		case len(sites) == 1:
			reaches[i] = s.hosts.Reach(ctx, s.prober)
		default:
			asking.Go(func() { reaches[i] = s.hosts.Reach(ctx, s.prober) })
		}
	}
	asking.Wait()
	return reaches
}

// lacksCredential returns why s is not ready for want of a credential. One app for
// which there is one is enough: its calls must not suffer for those of the others.
func (s *site) lacksCredential() *Reason {
	lacks := &Reason{Reason: ReasonNoCredential, Site: s.number}
	for _, p := range s.projects {
		problem := p.problem()
		if problem == nil {
			return nil
		}
		if len(lacks.AppIDsEndIn) < maxReasonApps {
			lacks.AppIDsEndIn = append(lacks.AppIDsEndIn, p.ends())
		}
		if lacks.Detail == "" {
			lacks.Detail = problem.Error()
		}
	}
	return lacks
}

// lacksHost returns why s is not ready for want of a host.
func (s *site) lacksHost(reach region.Reach) *Reason {
	if s.hosts == nil || reach == region.Reached {
		return nil
	}
	lacks := &Reason{Reason: ReasonNoHost, Site: s.number}
	if reach == region.Unknown {
		lacks.Reason = ReasonStarting
	}
	for _, e := range s.hosts.Endpoints() {
		lacks.Hosts = append(lacks.Hosts, e.URLHost())
	}
	return lacks
}

// readinessLog says in the log when readiness has changed.
type readinessLog struct {
	mu    sync.Mutex // guards known and ready
	known bool
	ready bool
}

func (l *readinessLog) log(r Readiness) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known && l.ready == r.Ready() || !l.known && r.starting() {
		return
	}
	l.known, l.ready = true, r.Ready()
	logger := caddy.Log().Named("convoai.health")
	if r.Ready() {
		logger.Info("ready: a credential can be made, and a host can be reached")
		return
	}
	logger.Warn("not ready", zap.Any("reasons", r.Reasons))
}

// starting reports whether all that is missing is time.
func (r Readiness) starting() bool {
	for _, reason := range r.Reasons {
		if reason.Reason != ReasonStarting {
			return false
		}
	}
	return len(r.Reasons) > 0
}
