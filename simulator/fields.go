package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
)

// A fieldError is the first thing that is wrong with a request.
type fieldError struct {
	path    string // "properties.channel"
	problem string // "not found", "must be …"
	missing bool
}

// fields reads the members of a JSON object, by their exact names. After the
// first member that is wrong the others read as absent; so a caller reads all of
// them and then looks at failed. null counts as absent.
type fields struct {
	members map[string]json.RawMessage
	path    string // of the object itself, with a dot at the end, or ""
	failure *fieldError
}

// parseBody reads a request body as one JSON object. An empty body is an empty
// object if that is allowed.
func parseBody(body []byte, mayBeEmpty bool) (*fields, *reply) {
	f := &fields{failure: &fieldError{}}
	if mayBeEmpty && len(strings.TrimSpace(string(body))) == 0 {
		return f, nil
	}
	if err := json.Unmarshal(body, &f.members); err != nil || f.members == nil {
		r := failure(http.StatusBadRequest, api.ReasonInvalidRequestBody, "The request body is not valid JSON.")
		return nil, &r
	}
	return f, nil
}

func (f *fields) failed() bool { return f.failure.problem != "" }

func (f *fields) fail(name, format string, args ...any) {
	if !f.failed() {
		*f.failure = fieldError{path: f.path + name, problem: fmt.Sprintf(format, args...)}
	}
}

// get decodes a member into target and reports whether it was there.
func (f *fields) get(name string, required bool, target any, kind string) bool {
	if f.failed() {
		return false
	}
	raw, there := f.members[name]
	if !there || string(raw) == "null" {
		if required {
			f.fail(name, "not found")
			f.failure.missing = true
		}
		return false
	}
	if json.Unmarshal(raw, target) != nil {
		f.fail(name, "must be %s", kind)
		return false
	}
	return true
}

// text reads a string. A required one must not be empty.
func (f *fields) text(name string, required bool) string {
	var s string
	if f.get(name, required, &s, "a string") && s == "" && required {
		f.fail(name, "not found")
		f.failure.missing = true
	}
	return s
}

func (f *fields) oneOf(name, byDefault string, values ...string) string {
	var s string
	if !f.get(name, false, &s, "a string") || s == "" {
		return byDefault
	}
	if !slices.Contains(values, s) {
		f.fail(name, "must be one of %s", strings.Join(values, ", "))
	}
	return s
}

func (f *fields) flag(name string, byDefault bool) bool {
	b := byDefault
	f.get(name, false, &b, "true or false")
	return b
}

func (f *fields) number(name string, low, high int64) {
	n := low
	if f.get(name, false, &n, "an integer") && (n < low || n > high) {
		f.fail(name, "must be %d to %d", low, high)
	}
}

// texts reads a list of strings. A required one must have an entry.
func (f *fields) texts(name string, required bool) []string {
	var list []string
	if f.get(name, required, &list, "a list of strings") && len(list) == 0 && required {
		f.fail(name, "must not be empty")
	}
	return list
}

// object reads an object; where it is absent, an empty one.
func (f *fields) object(name string, required bool) *fields {
	inner := &fields{path: f.path + name + ".", failure: f.failure}
	f.get(name, required, &inner.members, "an object")
	return inner
}

func (f *fields) has(name string) bool {
	raw, there := f.members[name]
	return there && string(raw) != "null"
}

// uid reads a user ID: a decimal uint32, or any string where string UIDs are
// enabled.
func (f *fields) uid(name string, required, stringUID bool) string {
	s := f.text(name, required)
	f.checkUID(name, s, stringUID)
	return s
}

func (f *fields) checkUID(name, s string, stringUID bool) {
	switch {
	case s == "" || f.failed():
	case len(s) > token.MaxAccount:
		f.fail(name, "must have at most %d bytes", token.MaxAccount)
	case stringUID:
	default:
		if _, err := strconv.ParseUint(s, 10, 32); err != nil {
			f.fail(name, "must be an integer unless enable_string_uid is true")
		}
	}
}

// reply is the service's answer to a request with a wrong field.
func (e *fieldError) reply() reply {
	reason := api.ReasonInvalidFieldValue
	if e.missing {
		reason = api.ReasonMissingRequiredField
	}
	return failure(http.StatusBadRequest, reason, e.path+" "+e.problem)
}

// startReply is the same in the words that the vendor publishes for a join:
// "create agent failed, code: 400, msg: properties: channel not found".
func (e *fieldError) startReply() reply {
	path := strings.ReplaceAll(e.path, ".", ": ")
	return failure(http.StatusBadRequest, api.ReasonInvalidRequest, "create agent failed, code: 400, msg: "+path+" "+e.problem)
}

// unprocessable is the answer of the telephony and phone number pages.
func (e *fieldError) unprocessable() reply {
	return failure(http.StatusUnprocessableEntity, "unprocessable_content", e.path+" "+e.problem)
}
