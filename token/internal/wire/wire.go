// Package wire reads and writes the binary form that Agora's binary tokens
// share: little-endian integers, strings with a 16-bit byte length in front,
// and counted lists (AgoraIO/Tools, accesstoken2/util.go).
package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// MaxString is the largest number of bytes that a packed string can have: its
// length is a 16-bit integer.
const MaxString = math.MaxUint16

// ErrShort is returned when the input ends inside a value.
var ErrShort = errors.New("unexpected end of data")

// AppendString appends s with its length. The caller has checked that s is not
// longer than MaxString.
func AppendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// AppendUint16 appends v.
func AppendUint16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }

// AppendUint32 appends v.
func AppendUint32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// Reader takes values from the front of a string. Strings that it returns
// share the input's memory.
//
// After the first failure every method returns a zero value, so a caller may
// read several values and look at Err once.
type Reader struct {
	data   string
	at     int
	failed bool
}

// NewReader returns a Reader of s.
func NewReader(s string) Reader { return Reader{data: s} }

// Err returns ErrShort if a value was cut short.
func (r *Reader) Err() error {
	if r.failed {
		return ErrShort
	}
	return nil
}

// Rest returns what has not been read.
func (r *Reader) Rest() string { return r.data[r.at:] }

// Len returns the number of bytes that have not been read.
func (r *Reader) Len() int { return len(r.data) - r.at }

// take returns the position of the next n bytes and moves behind them.
func (r *Reader) take(n int) (at int, ok bool) {
	if len(r.data)-r.at < n {
		r.at, r.failed = len(r.data), true
		return 0, false
	}
	at = r.at
	r.at += n
	return at, true
}

// Uint16 reads a 16-bit integer.
func (r *Reader) Uint16() uint16 {
	at, ok := r.take(2)
	if !ok {
		return 0
	}
	s := r.data[at : at+2]
	return uint16(s[0]) | uint16(s[1])<<8
}

// Uint32 reads a 32-bit integer.
func (r *Reader) Uint32() uint32 {
	at, ok := r.take(4)
	if !ok {
		return 0
	}
	s := r.data[at : at+4]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// String reads a string.
func (r *Reader) String() string {
	n := int(r.Uint16())
	at, ok := r.take(n)
	if !ok {
		return ""
	}
	return r.data[at : at+n]
}
