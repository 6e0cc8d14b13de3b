package tokenserver

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What callers cause is in the log for those who write the rules, who need a few
// lines of it and not as many as callers like. No line has a token in it.

// throttle lets a burst of lines through, and then one per interval.
type throttle struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	left    float64    // lines
	at      time.Time  // when left was counted
	skipped int        // lines since the last one
}

const (
	throttleBurst    = 50
	throttleInterval = time.Second
)

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, left: throttleBurst, at: now()}
}

// pass reports whether there may be a line, and how many there might have been
// since the last.
func (t *throttle) pass() (skipped int, ok bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = min(throttleBurst, t.left+float64(now.Sub(t.at))/float64(throttleInterval))
	t.at = now
	if t.left < 1 {
		t.skipped++
		return 0, false
	}
	t.left--
	skipped, t.skipped = t.skipped, 0
	return skipped, true
}

// notice logs what someone should look at who writes the configuration.
func (h *Handler) notice(message string, fields ...zap.Field) {
	if skipped, ok := h.denials.pass(); ok {
		if skipped > 0 {
			fields = append(fields, zap.Int("skipped_before", skipped))
		}
		h.logger.Warn(message, fields...)
	}
}

// logDenial says which rule would have granted what none has.
func (h *Handler) logDenial(r *http.Request, e *endpoint, wishes []wish, users []string, d decision) {
	fields := []zap.Field{zap.String("remote", r.RemoteAddr), zap.String("path", e.path)}
	user := ""
	switch {
	case d.nearest != nil:
		fields = append(fields, zap.String("nearest_rule", d.nearest.name), zap.Strings("refused_by", d.missing.names()))
		user = users[d.nearest.identity]
	case len(users) > 0:
		user = users[0]
	}
	if user == "" {
		fields = append(fields, zap.Bool("signed_in", false))
	}
	fields = append(fields, zap.String("rule_needed", neededRule(wishes, user)))
	h.notice("no token: no rule allows it", fields...)
}

// neededRule returns the least rule that grants wishes to a user, on one line.
func neededRule(wishes []wish, user string) string {
	var kinds, channels, accounts, roles []string
	add := func(list *[]string, text string) {
		for _, other := range *list {
			if other == text {
				return
			}
		}
		*list = append(*list, text)
	}
	wildcards := false
	for i := range wishes {
		w := &wishes[i]
		if w.carriesChannel() {
			add(&channels, argument(w.channel.readable()))
			wildcards = wildcards || w.channel.wildcardChannel()
		}
		if needed, ok := w.neededRole(); ok {
			add(&roles, needed.String())
		}
		for _, k := range w.kinds {
			add(&kinds, k.String())
			if account := w.accountOf(k); k.info().maxAccount > 0 {
				add(&accounts, argument(account.readable()))
				wildcards = wildcards || account.wildcardAccount()
			}
		}
	}
	var b strings.Builder
	line := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name + " " + strings.Join(values, " "))
	}
	if user != "" {
		line("users", []string{argument(user)})
	}
	line("kinds", kinds)
	line("channels", channels)
	line("accounts", accounts)
	if wildcards {
		line("wildcards", []string{"on"})
	}
	line("roles", roles)
	return "allow { " + b.String() + " }"
}

// argument writes a name as an argument of a rule's line. A blank one is matched
// by * alone.
func argument(text string) string {
	if strings.TrimSpace(text) == "" {
		return "*"
	}
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_.@+:=,*-", c)
	}
	if strings.ContainsFunc(text, func(c rune) bool { return !plain(c) }) {
		return strconv.QuoteToASCII(text)
	}
	return text
}

// logCrossSite says which origin was refused.
func (h *Handler) logCrossSite(r *http.Request) {
	h.notice("no token: pages of this origin may not ask; origins would have to name it",
		zap.String("origin", quoted(strings.Join(r.Header["Origin"], ", "))), zap.String("remote", r.RemoteAddr))
}

// logRefusal is for those who look closer.
func (h *Handler) logRefusal(r *http.Request, why *refusal) {
	if c := h.logger.Check(zapcore.DebugLevel, "no token"); c != nil {
		c.Write(zap.String("reason", why.reason), zap.Int("status", why.status), zap.String("detail", why.detail),
			zap.String("remote", r.RemoteAddr))
	}
}

// logGrant says what was given away, and never the token.
func (h *Handler) logGrant(m *minted, by *rule) {
	if c := h.logger.Check(zapcore.DebugLevel, "token granted"); c != nil {
		c.Write(zap.String("rule", by.name), zap.Strings("kinds", names(m.wish.kinds)),
			zap.String("channel", m.wish.channel.readable()), zap.String("account", m.wish.account.readable()),
			zap.Int64("expires_at", m.expiresAt))
	}
}

// warn says at load what a configuration may not be meant to do.
func (h *Handler) warn() {
	if len(h.rules) == 0 {
		h.logger.Warn("the token server has no rule and grants nothing; allow is the subdirective")
	}
	for _, r := range h.rules {
		for _, problem := range r.doubts() {
			h.logger.Warn("a rule of the token server: "+problem, zap.String("rule", r.name))
		}
	}
}
