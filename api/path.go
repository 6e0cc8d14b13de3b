package api

import "strings"

// The path prefixes under which the vendor serves the API. Source:
// agora-agents-go core/request_option_custom.go.
const (
	PrefixGlobal = "/api/conversational-ai-agent"
	PrefixCN     = "/cn/api/conversational-ai-agent"
)

// ConfiguredProject stands in the place of an app ID in a request path for
// "the app that is configured".
const ConfiguredProject = "_"

// Path is a request path that has been recognised: the operations that it can
// stand for (one per method) and its variable segments, decoded.
type Path struct {
	AppID       string // "" where the path has none (phone numbers); may be ConfiguredProject
	AgentID     string
	PhoneNumber string

	*pathTemplate
}

// ParsePath recognises the path of a ConvoAI request. It takes the path as it
// was on the wire, still percent-encoded, because only that tells a harmless
// path from one that was encoded to look harmless.
//
// Accepted are the prefixes /api/conversational-ai-agent,
// /cn/api/conversational-ai-agent and none, in front of one of the templates of
// [Operations], with or without one slash at the end. A variable segment is
// decoded once and must then consist of ASCII letters, digits and "-._~+:@=";
// "." and ".." are no segments. A fixed segment must stand there literally.
// Everything else is no ConvoAI path: ok is false.
func ParsePath(escaped string) (p Path, ok bool) {
	rest := escaped
	for _, prefix := range []string{PrefixGlobal, PrefixCN} {
		if after, found := strings.CutPrefix(escaped, prefix); found {
			rest = after
			break
		}
	}
	rest = strings.TrimSuffix(rest, "/")
	if len(rest) < 2 || rest[0] != '/' {
		return Path{}, false
	}
	var array [8]string
	segments := array[:0]
	for segment := range strings.SplitSeq(rest[1:], "/") {
		if len(segments) == cap(segments) {
			return Path{}, false
		}
		segments = append(segments, segment)
	}
	for i := range templates {
		t := &templates[i]
		if p, ok := t.match(segments); ok {
			return p, true
		}
	}
	return Path{}, false
}

// Operation returns the operation that method asks for on p.
func (p *Path) Operation(method string) (*Operation, bool) {
	for _, op := range p.operations {
		if op.Method == method {
			return op, true
		}
	}
	return nil, false
}

// Allow returns the value of the Allow header for p: its methods, in the order
// of the vendor's reference.
func (p *Path) Allow() string {
	methods := make([]string, len(p.operations))
	for i, op := range p.operations {
		methods[i] = op.Method
	}
	return strings.Join(methods, ", ")
}

// Canonical returns the one form of p that is sent to an upstream: prefix, then
// the template with its variable segments encoded, without a slash at the end.
// prefix is [PrefixGlobal] or [PrefixCN].
func (p *Path) Canonical(prefix string) string {
	var b strings.Builder
	b.Grow(len(prefix) + len(p.text) + len(p.AppID) + len(p.AgentID) + len(p.PhoneNumber))
	b.WriteString(prefix)
	for _, segment := range p.segments {
		b.WriteByte('/')
		switch segment {
		case "{appid}":
			b.WriteString(p.AppID)
		case "{agent_id}":
			b.WriteString(p.AgentID)
		case "{phone_number}":
			b.WriteString(p.PhoneNumber)
		default:
			b.WriteString(segment)
		}
	}
	return b.String()
}

// pathTemplate is one template with the operations that share it.
type pathTemplate struct {
	text       string
	segments   []string
	operations []*Operation
}

// templates holds each template of the operations once.
var templates = func() []pathTemplate {
	var list []pathTemplate
	byText := map[string]int{}
	for _, op := range operations {
		i, seen := byText[op.Template]
		if !seen {
			i = len(list)
			byText[op.Template] = i
			list = append(list, pathTemplate{text: op.Template, segments: op.segments})
		}
		list[i].operations = append(list[i].operations, op)
	}
	return list
}()

func (t *pathTemplate) match(segments []string) (Path, bool) {
	if len(segments) != len(t.segments) {
		return Path{}, false
	}
	p := Path{pathTemplate: t}
	for i, want := range t.segments {
		if want[0] != '{' {
			if segments[i] != want {
				return Path{}, false
			}
			continue
		}
		value, ok := decodeSegment(segments[i])
		if !ok {
			return Path{}, false
		}
		switch want {
		case "{appid}":
			p.AppID = value
		case "{agent_id}":
			p.AgentID = value
		case "{phone_number}":
			p.PhoneNumber = value
		}
	}
	return p, true
}

// decodeSegment decodes a variable segment once and accepts the result if every
// byte of it is in the closed set of segmentByte.
func decodeSegment(s string) (string, bool) {
	if strings.IndexByte(s, '%') >= 0 {
		decoded := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				decoded = append(decoded, s[i])
				continue
			}
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			decoded = append(decoded, byte(hi<<4|lo))
			i += 2
		}
		s = string(decoded)
	}
	if s == "" || s == "." || s == ".." {
		return "", false
	}
	for i := range len(s) {
		if !segmentByte(s[i]) {
			return "", false
		}
	}
	return s, true
}

// segmentByte reports whether c may stand in a variable segment. None of these
// needs encoding in a path (RFC 3986, pchar), so a decoded segment is also its
// own canonical encoding.
func segmentByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("-._~+:@=", c) >= 0
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func split(template string) []string {
	return strings.Split(strings.TrimPrefix(template, "/"), "/")
}
