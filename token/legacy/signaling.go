package legacy

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

const signalingVersion = "1"

// A SignalingToken is a token of the first Signaling SDK:
// "1:appID:expiresAt:" and an MD5 over account, app ID, certificate and expiry.
//
// Deprecated: use token.BuildRtmToken. MD5 gives no security to speak of.
type SignalingToken struct {
	AppID string
	// ExpiresAt is when the token ends, in Unix seconds.
	ExpiresAt uint32
	// Account is whose token it is. It is not in the string: set it before
	// Verify.
	Account string

	digest string
}

// Format returns "signaling".
func (*SignalingToken) Format() string { return "signaling" }

// Sign returns the token string. See Token.
func (t *SignalingToken) Sign(appCertificate string) (string, error) {
	if err := checkIDs(t.AppID, appCertificate); err != nil {
		return "", err
	}
	return strings.Join([]string{signalingVersion, t.AppID, decimal(t.ExpiresAt), t.hash(appCertificate)}, ":"), nil
}

func (t *SignalingToken) hash(appCertificate string) string {
	sum := md5.Sum([]byte(t.Account + t.AppID + appCertificate + decimal(t.ExpiresAt)))
	return hex.EncodeToString(sum[:])
}

// Verify checks the digest for Account, which must be set. See Token.
func (t *SignalingToken) Verify(appCertificate string) error {
	if t.digest == "" {
		return token.ErrNotParsed
	}
	if err := checkIDs(t.AppID, appCertificate); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(t.digest), []byte(t.hash(appCertificate))) != 1 {
		return token.ErrSignature
	}
	return nil
}

// CheckTime returns an error that matches token.ErrExpired from ExpiresAt on.
func (t *SignalingToken) CheckTime(now time.Time) error { return expired(now, t.ExpiresAt) }

// ParseSignalingToken reads a Signaling token. Account remains empty.
//
// Deprecated: the format.
func ParseSignalingToken(s string) (*SignalingToken, error) {
	parts := strings.Split(s, ":")
	if parts[0] != signalingVersion || len(parts) == 1 {
		return nil, unreadable(s)
	}
	if len(parts) != 4 {
		return nil, corrupt("it must have four parts")
	}
	t := &SignalingToken{AppID: parts[1], digest: parts[3]}
	if !token.ValidID(t.AppID) {
		return nil, corrupt("its %v", token.ErrAppID)
	}
	at, err := strconv.ParseUint(parts[2], 10, 32)
	if err != nil || decimal(uint32(at)) != parts[2] {
		return nil, corrupt("its expiry is not a number of seconds")
	}
	t.ExpiresAt = uint32(at)
	if !token.ValidID(t.digest) || strings.ToLower(t.digest) != t.digest {
		return nil, corrupt("its digest is not one")
	}
	return t, nil
}

// GenerateSignalingToken returns a Signaling token that ends at a point in time
// in Unix seconds.
//
// Deprecated: use token.BuildRtmToken.
func GenerateSignalingToken(account, appID, appCertificate string, expiresAt uint32) (string, error) {
	t := SignalingToken{AppID: appID, ExpiresAt: expiresAt, Account: account}
	return t.Sign(appCertificate)
}
