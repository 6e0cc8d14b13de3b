package caddymodule

import (
	"fmt"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-convoai/convoai/region"
)

// settingsParser reads the subdirectives that the directive and the global
// option have in common. Its errors name the line, and never a value that may be
// a secret: not even the argument that was one too many.
type settingsParser struct {
	settings *Settings
	seen     map[string]caddyfile.Token // by name, its first token
}

// parse reads the subdirective that d holds, if it is one of ours.
func (p *settingsParser) parse(d *caddyfile.Dispenser) (known bool, err error) {
	d.Next()
	name := d.Val()
	if name == "app" {
		return true, p.app(d)
	}
	s := p.settings
	if field := s.Credentials.field(name); field != nil {
		return true, p.once(d, func() error { return parseCredential(d, field) })
	}
	parse, known := map[string]func() error{
		"area":             func() error { return oneOf(d, &s.Area, "us", "eu", "ap", "cn") },
		"expires_in":       func() error { return parseExpiresIn(d, &s.ExpiresIn) },
		"scope":            func() error { return oneOf(d, &s.Scope, scopeSession, scopeApp) },
		"fill_tokens":      func() error { return onOff(d, &s.FillTokens) },
		"quote_token":      func() error { return onOff(d, &s.QuoteToken) },
		"log_fields":       func() error { return onOff(d, &s.LogFields) },
		"max_body":         func() error { return parseSize(d, &s.MaxBody) },
		"upstream":         func() error { return list(d, &s.Upstreams, p.checkUpstream) },
		"upstream_private": func() error { return onOff(d, &s.UpstreamPrivate) },
		"allow_host":       func() error { return list(d, &s.AllowHost, checkAllowHost) },
		"allow_from":       func() error { return list(d, &s.AllowFrom, checkAllowFrom) },
		"allow_header":     func() error { return list(d, &s.AllowHeader, checkAllowHeader) },
		"dial_timeout":     func() error { return parseTimeout(d, &s.DialTimeout) },
		"tls_timeout":      func() error { return parseTimeout(d, &s.TLSTimeout) },
		"response_timeout": func() error { return parseTimeout(d, &s.ResponseTimeout) },
		"failover_budget":  func() error { return parseTimeout(d, &s.FailoverBudget) },
	}[name]
	if !known {
		return false, nil
	}
	return true, p.once(d, parse)
}

// once runs parse for a subdirective that may stand only once, and checks that
// it has no block.
func (p *settingsParser) once(d *caddyfile.Dispenser, parse func() error) error {
	name := d.Val()
	if _, twice := p.seen[name]; twice {
		return d.Errf("%s is already configured", name)
	}
	if p.seen == nil {
		p.seen = make(map[string]caddyfile.Token)
	}
	p.seen[name] = d.Token()
	if err := parse(); err != nil {
		return err
	}
	if d.NextBlock(0) {
		return atStart(d, "%s takes no block", name)
	}
	return nil
}

// finish checks what only the whole block tells.
func (p *settingsParser) finish() error {
	if p.settings.AppID != "" {
		for _, app := range p.settings.Apps {
			if app.AppID == p.settings.AppID {
				return errorAt(p.seen["app_id"], "an app block has the same App ID as app_id")
			}
		}
	}
	return p.checkCredentials(p.settings.Credentials, p.seen["app_id"])
}

// one reads the only argument of a subdirective.
func one(d *caddyfile.Dispenser, target *string) error {
	name := d.Val()
	if !d.AllArgs(target) {
		return atStart(d, "%s takes one argument", name)
	}
	return nil
}

func oneOf(d *caddyfile.Dispenser, target *string, values ...string) error {
	name := d.Val()
	if err := one(d, target); err != nil {
		return err
	}
	for _, value := range values {
		if *target == value {
			return nil
		}
	}
	return atStart(d, "%s must be %s or %s", name, strings.Join(values[:len(values)-1], ", "), values[len(values)-1])
}

