package tokenserver

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/caddy-convoai/convoai/caddymodule"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("convoai_token_server", parseDirective)
	// Ahead of convoai, which answers every request, and behind whatever says who is
	// asking, and behind abort, error and respond, by which a site keeps callers out.
	httpcaddyfile.RegisterDirectiveOrder("convoai_token_server", httpcaddyfile.Before, "metrics")
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	convoai_token_server [<matcher>] {
//	    app_id                    <app-id>
//	    app_certificate           <secret>
//	    app_certificate_secondary <secret>
//	    dialects                  docker|rtc|chat-go|chat-node|chat-python|chat-java|token-service ...
//	    origins                   <origin>...
//	    max_body                  <size>
//	    allow [<name>] {
//	        identity   <placeholder>
//	        users      <pattern>...
//	        kinds      <kind>...
//	        channels   <pattern>...
//	        accounts   <pattern>...
//	        wildcards  on|off
//	        roles      publisher|subscriber ...
//	        max_expire <duration>
//	    }
//	}
//
// Its errors name the line, and repeat nothing of it: by a placeholder {$X} of
// several lines, a secret can end up anywhere.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // convoai_token_server
	if d.NextArg() {
		return atStart(d, "convoai_token_server takes no arguments but a matcher")
	}
	block := subdirectives{
		"dialects": func(d *caddyfile.Dispenser) error { return list(d, &h.Dialects, checkDialects) },
		"origins": func(d *caddyfile.Dispenser) error {
			return list(d, &h.Origins, func(values []string) error {
				_, err := parseOrigins(values)
				return err
			})
		},
		"max_body": func(d *caddyfile.Dispenser) error { return parseSize(d, &h.MaxBody) },
	}
	var credentials caddymodule.Credentials
	for _, name := range []string{"app_id", "app_certificate", "app_certificate_secondary"} {
		block[name] = credentials.ParseSubdirective
	}
	for d.NextBlock(0) {
		own := d.NewFromNextSegment()
		own.Next()
		if own.Val() == "allow" {
			if err := h.parseAllow(own); err != nil {
				return err
			}
			continue
		}
		if err := block.parse(own, ""); err != nil {
			return err
		}
	}
	h.AppID, h.AppCertificate = credentials.AppID, credentials.AppCertificate
	h.AppCertificateSecondary = credentials.AppCertificateSecondary
	if h.AppCertificateSecondary != "" && h.AppCertificate == "" {
		return atStart(d, "app_certificate is required beside app_certificate_secondary")
	}
	return nil
}

// parseAllow reads one rule.
func (h *Handler) parseAllow(d *caddyfile.Dispenser) error {
	var r Rule
	if args := d.RemainingArgs(); len(args) == 1 {
		r.Name = args[0]
	} else if len(args) > 1 {
		return atStart(d, "allow takes one argument at most, the rule's name")
	}
	block := subdirectives{
		"identity": func(d *caddyfile.Dispenser) error {
			return one(d, &r.Identity, func(value string) error {
				_, err := parseIdentity(value)
				return err
			})
		},
		"users": func(d *caddyfile.Dispenser) error {
			return list(d, &r.Users, func(values []string) error {
				_, err := parseUsers(values)
				return err
			})
		},
		"kinds": func(d *caddyfile.Dispenser) error {
			return list(d, &r.Kinds, func(values []string) error {
				_, err := parseKinds(values)
				return err
			})
		},
		"channels": func(d *caddyfile.Dispenser) error { return list(d, &r.Channels, checkPatterns) },
		"accounts": func(d *caddyfile.Dispenser) error { return list(d, &r.Accounts, checkPatterns) },
		"wildcards": func(d *caddyfile.Dispenser) error {
			var text string
			err := one(d, &text, checkOnOff)
			r.Wildcards = text == "on"
			return err
		},
		"roles": func(d *caddyfile.Dispenser) error {
			return list(d, &r.Roles, func(values []string) error {
				_, err := parseRoles(values)
				return err
			})
		},
		"max_expire": func(d *caddyfile.Dispenser) error { return parseDuration(d, &r.MaxExpire) },
	}
	for d.NextBlock(0) {
		own := d.NewFromNextSegment()
		own.Next()
		if err := block.parse(own, " in allow"); err != nil {
			return err
		}
	}
	if r.Name != "" && slices.ContainsFunc(h.Allow, func(other Rule) bool { return other.Name == r.Name }) {
		return atStart(d, "allow: %v", errRuleName)
	}
	h.Allow = append(h.Allow, r)
	return nil
}

// subdirectives are those of a block, each of which may stand once: parse takes
// one away.
type subdirectives map[string]func(*caddyfile.Dispenser) error

var subdirectiveName = regexp.MustCompile("^[a-z][a-z_]{1,29}$")

func (s subdirectives) parse(d *caddyfile.Dispenser, where string) error {
	name := d.Val()
	parse, known := s[name]
	switch {
	case !known && subdirectiveName.MatchString(name):
		return d.Errf("unrecognized subdirective %s%s", name, where)
	case !known:
		return d.Errf("unrecognized subdirective%s", where)
	case parse == nil:
		return d.Errf("%s is already configured", name)
	}
	s[name] = nil
	if err := parse(d); err != nil {
		return err
	}
	if d.NextBlock(0) {
		return atStart(d, "%s takes no block", name)
	}
	return nil
}

// one reads the only argument of a subdirective.
func one(d *caddyfile.Dispenser, target *string, check func(string) error) error {
	name := d.Val()
	if !d.AllArgs(target) {
		return atStart(d, "%s takes one argument", name)
	}
	if err := check(*target); err != nil {
		return atStart(d, "%s", sentence(name, err))
	}
	return nil
}

// list reads one or more arguments.
func list(d *caddyfile.Dispenser, target *[]string, check func([]string) error) error {
	name := d.Val()
	values := d.RemainingArgs()
	if len(values) == 0 {
		return atStart(d, "%s takes one or more arguments", name)
	}
	if err := check(values); err != nil {
		return atStart(d, "%s", sentence(name, err))
	}
	*target = values
	return nil
}

// sentence is an error that begins with the name of the subdirective.
func sentence(name string, err error) string {
	if strings.HasPrefix(err.Error(), name) {
		return err.Error()
	}
	return name + ": " + err.Error()
}

func checkPatterns(values []string) error {
	_, err := parsePatterns(values)
	return err
}

var errOnOff = errors.New("wildcards must be on or off")

func checkOnOff(value string) error {
	if value != "on" && value != "off" {
		return errOnOff
	}
	return nil
}

func parseSize(d *caddyfile.Dispenser, target *int64) error {
	var text string
	return one(d, &text, func(text string) error {
		size, err := humanize.ParseBytes(text)
		if err != nil || size == 0 || size > maxMaxBody {
			return errMaxBody
		}
		*target = int64(size)
		return nil
	})
}

func parseDuration(d *caddyfile.Dispenser, target *caddy.Duration) error {
	var text string
	return one(d, &text, func(text string) error {
		duration, err := caddy.ParseDuration(text)
		if err != nil || duration == 0 {
			return errMaxExpire
		}
		*target = caddy.Duration(duration)
		_, err = parseMaxExpire(*target)
		return err
	})
}

// atStart is Errf at the first token of d: the present one may be on another line.
func atStart(d *caddyfile.Dispenser, format string, args ...any) error {
	d.Reset()
	d.Next()
	return d.Errf(format, args...)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
