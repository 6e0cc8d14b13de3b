package tokenserver

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// values are the fields of a query or a form, read like an object. Fields that
// nobody reads pass; what is there twice does not.
type values struct {
	fields  url.Values
	problem error
}

func parseValues(encoded string) *values {
	fields, err := url.ParseQuery(encoded)
	if err != nil {
		return &values{problem: errors.New("a field is not encoded as application/x-www-form-urlencoded")}
	}
	for name, list := range fields {
		if len(list) > 1 {
			return &values{problem: fmt.Errorf("%s is there twice", quoted(name))}
		}
		// It is also what Go finds in place of bytes that are no UTF-8.
		if strings.ContainsRune(name, utf8.RuneError) || strings.ContainsRune(list[0], utf8.RuneError) {
			return &values{problem: errors.New("a field is not valid UTF-8")}
		}
	}
	return &values{fields: fields}
}

// text returns a field, and whether it is there.
func (v *values) text(name string) (text string, given bool) {
	list := v.fields[name]
	if v.problem != nil || len(list) == 0 {
		return "", false
	}
	return list[0], true
}

// seconds returns a lifetime, 0 where it is not there or blank.
func (v *values) seconds(name string) uint32 {
	text, _ := v.text(name)
	if text == "" {
		return 0
	}
	n, err := parseUint32(text)
	if err != nil {
		v.problem = fmt.Errorf("%s %w", name, err)
	}
	return n
}

var errNotUint32 = errors.New("must be a whole number from 0 to 4294967295")

// parseUint32 reads decimal digits and nothing else.
func parseUint32(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, errNotUint32
	}
	return uint32(n), nil
}
