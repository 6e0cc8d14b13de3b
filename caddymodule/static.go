package caddymodule

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/token"
)

// staticCredential is the header made of a secret that is sent as it is.
type staticCredential struct {
	source    *secretValue
	header    string
	secret    string
	expiresAt time.Time // zero: never

	saidExpired atomic.Bool // in the log
}

// sayExpired says once that a pre-built token has expired.
func (p *project) sayExpired(static *staticCredential) {
	if !static.saidExpired.Swap(true) {
		p.logger.Warn("the configured auth_token has expired: calls are refused until it is replaced",
			zap.String("app_id_ends_in", p.ends()), zap.Time("expired_at", static.expiresAt))
	}
}

// errTokenExpired is why a call with a pre-built token cannot go out.
var errTokenExpired = errors.New("the configured auth_token has expired")

// basic returns the header of Basic mode.
func (p *project) basic() *staticCredential {
	value := p.customerSecret.load()
	if static := p.static.Load(); static != nil && static.source == value {
		return static
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(p.customerID + ":" + value.text))
	static := &staticCredential{source: value, header: "Basic " + encoded, secret: encoded}
	p.static.Store(static)
	return static
}

// preBuilt returns the header of pre-built token mode with the token's expiry.
func (p *project) preBuilt() (*staticCredential, error) {
	value := p.authToken.load()
	if static := p.static.Load(); static != nil && static.source == value {
		return static, nil
	}
	t, err := parseAuthToken(value.text, p.appID)
	if err != nil {
		return nil, err
	}
	static := &staticCredential{source: value, header: tokenHeader(t.text, p.quote), secret: t.text, expiresAt: t.expiresAt}
	p.static.Store(static)
	return static, nil
}

type authToken struct {
	text      string
	expiresAt time.Time
}

// parseAuthToken reads a configured auth_token: "007…", with or without
// "agora token=" in front and quotes around it.
func parseAuthToken(value, appID string) (authToken, error) {
	text := value
	if len(text) >= len(tokenScheme) && strings.EqualFold(text[:len(tokenScheme)], tokenScheme) {
		text = strings.Trim(text[len(tokenScheme):], `"`)
	}
	t, err := token.Parse(text)
	if err != nil {
		return authToken{}, fmt.Errorf("auth_token: %w", err)
	}
	if t.AppID != appID {
		return authToken{}, errors.New("auth_token was made for another app_id")
	}
	return authToken{text: text, expiresAt: t.ExpiresAt()}, nil
}
