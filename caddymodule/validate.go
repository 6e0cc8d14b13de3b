package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/region"
)

// validate checks what does not depend on placeholders.
func (s Settings) validate() error {
	if s.Area != "" {
		if _, err := region.ParseArea(s.Area); err != nil {
			return err
		}
	}
	switch s.Scope {
	case "", scopeSession, scopeApp:
	default:
		return errors.New("scope must be session or app")
	}
	if s.ExpiresIn != 0 && s.ExpiresIn < caddy.Duration(time.Second) {
		return errors.New("expires_in must be between 1s and 24h")
	}
	if s.MaxBody < 0 || s.MaxBody > maxMaxBody {
		return errors.New("max_body must be larger than 0 and at most 64MiB")
	}
	for _, timeout := range []struct {
		name  string
		value caddy.Duration
	}{
		{"dial_timeout", s.DialTimeout},
		{"tls_timeout", s.TLSTimeout},
		{"response_timeout", s.ResponseTimeout},
		{"failover_budget", s.FailoverBudget},
	} {
		if timeout.value < 0 {
			return fmt.Errorf("%s must be longer than 0", timeout.name)
		}
	}
	return nil
}