func onOff(d *caddyfile.Dispenser, target **bool) error {
	var text string
	if err := oneOf(d, &text, "on", "off"); err != nil {
		return err
	}
	on := text == "on"
	*target = &on
	return nil
}

func parseTimeout(d *caddyfile.Dispenser, target *caddy.Duration) error {
	name := d.Val()
	var text string
	if err := one(d, &text); err != nil {
		return err
	}
	value, err := caddy.ParseDuration(text)
	if err != nil || value <= 0 {
		return atStart(d, "%s must be a duration longer than 0, such as 2s", name)
	}
	*target = caddy.Duration(value)
	return nil
}

func parseExpiresIn(d *caddyfile.Dispenser, target *caddy.Duration) error {
	var text string
	if err := one(d, &text); err != nil {
		return err
	}
	value, err := caddy.ParseDuration(text)
	if err != nil || value < time.Second {
		return atStart(d, "expires_in must be a duration between 1s and 24h")
	}
	*target = caddy.Duration(value)
	return nil
}

func parseSize(d *caddyfile.Dispenser, target *int64) error {
	name := d.Val()
	var text string
	if err := one(d, &text); err != nil {
		return err
	}
	value, err := humanize.ParseBytes(text)
	if err != nil || value == 0 || value > maxMaxBody {
		return atStart(d, "%s must be a size larger than 0 and at most 64MiB, such as 1MiB", name)
	}
	*target = int64(value)
	return nil
}

// list reads one or more arguments and checks each that holds no placeholder.
func list(d *caddyfile.Dispenser, target *[]string, check func(string) error) error {
	name := d.Val()
	values := d.RemainingArgs()
	if len(values) == 0 {
		return atStart(d, "%s takes one or more arguments", name)
	}
	for _, value := range values {
		if hasPlaceholder(value) && name == "upstream" {
			continue
		}
		if err := check(value); err != nil {
			return atStart(d, "%v", err)
		}
	}
	*target = values
	return nil
}

// checkUpstream checks the form only: upstream_private may still follow.
func (p *settingsParser) checkUpstream(s string) error {
	_, err := region.ParseUpstream(s, true)
	return err
}

func checkAllowHost(s string) error {
	_, err := newAccessPolicy(nil, []string{s})
	return err
}

func checkAllowFrom(s string) error {
	_, err := newAccessPolicy([]string{s}, nil)
	return err
}

func checkAllowHeader(s string) error {
	_, err := newHeaderPolicy([]string{s})
	return err
}

// ownHeader reports whether a header_up field names a header that convoai sets,
// or all headers.
func ownHeader(field string) bool {
	name := textproto.CanonicalMIMEHeaderKey(strings.TrimLeft(field, "+-?>"))
	return refusedHeaders[name] || strings.Contains(name, "*")
}

// argumentError complains of an argument too many without repeating it.
func argumentError(d *caddyfile.Dispenser) error {
	return atStart(d, "convoai takes no arguments here")
}

// atStart is Errf at the first token of d, because the present token may be a
// secret, which the error would not show, but also on another line.
func atStart(d *caddyfile.Dispenser, format string, args ...any) error {
	d.Reset()
	d.Next()
	return d.Errf(format, args...)
}

// unrecognized complains of a subdirective. Its name is shown only if it looks
// like one: the second line of a secret that was put in by {$X} ends up there,
// too.
func unrecognized(d *caddyfile.Dispenser, where string) error {
	d.Reset()
	d.Next()
	if name := d.Val(); subdirectiveName.MatchString(name) {
		return d.Errf("unrecognized subdirective %s%s", name, where)
	}
	return d.Errf("unrecognized subdirective%s", where)
}

var subdirectiveName = regexp.MustCompile("^[a-z][a-z_]{1,29}$")

func errorAt(token caddyfile.Token, message string) error {
	d := caddyfile.NewDispenser([]caddyfile.Token{token})
	d.Next()
	return d.Err(message)
}

func segmentErrf(segment caddyfile.Segment, format string, args ...any) error {
	return errorAt(segment[0], fmt.Sprintf(format, args...))
}
