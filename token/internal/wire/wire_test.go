package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestValuesAreReadAsTheyWereWritten(t *testing.T) {
	b := AppendString(nil, "abc")
	b = AppendUint16(b, 0x0102)
	b = AppendUint32(b, 0x03040506)
	b = AppendString(b, "")
	if want := "\x03\x00abc\x02\x01\x06\x05\x04\x03\x00\x00"; string(b) != want {
		t.Fatalf("wrote %q, want %q", b, want)
	}
	r := NewReader(string(b) + "rest")
	s, u16, u32, empty := r.String(), r.Uint16(), r.Uint32(), r.String()
	if s != "abc" || u16 != 0x0102 || u32 != 0x03040506 || empty != "" || r.Err() != nil {
		t.Errorf("read %q %#x %#x %q, %v", s, u16, u32, empty, r.Err())
	}
	if r.Rest() != "rest" || r.Len() != 4 {
		t.Errorf("left %q", r.Rest())
	}
}

func TestLongestString(t *testing.T) {
	s := strings.Repeat("x", MaxString)
	r := NewReader(string(AppendString(nil, s)))
	if r.String() != s || r.Err() != nil || r.Len() != 0 {
		t.Error("not read back")
	}
}

func TestNothingIsReadAfterAFailure(t *testing.T) {
	for name, read := range map[string]func(*Reader) bool{
		"uint16": func(r *Reader) bool { return r.Uint16() == 0 },
		"uint32": func(r *Reader) bool { return r.Uint32() == 0 },
		"string": func(r *Reader) bool { return r.String() == "" },
	} {
		r := NewReader("\x05\x00abcd")
		if r.String() != "" || !errors.Is(r.Err(), ErrShort) {
			t.Fatalf("a cut string: %v", r.Err())
		}
		if !read(&r) || r.Rest() != "" || r.Len() != 0 || !errors.Is(r.Err(), ErrShort) {
			t.Errorf("%s after a failure: %v", name, r.Err())
		}
		r = NewReader("\x01")
		if !read(&r) || !errors.Is(r.Err(), ErrShort) {
			t.Errorf("%s of one byte: %v", name, r.Err())
		}
	}
}
