package token

import (
	"errors"
	"fmt"
)

// Errors of Parse, Verify, CheckTime and Sign. They come wrapped with what was
// wrong in particular; compare with errors.Is. None of them ever contains a
// token, a certificate or a part of one.
var (
	// ErrNotToken: the string is no Agora token of any version.
	ErrNotToken = errors.New("not a token")
	// ErrUnsupportedVersion: the string starts like a token of another
	// version; package legacy reads the older ones.
	ErrUnsupportedVersion = errors.New("unsupported token version")
	// ErrCorrupt: it is a "007" token by its first characters, but what
	// follows is cut short, altered, or no token content.
	ErrCorrupt = errors.New("corrupt token")
	// ErrSignature: the token was not signed with this app certificate, or it
	// was changed afterwards.
	ErrSignature = errors.New("wrong signature")
	// ErrExpired: the token's lifetime is over.
	ErrExpired = errors.New("token expired")
	// ErrNotYetValid: the token's issue time lies in the future.
	ErrNotYetValid = errors.New("token not yet valid")
	// ErrNotParsed: Verify was called on a token that did not come from Parse.
	ErrNotParsed = errors.New("parse a token before verifying its signature")

	// ErrAppID: the app ID is not 32 hexadecimal digits.
	ErrAppID = errors.New("app ID must be 32 hexadecimal digits")
	// ErrAppCertificate: the app certificate is not 32 hexadecimal digits.
	ErrAppCertificate = errors.New("app certificate must be 32 hexadecimal digits")
	// ErrNoService: a token must carry at least one service.
	ErrNoService = errors.New("token has no service")
	// ErrTooLarge: a string, a list or the whole token is larger than the
	// format, or MaxPayload, allows.
	ErrTooLarge = errors.New("token content too large")
	// ErrOutOfRange: a builder's argument is outside the range that the vendor
	// documents. The error is a *RangeError.
	ErrOutOfRange = errors.New("out of range")
)

// A RangeError is returned by the builders for an argument that is outside the
// range documented by the vendor. It matches ErrOutOfRange.
type RangeError struct {
	Field string // as in the command line and the specs: channel, account, expire, …
	Rule  string // what it must be
}

func (e *RangeError) Error() string { return e.Field + " " + e.Rule }

// Is reports whether target is ErrOutOfRange.
func (e *RangeError) Is(target error) bool { return target == ErrOutOfRange }

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
