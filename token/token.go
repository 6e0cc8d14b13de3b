package token

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// Version is the version that this package reads and writes, and the first
// three characters of its tokens.
const Version = "007"

// MaxPayload is the largest content, in bytes before compression, that Sign
// packs and Parse unpacks. Real tokens stay far below 1 KiB, except for RTM2
// with long lists of permissions. The vendor's parsers have no limit.
const MaxPayload = 256 << 10

// maxServices bounds what a small, well-compressed token can make Parse
// allocate. Real tokens have one to three services.
const maxServices = 1024

// A Token is an AccessToken2. The zero value with the exported fields set can
// be signed; Parse fills all of it.
//
// A Token is not safe for concurrent changes. Reading and Sign are.
type Token struct {
	// AppID is the app's ID: 32 hexadecimal digits, packed as given.
	AppID string
	// IssuedAt is when the token was issued, in Unix seconds.
	IssuedAt uint32
	// Expire is the lifetime in seconds from IssuedAt.
	Expire uint32
	// Salt diversifies the signature; it is readable in the token.
	Salt uint32
	// Services are what the token is for. Sign packs them in ascending order
	// of their types; services of one type keep their order.
	Services []Service

	// Unsorted makes Sign pack services, privileges and permissions in the
	// order they are in. Parse sets it for a token that is not in ascending
	// order (older versions of the vendor's code in some languages make such
	// tokens), so that signing it again gives the same content.
	Unsorted bool

	// Unparsed is what Parse did not understand, from the first service of
	// an unknown type on. Sign packs it again behind the services.
	Unparsed Unparsed

	signature string // as Parse saw it
	signed    string // the bytes under the signature; shares memory with the strings above
}

// Unparsed is the end of a token's content as it was packed.
type Unparsed struct {
	Services int // number of services that the token counts in Data
	Data     []byte
}

// newToken returns a token issued now with a random salt.
func newToken(appID string, expire uint32, services ...Service) *Token {
	return &Token{AppID: appID, IssuedAt: uint32(time.Now().Unix()), Expire: expire, Salt: RandomSalt(), Services: services}
}

// RandomSalt returns a salt from crypto/rand: any number of 32 bits, as in the
// vendor's C++; its other languages stay between 1 and 99999998.
func RandomSalt() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return binary.LittleEndian.Uint32(b[:])
}

// ExpiresAt returns the first instant at which the token is not valid any more.
func (t *Token) ExpiresAt() time.Time { return t.After(t.Expire) }

// After returns the instant that lies a number of seconds after IssuedAt. With
// a privilege's lifetime it gives the instant at which the privilege ends. It
// does not overflow.
func (t *Token) After(seconds uint32) time.Time {
	return time.Unix(int64(t.IssuedAt)+int64(seconds), 0)
}

// CheckTime returns nil if the token is valid at the given time, as far as
// time is concerned: from IssuedAt on until before ExpiresAt. Otherwise it
// returns an error that matches ErrExpired or ErrNotYetValid. Privileges may
// end earlier.
func (t *Token) CheckTime(now time.Time) error {
	if issued := t.After(0); now.Before(issued) {
		return fmt.Errorf("%w: issued at %s", ErrNotYetValid, issued.UTC().Format(time.RFC3339))
	}
	if end := t.ExpiresAt(); !now.Before(end) {
		return fmt.Errorf("%w at %s", ErrExpired, end.UTC().Format(time.RFC3339))
	}
	return nil
}

// Service returns the first service of a type, and whether there is one. It
// points into t.Services.
func (t *Token) Service(st ServiceType) (*Service, bool) {
	for i := range t.Services {
		if t.Services[i].Type == st {
			return &t.Services[i], true
		}
	}
	return nil, false
}

// ValidID reports whether s has the form of an app ID or app certificate: 32
// hexadecimal digits of either case.
func ValidID(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}
