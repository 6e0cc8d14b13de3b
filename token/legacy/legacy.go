package legacy

import (
	"crypto/hmac"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// A Token is a token of one of the older formats: *AccessToken, *DynamicKey or
// *SignalingToken.
type Token interface {
	// Format returns "006", "dynamic-key-1" to "dynamic-key-5", or "signaling".
	Format() string
	// Sign returns the token string. The app certificate must be 32
	// hexadecimal digits, and so must the app ID: errors match
	// token.ErrAppCertificate or token.ErrAppID.
	Sign(appCertificate string) (string, error)
	// Verify returns nil if the token, as it was parsed, was signed with this
	// app certificate for the fields that the format leaves out of the string.
	// Otherwise the error matches token.ErrSignature, token.ErrNotParsed or
	// token.ErrAppCertificate.
	Verify(appCertificate string) error
	// CheckTime returns an error that matches token.ErrExpired if the token,
	// by what it says, is not valid any more.
	CheckTime(now time.Time) error
}

// Parse reads a token of any of the older formats. Errors match
// token.ErrNotToken, token.ErrUnsupportedVersion (for "007" and versions to
// come) or token.ErrCorrupt.
//
// DynamicKey 1 and 2 have no version in front; they are told by their length
// and form.
func Parse(s string) (Token, error) {
	if k, ok := parsePlainKey(s); ok {
		return k, nil
	}
	switch {
	case strings.HasPrefix(s, accessTokenVersion):
		return ParseAccessToken(s)
	case strings.HasPrefix(s, signalingVersion+":"):
		return ParseSignalingToken(s)
	case strings.HasPrefix(s, "003"), strings.HasPrefix(s, "004"), strings.HasPrefix(s, "005"):
		return ParseDynamicKey(s)
	}
	if _, err := token.Parse(s); err == nil || len(s) > 3 && strings.HasPrefix(s, token.Version) {
		return nil, fmt.Errorf("%w %q: package token reads it", token.ErrUnsupportedVersion, token.Version)
	}
	return nil, unreadable(s)
}

// unreadable tells other strings from tokens of other versions.
func unreadable(s string) error {
	if len(s) > 3 && strings.HasPrefix(s, "00") && s[2] >= '1' && s[2] <= '9' {
		return fmt.Errorf("%w %q", token.ErrUnsupportedVersion, s[:3])
	}
	return token.ErrNotToken
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", token.ErrCorrupt, fmt.Sprintf(format, args...))
}

func checkIDs(appID, appCertificate string) error {
	if !token.ValidID(appID) {
		return token.ErrAppID
	}
	if !token.ValidID(appCertificate) {
		return token.ErrAppCertificate
	}
	return nil
}

// expired returns an error if a point in time has been reached.
func expired(now time.Time, at uint32) error {
	if end := time.Unix(int64(at), 0); !now.Before(end) {
		return fmt.Errorf("%w at %s", token.ErrExpired, end.UTC().Format(time.RFC3339))
	}
	return nil
}

func mac(h func() hash.Hash, key []byte, parts ...string) []byte {
	m := hmac.New(h, key)
	for _, p := range parts {
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

func now() uint32 { return uint32(time.Now().Unix()) }

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
