package simulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
)

// A Verdict says why a credential was accepted or not. It is for tests: a caller
// never learns more than 401.
type Verdict string

// The verdicts. A call that is no route has none.
const (
	Accepted          Verdict = "accepted"
	NoCredential      Verdict = "no Authorization, or an empty one"
	SeveralValues     Verdict = "more than one Authorization value"
	UnknownScheme     Verdict = "neither agora token= nor Basic"
	MalformedToken    Verdict = "not a token of version 007"
	MalformedBasic    Verdict = "not base64 of id:secret"
	UnknownProject    Verdict = "no project has this app ID, or it has no app certificate"
	OtherProject      Verdict = "the token is for another app than the path"
	WrongSignature    Verdict = "signed with another app certificate"
	Expired           Verdict = "expired"
	IssuedInTheFuture Verdict = "issued in the future"
	NoRTC             Verdict = "no RTC service"
	NoRTM             Verdict = "no RTM service"
	WrongCustomer     Verdict = "wrong customer ID or secret"
	OtherCustomer     Verdict = "the customer does not own the app"
)

// A Credential is what a call brought along to authenticate.
type Credential struct {
	// Scheme is "token", "basic", or "" where neither could be recognised.
	Scheme string
	// Quoted says that the token stood in quotes.
	Quoted bool
	// Token is the token, where it could be parsed, verified or not.
	Token *token.Token
	// CustomerID is the ID of a Basic credential.
	CustomerID string
}

// authorize finds out who is calling and sets q.project, or returns a refusal.
func (s *Simulator) authorize(q *request) (Credential, Verdict, *reply) {
	credential, verdict := s.judge(q)
	switch verdict {
	case Accepted:
		return credential, verdict, nil
	case NoCredential:
		return credential, verdict, gatewayError(http.StatusUnauthorized, "Unauthorized")
	case OtherCustomer:
		refusal := failure(http.StatusForbidden, api.ReasonInvalidPermission, "The service is not activated.")
		return credential, verdict, &refusal
	}
	return credential, verdict, gatewayError(http.StatusUnauthorized, "Invalid authentication credentials")
}

func (s *Simulator) judge(q *request) (Credential, Verdict) {
	values := q.Header.Values("Authorization")
	switch {
	case len(values) > 1:
		return Credential{}, SeveralValues
	case len(values) == 0 || values[0] == "":
		return Credential{}, NoCredential
	}
	if text, ok := strings.CutPrefix(values[0], "agora token="); ok {
		return s.judgeToken(q, text)
	}
	if scheme, _, _ := strings.Cut(values[0], " "); strings.EqualFold(scheme, "Basic") {
		return s.judgeBasic(q)
	}
	return Credential{}, UnknownScheme
}

func (s *Simulator) judgeToken(q *request, text string) (Credential, Verdict) {
	credential := Credential{Scheme: "token"}
	if inner, ok := strings.CutPrefix(text, `"`); ok {
		if text, ok = strings.CutSuffix(inner, `"`); !ok {
			return credential, MalformedToken
		}
		credential.Quoted = true
	}
	t, err := token.Parse(text)
	if err != nil {
		return credential, MalformedToken
	}
	credential.Token = t
	if q.path.AppID != "" && t.AppID != q.path.AppID {
		return credential, OtherProject
	}
	project := (*s.projects.Load())[t.AppID]
	if project == nil {
		return credential, UnknownProject
	}
	verdict := s.judgeParsed(t, project, q.now)
	if _, has := t.Service(token.ServiceRTM); verdict == Accepted && s.options.RequireRTM && !has {
		verdict = NoRTM
	}
	q.project = project
	return credential, verdict
}

// judgeParsed checks signature, time and RTC of a token.
func (s *Simulator) judgeParsed(t *token.Token, project *Project, now time.Time) Verdict {
	if project.AppCertificate == "" {
		return UnknownProject
	}
	if t.Verify(project.AppCertificate) != nil &&
		(project.AppCertificateSecondary == "" || t.Verify(project.AppCertificateSecondary) != nil) {
		return WrongSignature
	}
	if verdict := s.judgeTime(t, now); verdict != Accepted {
		return verdict
	}
	if _, has := t.Service(token.ServiceRTC); !has {
		return NoRTC
	}
	return Accepted
}

func (s *Simulator) judgeTime(t *token.Token, now time.Time) Verdict {
	if !now.Before(t.After(0).Add(MaxTokenAge)) {
		return Expired
	}
	switch err := t.CheckTime(now); {
	case errors.Is(err, token.ErrExpired):
		return Expired
	case errors.Is(err, token.ErrNotYetValid) && t.After(0).Sub(now) > s.options.FutureTolerance:
		return IssuedInTheFuture
	}
	return Accepted
}

func (s *Simulator) judgeBasic(q *request) (Credential, Verdict) {
	credential := Credential{Scheme: "basic"}
	id, secret, ok := q.BasicAuth()
	if !ok {
		return credential, MalformedBasic
	}
	credential.CustomerID = id
	projects := *s.projects.Load()
	var customer *Project
	for _, p := range projects {
		if p.CustomerID != "" && p.CustomerID == id && equal(p.CustomerSecret, secret) {
			customer = p
			break
		}
	}
	if customer == nil {
		return credential, WrongCustomer
	}
	if q.path.AppID != "" {
		project := projects[q.path.AppID]
		if project == nil || project.CustomerID != id {
			return credential, OtherCustomer
		}
		customer = project
	}
	q.project = customer
	return credential, Accepted
}

// equal compares two secrets in a time that depends on neither.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
