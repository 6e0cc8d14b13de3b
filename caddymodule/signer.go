package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// TokenSigner signs tokens that are handed out, as those for the people in a
// channel are, with the certificate of an app: the one that the sidecar signs its
// own calls with, followed in its file and dated by the vendor's clock likewise.
// It keeps no token.
type TokenSigner struct {
	project *project
}

// TokenSigner returns the signer of the app in c. What c leaves out comes from the
// defaults: the default app's ID and certificates where c has no app ID, the
// certificates of the app of that ID where c has no others. The other fields of c
// do not matter.
func (a *App) TokenSigner(c Credentials, logger *zap.Logger) (*TokenSigner, error) {
	c = Credentials{AppID: c.AppID, AppCertificate: c.AppCertificate, AppCertificateSecondary: c.AppCertificateSecondary}
	known := a.Settings.apps()
	if c.AppID != "" {
		known = slices.DeleteFunc(known, func(other Credentials) bool { return other.AppID != c.AppID })
	}
	if len(known) > 0 {
		c = c.over(known[0])
	}
	switch {
	case c.AppID == "":
		return nil, errors.New("app_id is required, here or in the global option convoai")
	case c.AppCertificate == "":
		return nil, errors.New("app_certificate is required, here or in the global option convoai: no other credential can sign tokens")
	}
	c.CustomerID, c.CustomerSecret, c.AuthToken, c.CallerToken = "", "", "", ""
	p, err := a.project(c, Settings{}.withDefaults(), logger)
	if err != nil {
		return nil, err
	}
	p.handsOut = true
	return &TokenSigner{p}, nil
}

// AppID returns the app's ID.
func (s *TokenSigner) AppID() string { return s.project.appID }

// Now returns the time that tokens are to be dated by: the vendor's, as far as it
// is known.
func (s *TokenSigner) Now() time.Time {
	return s.project.now().Add(s.project.state.clock.offset())
}

// Sign signs a token and counts it as one of a kind, which must be one of a few:
// it becomes a label of caddy_convoai_mints_total. The error holds no secret.
func (s *TokenSigner) Sign(kind string, t interface {
	Sign(appCertificate string) (string, error)
}) (signed string, err error) {
	use := s.project.signing().inUse()
	signed, err = t.Sign(use.certificate)
	use.minted(kind, err)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed, nil
}

// Answered counts a request to the token server in
// caddy_convoai_requests_total{operation="token"}, and where it was refused, why
// in caddy_convoai_rejected_total. reason must be one of a few; "" is none.
func (s *TokenSigner) Answered(status int, reason string) {
	m := s.project.state.metrics
	m.requested("token", status)
	if reason != "" {
		m.rejected.WithLabelValues(reason).Inc()
	}
}
