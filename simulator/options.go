package simulator

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// Defaults and limits.
const (
	// DefaultQuota is how many agents an app may have at a time
	// (conversational-ai/develop/start-stop-agent, AgoraIO/Docs-Source: 20 PCU).
	DefaultQuota = 20
	// DefaultFutureTolerance is how far in the future a token may have been
	// issued. The vendor's value is not published.
	DefaultFutureTolerance = 60 * time.Second
	// MaxSession is how long an agent runs at most (the vendor's join reference).
	MaxSession = 72 * time.Hour
	// MaxTokenAge is how long a token is good for at most, whatever it says (the
	// vendor's token guides: 24 hours).
	MaxTokenAge = token.MaxExpire * time.Second

	// DefaultKeepCalls is how many received calls are kept.
	DefaultKeepCalls = 1000
	// DefaultKeepStopped is how many stopped agents are kept for each app.
	DefaultKeepStopped = 1000
	// DefaultMaxBody is the largest request body in bytes; a larger one gets 413.
	DefaultMaxBody = 4 << 20
)

// A Project is an app of the vendor's console with the credentials that are good
// for it: tokens signed with one of its certificates, Basic with its customer's
// ID and secret, or both.
type Project struct {
	// AppID is the app's ID, 32 hexadecimal digits. It is compared byte for byte.
	AppID string
	// AppCertificate verifies tokens; without one none is accepted.
	AppCertificate string
	// AppCertificateSecondary verifies tokens as well.
	AppCertificateSecondary string
	// CustomerID and CustomerSecret are for Basic. Projects with the same
	// CustomerID belong to one account and share its phone numbers.
	CustomerID, CustomerSecret string
}

// Options configure a Simulator. The zero value knows no project, so that it
// refuses every call.
type Options struct {
	// Projects are the apps that there are. More than one project with the same
	// AppID is an error.
	Projects []Project

	// RequireRTM makes tokens need an RTM service beside RTC.
	RequireRTM bool
	// FutureTolerance is how far in the future a token may have been issued; 0
	// means DefaultFutureTolerance, negative means none.
	FutureTolerance time.Duration
	// RequireBodyToken makes join need properties.token, and call that and
	// sip.rtc_token, as the vendor documents it.
	RequireBodyToken bool
	// VerifyBodyToken verifies these tokens where they are given: signature,
	// time, RTC for the body's channel and account (patterns with "*" match
	// nothing but themselves and everything), and RTM if
	// advanced_features.enable_rtm is set. The vendor would start the agent and
	// let it fail; the simulator answers 400.
	VerifyBodyToken bool

	// Quota is how many agents, those of calls included, an app may have at a
	// time; 0 means DefaultQuota, negative means no limit.
	Quota int

	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Skew is added to Now, for everything the simulator does with time: the
	// Date header, tokens, agents. SetSkew changes it.
	Skew time.Duration

	// Faults are switched on from the start; see Simulator.SetFaults.
	Faults []Fault

	// OnCall, if set, is told of each call after its answer was written. It may
	// be called from several goroutines at once.
	OnCall func(Call)
	// ErrorLog is for errors of accepting connections and of TLS handshakes;
	// without it they are dropped.
	ErrorLog *log.Logger

	// KeepCalls is how many received calls are kept; 0 means DefaultKeepCalls,
	// negative none. Bodies of 32 MiB in all are kept at most.
	KeepCalls int
	// KeepStopped is how many stopped agents are kept for each app; 0 means
	// DefaultKeepStopped, negative none.
	KeepStopped int
	// MaxBody is the largest request body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
}

// complete puts the defaults in place.
func (o *Options) complete() {
	o.FutureTolerance = max(0, orDefault(o.FutureTolerance, DefaultFutureTolerance))
	o.KeepCalls = max(0, orDefault(o.KeepCalls, DefaultKeepCalls))
	o.KeepStopped = max(0, orDefault(o.KeepStopped, DefaultKeepStopped))
	o.Quota = orDefault(o.Quota, DefaultQuota)
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func orDefault[T int | time.Duration](value, byDefault T) T {
	if value == 0 {
		return byDefault
	}
	return value
}

// validate returns what is wrong with a project. The error names no value.
func (p *Project) validate() error {
	if !token.ValidID(p.AppID) {
		return token.ErrAppID
	}
	for _, certificate := range []string{p.AppCertificate, p.AppCertificateSecondary} {
		if certificate != "" && !token.ValidID(certificate) {
			return token.ErrAppCertificate
		}
	}
	if (p.CustomerID == "") != (p.CustomerSecret == "") {
		return errors.New("customer ID and customer secret go together: one of them is missing")
	}
	if p.AppCertificate == "" && p.CustomerID == "" {
		return errors.New("needs an app certificate, or a customer ID and secret: nobody could call it")
	}
	return nil
}

func projectsByAppID(list []Project) (map[string]*Project, error) {
	projects := make(map[string]*Project, len(list))
	secrets := map[string]string{} // by customer ID
	for i := range list {
		p := list[i]
		if err := p.validate(); err != nil {
			return nil, fmt.Errorf("project %d: %w", i+1, err)
		}
		if projects[p.AppID] != nil {
			return nil, fmt.Errorf("project %d: its app ID is that of another project", i+1)
		}
		if secret, seen := secrets[p.CustomerID]; seen && secret != p.CustomerSecret {
			return nil, fmt.Errorf("project %d: another project has the same customer ID with another secret", i+1)
		}
		secrets[p.CustomerID] = p.CustomerSecret
		projects[p.AppID] = &p
	}
	return projects, nil
}

// account names the owner of p's phone numbers.
func (p *Project) account() string {
	if p.CustomerID != "" {
		return "customer " + p.CustomerID
	}
	return "app " + p.AppID
}
