package caddymodule

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
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

// bodyToken makes a token for a body: each time a new one, which lives as long
// from its own time as it is configured to. Tokens of the cache are in the middle
// of their lives, and the vendor advises against one token for header and body.
// It is not compressed, which would take longer than all the rest of filling.
//
// Where the vendor assigns the uid, nobody knows whom the token will be for. Its
// RTC uid is then "", which fits any, and its RTM account "0", the agent_rtc_uid
// that asks for it. This is our choice: the vendor documents only "set the token
// accordingly".
func (p *project) bodyToken(channel, account string) (string, error) {
	t, err := token.NewConvoAI(p.appID, channel, account, uint32(p.lifetime/time.Second), 0)
	if err != nil {
		return "", err
	}
	if account == api.AssignedAccount {
		if rtc, ok := t.Service(token.ServiceRTC); ok {
			rtc.Account = ""
		}
	}
	t.IssuedAt = uint32(p.now().Unix())
	return t.SignStored(p.certificate.load().text)
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
