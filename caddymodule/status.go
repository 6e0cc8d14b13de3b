package caddymodule

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/caddy-convoai/convoai/region"
)

// Status is what GET /convoai/status of the admin API answers: what the sidecar is
// doing, without anything that is secret and anything that is a caller's, such as
// channels and accounts. Times are RFC 3339 in UTC. Durations are numbers of
// seconds and have names that end in _seconds. What is not known is left out.
// Fields may be added.
type Status struct {
	// Version is that of this module, CaddyVersion Caddy's.
	Version      string `json:"version"`
	CaddyVersion string `json:"caddy_version,omitempty"`

	ProcessID     int       `json:"process_id"`
	StartedAt     time.Time `json:"started_at"` // of the process
	Time          time.Time `json:"time"`       // now, by this host's clock
	UptimeSeconds float64   `json:"uptime_seconds"`

	// Readiness is what /readyz would answer.
	Readiness Readiness `json:"readiness"`

	// Sites are the convoai handlers and the token servers. The numbers of
	// sites hold for a configuration.
	Sites []SiteStatus `json:"sites"`

	// Apps are the apps of all sites, the default app of a site first. One that
	// several sites have is there for each.
	Apps []AppStatus `json:"apps"`

	// Regions are the hosts of all sites, those of a site in the order in which
	// calls prefer them.
	Regions []HostStatus `json:"regions"`

	Clock    ClockStatus   `json:"clock"`
	Counters CounterStatus `json:"counters"`
}

// SiteStatus is one convoai handler or token server.
type SiteStatus struct {
	Site   int    `json:"site"`
	Serves string `json:"serves"`         // "calls" or "tokens"
	Area   string `json:"area,omitempty"` // of calls
	Apps   int    `json:"apps"`           // how many
	Ready  bool   `json:"ready"`
}

// HostStatus is one host of a site.
type HostStatus struct {
	Site   int    `json:"site"`
	Region string `json:"region"`
	Host   string `json:"host"` // with the port where that is not the usual one

	// State is "available", "resting" or "unproven", since a time. It decides
	// where calls go.
	State string    `json:"state"`
	Since time.Time `json:"since"`

	// Reachable says whether the last connection was made, ReachedAt when the
	// last call or probe began that has reached the host. They decide about
	// readiness.
	Reachable *bool      `json:"reachable,omitempty"`
	ReachedAt *time.Time `json:"reached_at,omitempty"`

	// LatencySeconds is how long a connection takes, as it decides about
	// preference; ConnectSeconds is how long that of the last probe took. Both
	// are of TCP and TLS, without the name's resolution.
	LatencySeconds float64 `json:"latency_seconds,omitempty"`
	ConnectSeconds float64 `json:"connect_seconds,omitempty"`

	// Of a host that is not available, or has not been used since: why it
	// rests or has rested, how often in a row, and until when.
	Cause      string     `json:"cause,omitempty"`
	Failures   int        `json:"failures,omitempty"`
	RestsUntil *time.Time `json:"rests_until,omitempty"`
}

// ClockStatus is what answers of the vendor have said of this host's clock.
type ClockStatus struct {
	// SkewSeconds is by how much it was ahead of the vendor's at the last answer,
	// give or take one.
	SkewSeconds *float64 `json:"skew_seconds,omitempty"`

	// OffsetSeconds is what is added to it when tokens are dated.
	OffsetSeconds float64 `json:"offset_seconds"`
}

// processStart is about when the process began.
var processStart = time.Now()

// status returns the present status. It takes readyWait at most.
func (a *App) status(ctx context.Context) Status {
	now := a.now()
	s := Status{
		Version:       Version(),
		CaddyVersion:  moduleVersion("github.com/caddyserver/caddy/v2"),
		ProcessID:     os.Getpid(),
		StartedAt:     moment(processStart),
		Time:          moment(now),
		UptimeSeconds: time.Since(processStart).Round(time.Millisecond).Seconds(),
		Readiness:     a.readiness(ctx),
		Sites:         []SiteStatus{},
		Apps:          []AppStatus{},
		Regions:       []HostStatus{},
		Clock:         a.state.clockStatus(),
		Counters:      a.state.metrics.status(),
	}
	tokens := a.state.tokenStatus()
	for _, site := range a.sites() {
		s.Sites = append(s.Sites, site.status(s.Readiness))
		for _, p := range site.projects {
			s.Apps = append(s.Apps, p.status(site.number, now, tokens[p.appID]))
		}
		if site.hosts == nil {
			continue
		}
		for _, host := range site.hosts.Snapshot() {
			s.Regions = append(s.Regions, hostStatus(site.number, host))
		}
	}
	return s
}

func (s *site) status(r Readiness) SiteStatus {
	status := SiteStatus{Site: s.number, Serves: "calls", Area: s.area, Apps: len(s.projects), Ready: true}
	if s.hosts == nil {
		status.Serves = "tokens"
	}
	for _, reason := range r.Reasons {
		if reason.Site == 0 || reason.Site == s.number {
			status.Ready = false
		}
	}
	return status
}

func hostStatus(site int, h region.Status) HostStatus {
	s := HostStatus{
		Site:           site,
		Region:         h.Endpoint.Region,
		Host:           h.Endpoint.URLHost(),
		State:          h.State.String(),
		Since:          moment(h.Since),
		ReachedAt:      momentOf(h.ReachedAt),
		LatencySeconds: h.Latency.Seconds(),
		ConnectSeconds: h.Connect.Seconds(),
		Failures:       h.Failures,
	}
	if h.Reach != region.Unknown {
		reachable := h.Reach == region.Reached
		s.Reachable = &reachable
	}
	if h.State == region.Resting || h.Failures > 0 {
		s.Cause = h.Cause.String()
		s.RestsUntil = momentOf(h.RestsUntil)
	}
	return s
}

func (s *state) clockStatus() ClockStatus {
	c := ClockStatus{OffsetSeconds: s.clock.offset().Seconds()}
	if skew, ok := s.clockSkew(); ok {
		c.SkewSeconds = &skew
	}
	return c
}

// moment is t as a status shows it: to the millisecond, in UTC.
func moment(t time.Time) time.Time { return t.Round(0).UTC().Truncate(time.Millisecond) }

// momentOf is moment, nil for no time.
func momentOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = moment(t)
	return &t
}

// Version returns the version of this module in the program that runs, as go
// version -m shows it: "(devel)" where it was built from a working copy.
func Version() string { return moduleVersion("github.com/caddy-convoai/convoai") }

func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if info.Main.Path == path {
		return info.Main.Version
	}
	for _, module := range info.Deps {
		if module.Path != path {
			continue
		}
		if module.Replace != nil && module.Replace.Version != "" {
			return module.Replace.Version
		}
		return module.Version
	}
	return ""
}
