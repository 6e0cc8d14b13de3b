package caddymodule

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/cache"
)

// Auth modes, as {http.convoai.auth_mode} shows them and as the vendor's SDKs
// name them.
const (
	modeBasic = "basic"
	modeToken = "token"
	modeApp   = "app-credentials"
)

// The channel and account of calls that are about no channel, as the vendor's
// own client signs /leave. Source: StopAgent in agora-agents-go.
const (
	stopChannel = "stop"
	stopAccount = "0"
)

// project is one app that calls may be made for, with its credentials.
type project struct {
	appID string
	mode  string

	certificate    *secret // nil where none is configured
	secondary      *secret // nil where none is configured
	customerID     string  // Basic mode
	customerSecret *secret // Basic mode
	authToken      *secret // pre-built mode
	callerToken    *secret // nil where callers need none

	lifetime time.Duration // of minted tokens
	scope    string
	quote    bool
	fill     bool // tokens in bodies
	handsOut bool // signs tokens for others, and no calls

	static atomic.Pointer[staticCredential] // the last header made of a static secret
	signs  atomic.Pointer[signing]          // what tokens were signed with last
	state  *state
	events *emitter // nil: emits none
	logger *zap.Logger
	now    func() time.Time

	refused    change // the credential, by the vendor
	unmintable change // tokens cannot be made

	mu     sync.Mutex // guards closed, and writes of signs
	closed bool
}

// credential is what a call is sent with. A static one has no minted token.
type credential struct {
	header string
	secret string // the part of header that must not come back
	minted *mintedToken
	key    tokenKey
	signer *signer

	tentative bool         // dated by a clock that tokens are not dated by yet
	looked    bool         // in the cache
	result    cache.Result // of that

	expiresAt time.Time // zero: never
}

// newProject evaluates c. Errors name the subdirective, never a value.
func newProject(c Credentials, s Settings, shared *state, logger *zap.Logger, now func() time.Time) (*project, error) {
	if err := c.checkMode(); err != nil {
		return nil, err
	}
	p := &project{
		lifetime: time.Duration(s.ExpiresIn),
		scope:    s.Scope,
		quote:    *s.QuoteToken,
		state:    shared,
		logger:   logger,
		now:      now,
	}
	var err error
	if p.appID, err = replace("app_id", c.AppID); err != nil {
		return nil, err
	}
	if err := checkID("app_id", p.appID); err != nil {
		if hasPlaceholder(c.AppID) {
			err = fmt.Errorf("%w (it comes from %s)", err, placeholders(c.AppID))
		}
		return nil, err
	}
	optional := func(name, raw string, check func(string) error) *secret {
		if raw == "" || err != nil {
			return nil
		}
		var made *secret
		if made, err = newSecret(name, raw, check, logger, now); err == nil {
			made.reloaded = shared.metrics.reloaded
		}
		return made
	}
	p.certificate = optional("app_certificate", c.AppCertificate, func(v string) error { return checkID("app_certificate", v) })
	p.secondary = optional("app_certificate_secondary", c.AppCertificateSecondary, func(v string) error { return checkID("app_certificate_secondary", v) })
	p.customerSecret = optional("customer_secret", c.CustomerSecret, checkSecretText("customer_secret"))
	p.authToken = optional("auth_token", c.AuthToken, func(v string) error { _, err := parseAuthToken(v, p.appID); return err })
	callerToken := c.CallerToken
	setDefault(&callerToken, s.CallerToken)
	p.callerToken = optional("caller_token", callerToken, checkSecretText("caller_token"))
	if err != nil {
		return nil, err
	}

	p.fill = p.certificate != nil && (s.FillTokens == nil || *s.FillTokens)
	switch {
	case c.CustomerID != "":
		p.mode = modeBasic
		if p.customerID, err = replace("customer_id", c.CustomerID); err != nil {
			return nil, err
		}
		if err := checkSecretText("customer_id")(p.customerID); err != nil {
			return nil, err
		}
		if strings.Contains(p.customerID, ":") {
			return nil, errors.New("customer_id must not contain a colon")
		}
	case c.AuthToken != "":
		p.mode = modeToken
		if static, err := p.preBuilt(); err == nil && !now().Before(static.expiresAt) {
			p.sayExpired(static)
		}
	case c.AppCertificate != "":
		p.mode = modeApp
	default:
		return nil, errors.New("app_certificate, customer_id or auth_token is required beside app_id")
	}
	if p.certificate != nil {
		if g := p.signing(); p.secondary != nil && g.signers[secondary] == nil {
			logger.Warn("app_certificate_secondary is the same as app_certificate: there is nothing to fall back on",
				zap.String("app_id_ends_in", p.ends()))
		}
	}
	return p, nil
}

// authorize returns the credential for a call of op. session is what the body
// says, for an operation that is signed by its body.
func (p *project) authorize(ctx context.Context, op *api.Operation, session api.Session) (credential, error) {
	switch p.mode {
	case modeBasic:
		static := p.basic()
		return credential{header: static.header, secret: static.secret}, nil
	case modeToken:
		static, err := p.preBuilt()
		if err != nil {
			return credential{}, err
		}
		if !p.now().Before(static.expiresAt) {
			p.sayExpired(static)
			return credential{}, errTokenExpired
		}
		return credential{header: static.header, secret: static.secret, expiresAt: static.expiresAt}, nil
	}
	key := tokenKey{channel: stopChannel, account: stopAccount, lifetime: p.seconds(), quoted: p.quote}
	if p.signsByBody(op) {
		key.channel, key.account = session.Channel, session.Account
	}
	return p.minted(ctx, p.signing().inUse(), key)
}

// seconds is the lifetime of minted tokens as the vendor counts it.
func (p *project) seconds() uint32 { return uint32(p.lifetime / time.Second) }

// signsByBody reports whether the token for a call of op carries the channel and
// account of its body.
func (p *project) signsByBody(op *api.Operation) bool {
	return p.mode == modeApp && p.scope == scopeSession && op.SignedByBody
}

// follow looks at the files of p's secrets, if that has not been done lately.
func (p *project) follow() {
	if p.certificate != nil {
		p.signing()
	}
	for _, s := range []*secret{p.customerSecret, p.authToken, p.callerToken} {
		s.load()
	}
}

// followsFiles reports whether any of p's secrets is in a file.
func (p *project) followsFiles() bool {
	return slices.ContainsFunc(p.secrets(), func(s *secret) bool { return len(s.files) > 0 })
}

// secrets returns those of p's secrets that are configured.
func (p *project) secrets() []*secret {
	all := []*secret{p.certificate, p.secondary, p.customerSecret, p.authToken, p.callerToken}
	return slices.DeleteFunc(all, func(s *secret) bool { return s == nil })
}

// ends is the end of the app ID, to name the app by in the log.
func (p *project) ends() string { return p.appID[len(p.appID)-4:] }

// callerMay reports whether a caller that sent given as its caller token may use
// the app. It takes the same time whatever was sent.
func (p *project) callerMay(given string) bool {
	if p.callerToken == nil {
		return true
	}
	identity := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(identity[:], p.callerToken.load().identity[:]) == 1
}
