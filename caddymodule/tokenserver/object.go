package tokenserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object from a caller, read member by member. It refuses what
// encoding/json lets pass and what would make a token other than the one that was
// meant: members that are there twice, text behind the end, and strings that are
// no valid Unicode.
//
// The first error stays in problem, and what is read after it means nothing.
type object struct {
	members []member
	lenient bool
	problem error
}

type member struct {
	name string
	raw  []byte
	read bool
}

// maxMembers is more members than any dialect has.
const maxMembers = 64

// parseObject reads a body. A lenient object is read as those of the dialects were
// by their own servers: names in any case, null as if it were not there, and
// members that nobody reads pass. Otherwise these are errors.
func parseObject(body []byte, lenient bool) *object {
	o := &object{lenient: lenient}
	switch {
	case !utf8.Valid(body):
		o.problem = errors.New("the body is not valid UTF-8")
	case !json.Valid(body):
		o.problem = errors.New("the body is not valid JSON")
	default:
		o.split("the body", body)
	}
	return o
}

// split finds the members in valid JSON.
func (o *object) split(what string, valid []byte) {
	at := skipSpace(valid, 0)
	if valid[at] != '{' {
		o.problem = errors.New(what + " must be a JSON object")
		return
	}
	for at = skipSpace(valid, at+1); valid[at] != '}'; at = skipSpace(valid, at) {
		if valid[at] == ',' {
			at = skipSpace(valid, at+1)
		}
		end := skipValue(valid, at)
		name, err := unquote(valid[at:end])
		if err != nil {
			o.problem = errors.New("a member's name is not valid Unicode")
			return
		}
		at = skipSpace(valid, end)  // the colon
		at = skipSpace(valid, at+1) // the value
		end = skipValue(valid, at)  //
		if o.add(name, valid[at:end]); o.problem != nil {
			return
		}
		at = end
	}
}

func (o *object) add(name string, raw []byte) {
	if len(o.members) == maxMembers {
		o.problem = errors.New("there are too many members")
		return
	}
	for i := range o.members {
		if o.members[i].name == name {
			o.problem = fmt.Errorf("%s is there twice", quoted(name))
			return
		}
	}
	o.members = append(o.members, member{name: name, raw: raw})
}

// find returns the value of a member, or nil where it is not there.
func (o *object) find(name string) []byte {
	if o.problem != nil {
		return nil
	}
	var found *member
	for i := range o.members {
		m := &o.members[i]
		if m.name != name && (!o.lenient || !strings.EqualFold(m.name, name)) {
			continue
		}
		if found != nil {
			o.problem = fmt.Errorf("%s is there twice", quoted(name))
			return nil
		}
		found = m
	}
	if found == nil {
		return nil
	}
	found.read = true
	if o.lenient && string(found.raw) == "null" {
		return nil
	}
	return found.raw
}

// text returns a string, and whether it is there.
func (o *object) text(name string) (text string, given bool) {
	raw := o.find(name)
	if raw == nil {
		return "", false
	}
	text, err := unquote(raw)
	if err != nil {
		o.problem = fmt.Errorf("%s %w", name, err)
	}
	return text, true
}

// number returns a whole number from low to high, and whether it is there.
func (o *object) number(name string, low, high int64) (n int64, given bool) {
	raw := o.find(name)
	if raw == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < low || n > high || raw[0] == '-' && n == 0 {
		o.problem = fmt.Errorf("%s must be a whole number from %d to %d", name, low, high)
	}
	return n, true
}

// flag returns a boolean, false where it is not there.
func (o *object) flag(name string) bool {
	raw := o.find(name)
	if raw != nil && string(raw) != "true" && string(raw) != "false" {
		o.problem = fmt.Errorf("%s must be true or false", name)
	}
	return string(raw) == "true"
}

// list returns an array of strings, and whether it is there.
func (o *object) list(name string) (list []string, given bool) {
	raw := o.find(name)
	if raw == nil {
		return nil, false
	}
	if raw[0] != '[' {
		o.problem = fmt.Errorf("%s must be an array of strings", name)
		return nil, true
	}
	for at := skipSpace(raw, 1); raw[at] != ']'; at = skipSpace(raw, at) {
		if raw[at] == ',' {
			at = skipSpace(raw, at+1)
		}
		end := skipValue(raw, at)
		text, err := unquote(raw[at:end])
		if err != nil {
			o.problem = fmt.Errorf("%s must be an array of strings", name)
			return nil, true
		}
		list = append(list, text)
		at = end
	}
	return list, true
}

// object returns a member that is an object itself; an empty one where it is not
// there. Its problems are to be looked at by the caller.
func (o *object) object(name string) *object {
	inner := &object{lenient: o.lenient, problem: o.problem}
	if raw := o.find(name); raw != nil {
		inner.split(name, raw)
	}
	return inner
}

// isText reports whether a member is there and is a string.
func (o *object) isText(name string) bool {
	raw := o.find(name)
	return raw != nil && raw[0] == '"'
}

// end returns what is wrong with the object, with regard to what was read of it.
func (o *object) end() error {
	if o.problem == nil && !o.lenient {
		for i := range o.members {
			if !o.members[i].read {
				return fmt.Errorf("there is no member %s", quoted(o.members[i].name))
			}
		}
	}
	return o.problem
}

var (
	errNotText    = errors.New("must be a string")
	errNotUnicode = errors.New("is not valid Unicode")
)

// unquote decodes a value of valid JSON that must be a string.
func unquote(raw []byte) (string, error) {
	if raw[0] != '"' {
		return "", errNotText
	}
	if strings.IndexByte(string(raw), '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return "", errNotText
	}
	// Half a surrogate pair becomes U+FFFD, for which the vendor may read something
	// else; that character itself nobody needs.
	if strings.ContainsRune(text, utf8.RuneError) {
		return "", errNotUnicode
	}
	return text, nil
}

func skipSpace(valid []byte, at int) int {
	for at < len(valid) && (valid[at] == ' ' || valid[at] == '\t' || valid[at] == '\n' || valid[at] == '\r') {
		at++
	}
	return at
}

// skipValue returns the end of the value that begins at an offset of valid JSON.
func skipValue(valid []byte, at int) int {
	switch valid[at] {
	case '"':
		for at++; valid[at] != '"'; at++ {
			if valid[at] == '\\' {
				at++
			}
		}
		return at + 1
	case '{', '[':
		for depth := 0; ; {
			switch valid[at] {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			case '"':
				at = skipValue(valid, at) - 1
			}
			at++
			if depth == 0 {
				return at
			}
		}
	}
	for at < len(valid) && !strings.ContainsRune(",]} \t\r\n", rune(valid[at])) {
		at++
	}
	return at
}

// quoted is how what a caller has chosen is repeated: short, and without anything
// that is not seen.
func quoted(text string) string {
	const most = 64
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "…"
	}
	return strconv.QuoteToASCII(text)
}
