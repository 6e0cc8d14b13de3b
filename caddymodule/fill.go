package caddymodule

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
)

// fills reports whether the body of a call of op is completed with tokens. That
// takes the certificate, whatever the mode of the header is.
func (p *project) fills(op *api.Operation) bool { return p.fill && op.SignedByBody }

// room is how many bytes a body of a call of op may grow by.
func (p *project) room(op *api.Operation) int {
	if p.fills(op) {
		return api.Room
	}
	return 0
}

// read reads the body of a call of op as far as it has to be: to sign for the
// session that it names, and to complete it. The second result is nil where the
// body is sent as it is.
func (p *project) read(op *api.Operation, body []byte) (api.Session, *api.Body, error) {
	switch {
	case p.fills(op):
		b, err := api.ParseBody(op, body)
		if err != nil {
			return api.Session{}, nil, err
		}
		return b.Session, b, nil
	case p.signsByBody(op):
		session, err := api.ParseSession(body)
		return session, nil, err
	}
	return api.Session{}, nil, nil
}

// digestHeaders say something of a body that is no longer true once it has been
// completed.
var digestHeaders = []string{"Content-Digest", "Content-Md5", "Digest", "Repr-Digest"}

func deleteDigests(h http.Header) {
	for _, name := range digestHeaders {
		delete(h, name)
	}
}

// warnOfUnfilled says once in each configuration which apps have no certificate
// to fill tokens with, however many handlers share them. Nobody is warned who has
// switched filling off.
func (a *App) warnOfUnfilled(projects map[string]*project, s Settings, logger *zap.Logger) {
	if !*s.FillTokens {
		return
	}
	var appIDs []string
	for _, credentials := range s.apps() {
		appID, _ := replace("app_id", credentials.AppID)
		if p := projects[appID]; p != nil && p.certificate == nil && !a.unfilled[appID] {
			if a.unfilled == nil {
				a.unfilled = make(map[string]bool)
			}
			a.unfilled[appID] = true
			appIDs = append(appIDs, appID)
		}
	}
	if len(appIDs) > 0 {
		logger.Warn("tokens in join and call bodies are not filled, for want of app_certificate; fill_tokens off says that this is intended",
			zap.Strings("app_ids", appIDs))
	}
}
