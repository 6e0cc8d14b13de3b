package legacy

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// Service is what a DynamicKey 4 or 5 is for.
type Service uint16

// Services of DynamicKey 4 and 5 (AgoraIO/Tools, DynamicKey5.h).
const (
	ServiceMedia               Service = 1 // media channel
	ServiceRecording           Service = 2 // the recording service, not the recording SDK, which takes ServiceMedia
	ServicePublicSharing       Service = 3
	ServiceInChannelPermission Service = 4 // DynamicKey 5 only
)

var serviceNames = map[Service]string{
	ServiceMedia: "media", ServiceRecording: "recording", ServicePublicSharing: "public-sharing", ServiceInChannelPermission: "in-channel-permission",
}

// String returns media, recording, public-sharing or in-channel-permission.
func (s Service) String() string {
	if name, ok := serviceNames[s]; ok {
		return name
	}
	return "service-" + strconv.Itoa(int(s))
}

// ParseService returns the service of a name that String returns.
func ParseService(name string) (Service, error) {
	for s, n := range serviceNames {
		if n == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("service must be media, recording, public-sharing or in-channel-permission")
}

// mark is what DynamicKey 4 puts in front of the signed text.
func (s Service) mark() string {
	switch s {
	case ServiceMedia:
		return "ACS"
	case ServiceRecording:
		return "ARS"
	case ServicePublicSharing:
		return "APSS"
	}
	return ""
}

// A DynamicKey is a key of version 1 to 5.
//
// Deprecated: use package token. SHA-1 is used throughout.
type DynamicKey struct {
	// Version is 1 to 5.
	Version int
	// AppID is 32 hexadecimal digits. Version 5 packs the 16 bytes they stand
	// for, so there it is lower-case after parsing.
	AppID string
	// IssuedAt and ExpiresAt are points in time in Unix seconds. Version 1 has
	// no ExpiresAt.
	IssuedAt, ExpiresAt uint32
	// Salt is the format's random number.
	Salt uint32

	// Channel is in no key's string, UID only in those of versions 2 and 3,
	// Service only in those of version 5. All of them are signed (in version 1
	// only Channel): after parsing, set the missing ones before Verify or Sign.
	Channel string
	UID     uint32
	Service Service

	// Extra are additional values of version 5, in ascending order of their
	// keys; ServiceInChannelPermission has ExtraAllowUpload.
	Extra []Extra

	signature string // in hexadecimal, as parsed
}

// Format returns "dynamic-key-1" to "dynamic-key-5".
func (k *DynamicKey) Format() string { return "dynamic-key-" + strconv.Itoa(k.Version) }

// Sign returns the key. See Token.
func (k *DynamicKey) Sign(appCertificate string) (string, error) {
	if err := k.check(appCertificate); err != nil {
		return "", err
	}
	signature := k.sign(appCertificate)
	switch k.Version {
	case 1:
		return signature + k.head(), nil
	case 2:
		return signature + k.head() + ten(k.UID) + ten(k.ExpiresAt), nil
	case 3:
		return "003" + signature + k.head() + ten(k.UID) + ten(k.ExpiresAt), nil
	case 4:
		return "004" + signature + k.head() + ten(k.ExpiresAt), nil
	}
	return k.pack5(signature), nil
}

func (k *DynamicKey) check(appCertificate string) error {
	if err := checkIDs(k.AppID, appCertificate); err != nil {
		return err
	}
	switch k.Version {
	case 1, 2, 3:
		return nil
	case 4:
		if k.Service.mark() == "" {
			return fmt.Errorf("service must be media, recording or public-sharing")
		}
		return nil
	case 5:
		return k.check5()
	}
	return fmt.Errorf("%w: there is no DynamicKey %d", token.ErrUnsupportedVersion, k.Version)
}

// head is what follows the signature in versions 1 to 4, and, in front of the
// channel, what is signed.
func (k *DynamicKey) head() string {
	return k.AppID + ten(k.IssuedAt) + fmt.Sprintf("%08x", k.Salt)
}

func ten(n uint32) string { return fmt.Sprintf("%010d", n) }

func (k *DynamicKey) sign(appCertificate string) string {
	switch k.Version {
	case 5:
		return k.sign5(appCertificate)
	case 4:
		return hexMAC(appCertificate, k.Service.mark(), k.head(), k.Channel, ten(k.UID), ten(k.ExpiresAt))
	case 1:
		return hexMAC(appCertificate, k.head(), k.Channel)
	}
	return hexMAC(appCertificate, k.head(), k.Channel, ten(k.UID), ten(k.ExpiresAt))
}

func hexMAC(appCertificate string, parts ...string) string {
	return hex.EncodeToString(mac(sha1.New, []byte(appCertificate), parts...))
}

// Verify checks the signature; Channel, and for some versions UID and Service,
// must be set. See Token.
func (k *DynamicKey) Verify(appCertificate string) error {
	if k.signature == "" {
		return token.ErrNotParsed
	}
	if err := k.check(appCertificate); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(k.signature), []byte(k.sign(appCertificate))) != 1 {
		return token.ErrSignature
	}
	return nil
}

// CheckTime returns an error that matches token.ErrExpired from ExpiresAt on.
// A key of version 1 does not say when it ends.
func (k *DynamicKey) CheckTime(now time.Time) error {
	if k.Version == 1 {
		return nil
	}
	return expired(now, k.ExpiresAt)
}

// ParseDynamicKey reads a key of any version.
//
// Deprecated: the format.
func ParseDynamicKey(s string) (*DynamicKey, error) {
	if k, ok := parsePlainKey(s); ok {
		return k, nil
	}
	switch {
	case strings.HasPrefix(s, "005"):
		return parseKey5(s)
	case strings.HasPrefix(s, "003"), strings.HasPrefix(s, "004"):
		return nil, corrupt("not of the length and form of a DynamicKey %c", s[2])
	}
	return nil, unreadable(s)
}

const (
	signatureDigits = 2 * sha1.Size
	headLength      = 32 + 10 + 8
)

// parsePlainKey reads versions 1 to 4, whose fields have fixed places.
func parsePlainKey(s string) (*DynamicKey, bool) {
	k := &DynamicKey{}
	rest := s
	switch len(s) {
	case signatureDigits + headLength:
		k.Version = 1
	case signatureDigits + headLength + 20:
		k.Version = 2
	case 3 + signatureDigits + headLength + 20:
		k.Version, rest = 3, strings.TrimPrefix(s, "003")
	case 3 + signatureDigits + headLength + 10:
		k.Version, rest = 4, strings.TrimPrefix(s, "004")
	}
	if k.Version == 0 || k.Version >= 3 && len(rest) == len(s) {
		return nil, false
	}
	k.signature, rest = rest[:signatureDigits], rest[signatureDigits:]
	k.AppID, rest = rest[:32], rest[32:]
	ok := lowerHex(k.signature) && token.ValidID(k.AppID)
	ok = ok && number(&k.IssuedAt, rest[:10], 10) && lowerHex(rest[10:18]) && number(&k.Salt, rest[10:18], 16)
	rest = rest[18:]
	if k.Version == 2 || k.Version == 3 {
		ok = ok && number(&k.UID, rest[:10], 10)
		rest = rest[10:]
	}
	if k.Version != 1 {
		ok = ok && number(&k.ExpiresAt, rest, 10)
	}
	return k, ok
}

func lowerHex(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') })
}

func number(n *uint32, s string, base int) bool {
	v, err := strconv.ParseUint(s, base, 32)
	*n = uint32(v)
	return err == nil
}
