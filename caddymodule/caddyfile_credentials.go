package caddymodule

import (
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// app reads an app block.
func (p *settingsParser) app(d *caddyfile.Dispenser) error {
	start := d.Token()
	var c Credentials
	if !d.AllArgs(&c.AppID) {
		return atStart(d, "app takes one argument, the App ID")
	}
	if !hasPlaceholder(c.AppID) {
		if err := checkID("app_id", c.AppID); err != nil {
			return atStart(d, "app: %v", err)
		}
	}
	for _, other := range p.settings.Apps {
		if other.AppID == c.AppID {
			return atStart(d, "this app is already configured")
		}
	}
	block := settingsParser{settings: &Settings{}}
	for d.NextBlock(0) {
		name := d.Val()
		field := c.field(name)
		own := d.NewFromNextSegment()
		if field == nil || name == "app_id" {
			return unrecognized(own, " in app")
		}
		own.Next()
		if err := block.once(own, func() error { return parseCredential(own, field) }); err != nil {
			return err
		}
	}
	if err := block.checkCredentials(c, start); err != nil {
		return err
	}
	if c.CustomerID == "" && c.AuthToken == "" && c.AppCertificate == "" {
		return errorAt(start, "app needs app_certificate, customer_id or auth_token")
	}
	p.settings.Apps = append(p.settings.Apps, c)
	return nil
}

// checkCredentials checks that the modes do not mix, and names the line of the
// subdirective that is at fault.
func (p *settingsParser) checkCredentials(c Credentials, start caddyfile.Token) error {
	err := c.checkMode()
	if err == nil {
		return nil
	}
	names := []string{"customer_id", "customer_secret"}
	if errors.Is(err, errSecondaryAlone) {
		names = []string{"app_certificate_secondary"}
	}
	for _, name := range names {
		if at, ok := p.seen[name]; ok {
			return errorAt(at, err.Error())
		}
	}
	return errorAt(start, err.Error())
}

// field returns the field of a credential subdirective.
func (c *Credentials) field(name string) *string {
	switch name {
	case "app_id":
		return &c.AppID
	case "app_certificate":
		return &c.AppCertificate
	case "app_certificate_secondary":
		return &c.AppCertificateSecondary
	case "customer_id":
		return &c.CustomerID
	case "customer_secret":
		return &c.CustomerSecret
	case "auth_token":
		return &c.AuthToken
	case "caller_token":
		return &c.CallerToken
	}
	return nil
}

// ParseSubdirective reads the subdirective that d stands at into the field of the
// same name, such as app_id. Its errors name the line and repeat no value.
func (c *Credentials) ParseSubdirective(d *caddyfile.Dispenser) error {
	field := c.field(d.Val())
	if field == nil {
		return unrecognized(d, "")
	}
	return parseCredential(d, field)
}

// parseCredential reads the one argument of a credential subdirective.
func parseCredential(d *caddyfile.Dispenser, field *string) error {
	name := d.Val()
	if err := one(d, field); err != nil {
		return err
	}
	if *field = trimEnd(*field); *field == "" {
		return atStart(d, "%s must not be empty", name)
	}
	if hasPlaceholder(*field) {
		return nil
	}
	var err error
	switch name {
	case "app_id", "app_certificate", "app_certificate_secondary":
		err = checkID(name, *field)
	default:
		err = checkSecretText(name)(*field)
	}
	if err != nil {
		return atStart(d, "%v", err)
	}
	return nil
}
