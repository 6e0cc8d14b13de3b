// Package strictjson reads the small JSON documents from which tokens are
// built. It refuses what encoding/json lets pass and what would make a token
// other than the one that was meant: members that nobody reads, members that
// are there twice, text behind the end, and strings that are no valid Unicode.
// Members keep their order.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Member is a name in an object and its value, not yet decoded.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Read reads one document of at most limit bytes.
func Read(r io.Reader, limit int) (json.RawMessage, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	if !json.Valid(data) {
		return nil, syntaxError(data)
	}
	return data, nil
}

// Document reads one document of at most limit bytes and has parse make what it
// describes. Errors begin with what it is.
func Document[T any](what string, r io.Reader, limit int, parse func(json.RawMessage) (*T, error)) (*T, error) {
	data, err := Read(r, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	v, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return v, nil
}

// syntaxError says where the JSON is wrong, by line and without quoting it: it
// may contain an app certificate.
func syntaxError(data []byte) error {
	var v json.RawMessage
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &v); errors.As(err, &syntax) && int(syntax.Offset) <= len(data) {
		return fmt.Errorf("not valid JSON in line %d", 1+bytes.Count(data[:syntax.Offset], []byte("\n")))
	}
	return errors.New("not valid JSON")
}

// Object returns the members of an object, each name once.
func Object(what string, data json.RawMessage) ([]Member, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("%s must be an object", what)
	}
	var members []Member
	seen := make(map[string]bool)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%s: not valid JSON", what)
		}
		m := Member{Name: name.(string)}
		if err := d.Decode(&m.Value); err != nil {
			return nil, fmt.Errorf("%s: not valid JSON", what)
		}
		if seen[m.Name] {
			return nil, fmt.Errorf("%s: %q is there twice", what, m.Name)
		}
		seen[m.Name] = true
		members = append(members, m)
	}
	return members, nil
}

// Array returns the elements of an array of at most limit elements.
func Array(what string, data json.RawMessage, limit int) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if !startsWith(data, '[') || json.Unmarshal(data, &list) != nil {
		return nil, fmt.Errorf("%s must be an array", what)
	}
	if len(list) > limit {
		return nil, fmt.Errorf("%s has more than %d elements", what, limit)
	}
	return list, nil
}

// String returns a string.
func String(what string, data json.RawMessage) (string, error) {
	var s string
	if !startsWith(data, '"') || json.Unmarshal(data, &s) != nil {
		return "", fmt.Errorf("%s must be a string", what)
	}
	if replaced(s, data) {
		return "", fmt.Errorf("%s is not valid Unicode", what)
	}
	return s, nil
}

// replaced reports whether decoding put U+FFFD in the place of something else,
// as encoding/json does with half a surrogate pair.
func replaced(s string, data json.RawMessage) bool {
	const replacement = "\uFFFD"
	n := strings.Count(s, replacement)
	if n == 0 {
		return false
	}
	text := string(data)
	return n > strings.Count(text, replacement)+strings.Count(strings.ToLower(text), `\ufffd`)
}

// Integer returns a whole number within a range, written without fraction and
// exponent.
func Integer(what string, data json.RawMessage, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s must be a whole number from %d to %d", what, low, high)
	}
	return n, nil
}

// Key returns the number that a member's name stands for, from 0 to high,
// written as the number is commonly written.
func Key(what, name string, high int64) (int64, error) {
	n, err := strconv.ParseInt(name, 10, 64)
	if err != nil || n < 0 || n > high || strconv.FormatInt(n, 10) != name {
		return 0, fmt.Errorf("%s: %q must be a number from 0 to %d", what, name, high)
	}
	return n, nil
}

// Uint32 returns a number from 0 to 4294967295.
func Uint32(what string, data json.RawMessage) (uint32, error) {
	n, err := Integer(what, data, 0, math.MaxUint32)
	return uint32(n), err
}

// A Number is a member whose name and value are both numbers.
type Number struct {
	Key   uint16
	Value uint32
}

// Numbers returns the members of an object that maps numbers to numbers, in
// their order. one is what a member is called in errors.
func Numbers(m Member, one string) ([]Number, error) {
	members, err := Object(m.Name, m.Value)
	if err != nil {
		return nil, err
	}
	list := make([]Number, len(members))
	for i, member := range members {
		key, err := Key(m.Name, member.Name, math.MaxUint16)
		if err != nil {
			return nil, err
		}
		value, err := Uint32(one+" "+member.Name, member.Value)
		if err != nil {
			return nil, err
		}
		list[i] = Number{uint16(key), value}
	}
	return list, nil
}

// Bool returns true or false.
func Bool(what string, data json.RawMessage) (bool, error) {
	switch string(bytes.TrimSpace(data)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s must be true or false", what)
}

func startsWith(data json.RawMessage, c byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) > 0 && data[0] == c
}
