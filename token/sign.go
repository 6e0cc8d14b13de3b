package token

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"sync"

	"github.com/caddy-convoai/convoai/token/internal/wire"
)

// signatureHead is the room in front of the signed bytes: the signature,
// packed as a string of 32 bytes.
const signatureHead = 2 + sha256.Size

// Sign packs the token, signs it with the app certificate (32 hexadecimal
// digits) and returns the token string.
//
// It does not change t, and it does not check the ranges that the builders
// check: whatever the format can hold is signed. Errors match ErrAppID,
// ErrAppCertificate, ErrNoService or ErrTooLarge, or name a field that is in
// the list twice.
//
// The string contains characters of standard base64 ("+", "/", "="): fit for a
// header, to be escaped in a query string. For equal content it is the same
// string as long as the compressor is the same version; other implementations
// compress differently, so compare content, never strings.
func (t *Token) Sign(appCertificate string) (string, error) {
	return t.signWith(appCertificate, (*deflater).deflate)
}

// signWith signs t and has its content brought into zlib form by deflate.
func (t *Token) signWith(appCertificate string, deflate func(*deflater, []byte) []byte) (string, error) {
	if !ValidID(t.AppID) {
		return "", ErrAppID
	}
	if !ValidID(appCertificate) {
		return "", ErrAppCertificate
	}
	s := signers.Get().(*signer)
	defer s.release()

	// A block is kept free in front of the content, for HMAC's pad while
	// signing and for the signature afterwards.
	var err error
	if s.packed, err = t.appendContent(s.room()); err != nil {
		return "", err
	}
	sum := s.sign(t.IssuedAt, t.Salt, appCertificate)
	content := s.packed[sha256.BlockSize-signatureHead:]
	copy(wire.AppendUint16(content[:0], sha256.Size)[2:signatureHead], sum[:])

	deflated := deflate(&s.deflater, content)
	s.text = append(s.text[:0], Version...)
	s.text = base64.StdEncoding.AppendEncode(s.text, deflated)
	return string(s.text), nil
}

// Verify returns nil if the token, as Parse saw it, was signed with this app
// certificate; otherwise an error that matches ErrSignature, or
// ErrAppCertificate if that is none, or ErrNotParsed. The comparison takes
// constant time. Changes to t after Parse are not looked at; neither is the
// time, see CheckTime.
func (t *Token) Verify(appCertificate string) error {
	if t.signed == "" {
		return ErrNotParsed
	}
	if !ValidID(appCertificate) {
		return ErrAppCertificate
	}
	s := signers.Get().(*signer)
	defer s.release()

	// The fields of t may have been changed since, hence from the signed bytes.
	h := readHeader(t.signed)
	s.packed = append(s.room(), t.signed...)
	sum := s.sign(h.issuedAt, h.salt, appCertificate)
	if subtle.ConstantTimeCompare(sum[:], []byte(t.signature)) != 1 {
		return ErrSignature
	}
	return nil
}

// A signer holds the buffers that signing needs, so that a token costs few
// allocations.
type signer struct {
	packed []byte // a free block, then the content
	text   []byte
	deflater
}

var signers = sync.Pool{New: func() any { return &signer{deflater: newDeflater()} }}

// release returns s to the pool, unless an unusually large token made it too
// large to keep.
func (s *signer) release() {
	if cap(s.packed)+cap(s.text) <= maxPooled {
		signers.Put(s)
	}
}

// room returns the packed buffer with nothing but the free block.
func (s *signer) room() []byte {
	return append(s.packed[:0], innerPad[:]...)
}

// sign returns the signature of the content in s.packed:
//
//	k1        = HMAC-SHA256(key = issuedAt, message = certificate)
//	k2        = HMAC-SHA256(key = salt,     message = k1)
//	signature = HMAC-SHA256(key = k2,       message = content)
//
// The integers are little-endian, the certificate is its 32 characters.
func (s *signer) sign(issuedAt, salt uint32, appCertificate string) [sha256.Size]byte {
	var key [4]byte
	var message [sha256.BlockSize + sha256.Size]byte

	binary.LittleEndian.PutUint32(key[:], issuedAt)
	copy(message[sha256.BlockSize:], appCertificate)
	k1 := hmacSHA256(key[:], message[:])

	binary.LittleEndian.PutUint32(key[:], salt)
	copy(message[sha256.BlockSize:], k1[:])
	k2 := hmacSHA256(key[:], message[:])

	return hmacSHA256(k2[:], s.packed)
}

// hmacSHA256 returns the HMAC of what follows the first block of message; it
// overwrites that block, and leaves nothing in it from which the key could be
// told. The key must not be longer than a block.
//
// It is written out over crypto/sha256 because crypto/hmac cannot change its
// key and allocates for each one, and every token needs three.
func hmacSHA256(key, message []byte) [sha256.Size]byte {
	pad := message[:sha256.BlockSize]
	copy(pad, innerPad[:])
	subtle.XORBytes(pad, pad, key)
	inner := sha256.Sum256(message)
	copy(pad, innerPad[:])

	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], outerPad[:])
	subtle.XORBytes(outer[:], outer[:], key)
	copy(outer[sha256.BlockSize:], inner[:])
	return sha256.Sum256(outer[:])
}

var (
	innerPad = [sha256.BlockSize]byte(bytes.Repeat([]byte{0x36}, sha256.BlockSize))
	outerPad = [sha256.BlockSize]byte(bytes.Repeat([]byte{0x5c}, sha256.BlockSize))
)
