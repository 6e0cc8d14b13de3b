package caddymodule

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// change is whether something is wrong, as far as the log was told: once per change,
// whatever calls there are.
type change struct {
	wrong atomic.Bool

	mu   sync.Mutex // guards what follows
	told rest       // after a change; upstreams that disagree must not fill the log
}

// to changes c, unless that is no change, or the last was lately: what is so then
// will be seen again. It reports whether it did.
func (c *change) to(wrong bool, now time.Time) bool {
	if c.wrong.Load() == wrong {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told.on(now) || !c.wrong.CompareAndSwap(!wrong, wrong) {
		return false
	}
	c.told.begin(now)
	return true
}

// judged takes note of what the vendor has answered in the end, and says in the log
// when it comes to refuse the credential, and when it accepts it again.
func (c *Call) judged(status int) {
	p := c.project
	refused := status == http.StatusUnauthorized
	if !refused && !tellsOfCredential(status) || !p.refused.to(refused, p.now()) {
		return
	}
	fields := []zap.Field{
		zap.String("app_id_ends_in", p.ends()), zap.String("auth_mode", p.mode), zap.String("upstream", c.endpoint.URLHost()),
	}
	if refused {
		p.logger.Warn("the vendor refuses the app's credential: callers get its 401 until it accepts it again; see whether it is that of the app and enabled",
			append(fields, zap.String("subdirective", credentialNames[p.mode]))...)
		return
	}
	p.logger.Info("the vendor accepts the app's credential again", fields...)
}

// credentialNames are the subdirectives to look at.
var credentialNames = map[string]string{modeApp: "app_certificate", modeToken: "auth_token", modeBasic: "customer_secret"}

// minting takes note of how the making of a token of a kind has gone. It says in the
// log when none can be made, and when they can again. err holds no secret.
func (p *project) minting(kind string, err error) {
	if err != nil {
		p.mintFailed(kind, err)
	}
	if !p.unmintable.to(err != nil, p.now()) {
		return
	}
	fields := []zap.Field{zap.String("app_id_ends_in", p.ends()), zap.String("kind", kind)}
	if err != nil {
		p.logger.Error("no token can be made for the app: calls use those that there are until they expire, and are refused after that",
			append(fields, zap.Error(err))...)
		return
	}
	p.logger.Info("tokens can be made again for the app", fields...)
}
