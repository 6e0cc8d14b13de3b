package caddymodule

import (
	"time"

	"github.com/caddy-convoai/convoai/cache"
)

// AppStatus is one app of a site.
type AppStatus struct {
	Site        int    `json:"site"`
	AppIDEndsIn string `json:"app_id_ends_in"` // its last four characters
	Mode        string `json:"mode"`           // "app-credentials", "token" or "basic"

	// Ready says whether a credential can be made, Problem why not.
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"`

	// AuthTokenExpiresAt is when the configured auth_token ends.
	AuthTokenExpiresAt *time.Time `json:"auth_token_expires_at,omitempty"`

	// Secrets are those that are configured for the app.
	Secrets []SecretStatus `json:"secrets"`

	// Certificate is what tokens are signed with; absent without a certificate.
	Certificate *CertificateStatus `json:"certificate,omitempty"`

	// Tokens are the minted tokens that are kept for the app's calls; absent
	// where none are minted. Sites with the same app share them.
	Tokens *TokenStatus `json:"tokens,omitempty"`
}

// SecretStatus is where a secret comes from.
type SecretStatus struct {
	// Name is the subdirective.
	Name string `json:"name"`

	// Source are its placeholders, such as {env.X}, and "literal" where it has
	// none.
	Source string `json:"source"`

	// FollowsFile says that it is read again when its file changes.
	FollowsFile bool `json:"follows_file"`

	// ReloadedAt is when another value was last taken over from it.
	ReloadedAt *time.Time `json:"reloaded_at,omitempty"`

	// ReloadFailing says that the file holds what cannot be used, so that the
	// previous value is kept. ReloadFailedAt is when it last came to that, and
	// ReloadError why, without the content.
	ReloadFailing  bool       `json:"reload_failing,omitempty"`
	ReloadFailedAt *time.Time `json:"reload_failed_at,omitempty"`
	ReloadError    string     `json:"reload_error,omitempty"`
}

// CertificateStatus is the standing of an app's certificates with the vendor.
type CertificateStatus struct {
	// InUse is app_certificate or app_certificate_secondary.
	InUse string `json:"in_use"`

	// Secondary says that there is a second one to fall back on.
	Secondary bool `json:"secondary"`

	// Refused says that the vendor has refused fresh tokens, and has accepted
	// none since. Until RestsUntil refused tokens are not replaced.
	Refused    bool       `json:"refused"`
	RestsUntil *time.Time `json:"rests_until,omitempty"`
}

// TokenStatus is what there is to know of minted tokens.
type TokenStatus struct {
	Count   int `json:"count"`
	Failing int `json:"failing"` // those of which the last mint has failed

	// Of all of them: when the first and the last were issued, when the next
	// refresh is due, and when the first expires.
	IssuedFirstAt  *time.Time `json:"issued_first_at,omitempty"`
	IssuedLastAt   *time.Time `json:"issued_last_at,omitempty"`
	NextRefreshAt  *time.Time `json:"next_refresh_at,omitempty"`
	ExpiresFirstAt *time.Time `json:"expires_first_at,omitempty"`
}

// status returns p's status. tokens are those of its App ID.
func (p *project) status(site int, now time.Time, tokens TokenStatus) AppStatus {
	s := AppStatus{Site: site, AppIDEndsIn: p.ends(), Mode: p.mode, Ready: true, Secrets: []SecretStatus{}}
	if problem := p.problem(); problem != nil {
		s.Ready, s.Problem = false, problem.Error()
	}
	for _, secret := range p.secrets() {
		s.Secrets = append(s.Secrets, secret.status())
	}
	if p.mode == modeToken {
		if static, err := p.preBuilt(); err == nil {
			s.AuthTokenExpiresAt = momentOf(static.expiresAt)
		}
	}
	if p.certificate != nil {
		s.Certificate = p.signing().status(now)
	}
	if p.mode == modeApp && !p.handsOut {
		s.Tokens = &tokens
	}
	return s
}

// status returns where s comes from, and how its file has changed.
func (s *secret) status() SecretStatus {
	status := SecretStatus{Name: s.name, Source: placeholders(s.raw), FollowsFile: len(s.files) > 0, ReloadFailing: s.bad.Load()}
	if status.Source == "" {
		status.Source = "literal"
	}
	if last := s.taken.Load(); last != nil {
		status.ReloadedAt = momentOf(last.at)
	}
	if last := s.failed.Load(); last != nil {
		status.ReloadFailedAt, status.ReloadError = momentOf(last.at), last.err.Error()
	}
	return status
}

func (g *signing) status(now time.Time) *CertificateStatus {
	s := &CertificateStatus{InUse: certificateNames[g.standing.inUse.Load()], Secondary: g.signers[secondary] != nil}
	g.standing.mu.Lock()
	defer g.standing.mu.Unlock()
	s.Refused = g.standing.rest.count > 0
	if g.standing.rest.on(now) {
		s.RestsUntil = momentOf(g.standing.rest.until)
	}
	return s
}

// tokenStatus returns what there is to know of the minted tokens, by App ID.
func (s *state) tokenStatus() map[string]TokenStatus {
	all := make(map[string]TokenStatus)
	s.tokens.Each(func(i cache.Info[tokenKey]) bool {
		appID := i.Key.signer.Value().appID
		t := all[appID]
		t.Count++
		if i.Failures > 0 {
			t.Failing++
		}
		t.IssuedFirstAt = first(t.IssuedFirstAt, i.IssuedAt)
		t.NextRefreshAt = first(t.NextRefreshAt, i.RefreshAt)
		t.ExpiresFirstAt = first(t.ExpiresFirstAt, i.ExpiresAt)
		if t.IssuedLastAt == nil || i.IssuedAt.After(*t.IssuedLastAt) {
			t.IssuedLastAt = momentOf(i.IssuedAt)
		}
		all[appID] = t
		return true
	})
	return all
}

// first returns the earlier of two times, of which a may be none.
func first(a *time.Time, b time.Time) *time.Time {
	if a == nil || b.Before(*a) {
		return momentOf(b)
	}
	return a
}
