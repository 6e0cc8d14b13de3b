package api

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"
)

// MaxDepth is how deeply objects and arrays of a body may be nested. A join of
// the vendor's SDKs has about six levels.
const MaxDepth = 512

// parseObject reads body as one JSON object. Offsets in the result are those in
// body. Its strings may be in body's memory, as a copy of every body would cost more
// than all that is read of it: what is kept has to be cloned.
func parseObject(body []byte) (gjson.Result, error) {
	if tooDeep(body) || !utf8.Valid(body) || !gjson.ValidBytes(body) {
		return gjson.Result{}, ErrNotJSON
	}
	root := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
	if !root.IsObject() {
		return gjson.Result{}, ErrNotJSON
	}
	return root, nil
}

// members finds members of object by their exact names, escapes decoded: found[i]
// is the last one called names[i]. It returns the offset behind the object's last
// value, or 0 where it has no members.
//
// The last counts because that is how nearly every parser reads a name that
// stands there twice. gjson's own Get, and with it sjson, would take the first.
func members(object gjson.Result, names []string, found []gjson.Result) (end int) {
	object.ForEach(func(key, value gjson.Result) bool {
		for i, name := range names {
			if key.Str == name {
				found[i] = value
			}
		}
		end = value.Index + len(value.Raw)
		return true
	})
	return end
}

// missing reports whether a member is absent, null or "".
func missing(member gjson.Result) bool {
	return member.Type == gjson.Null || member.Type == gjson.String && member.Str == ""
}

// tooDeep reports whether body nests deeper than MaxDepth. It must run before
// anything that recurses into the body. It does not check the syntax: brackets
// that do not pair up are the validator's to find.
func tooDeep(body []byte) bool {
	if bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) <= MaxDepth {
		return false // nearly always, and many times faster to see
	}
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// plain reports whether a name can be signed for: it has no control characters,
// and no character in the place of one that could not be decoded (an escape such
// as \ud800 alone), for which the vendor may read something else.
func plain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) })
}
