package tokenserver

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// userVariable stands for the caller in a pattern.
const userVariable = "{user}"

// pattern matches names: users, channels, accounts. "*" in it matches any text,
// the empty one too; {user} is the caller, taken literally, and matches nothing
// where nobody is signed in. All else matches itself, byte for byte.
//
// A name that is a wildcard itself, in the vendor's sense, is many names, and a
// pattern that matches it must match all of them. See matchesWildcard.
type pattern struct {
	source string
	chunks []string // between the asterisks; {user} is still in them
	user   bool     // {user} is in it
}

// likePlaceholder is what looks like one of Caddy's placeholders, which patterns
// do not have. Other braces may be part of a channel's name.
var likePlaceholder = regexp.MustCompile(`\{[A-Za-z$%?][\w-]*(\.[^{}]*)?\}`)

var (
	errPatternEmpty       = errors.New("a pattern must not be empty: a blank name is a wildcard, which * matches where wildcards are on")
	errPatternPlaceholder = errors.New("a pattern has no placeholders but {user}, which is what identity says")
)

func parsePattern(source string) (pattern, error) {
	if source == "" {
		return pattern{}, errPatternEmpty
	}
	for _, found := range likePlaceholder.FindAllString(source, -1) {
		if found != userVariable {
			return pattern{}, errPatternPlaceholder
		}
	}
	return pattern{source: source, chunks: strings.Split(source, "*"), user: strings.Contains(source, userVariable)}, nil
}

// matches reports whether p matches text for a caller; user is "" where nobody is
// signed in. It takes time in proportion to the text.
func (p *pattern) matches(text, user string) bool {
	if p.user && user == "" {
		return false
	}
	first, rest := p.chunk(0, user), len(p.chunks)-1
	if rest == 0 {
		return text == first
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for i := 1; i < rest; i++ {
		chunk := p.chunk(i, user)
		at := strings.Index(text, chunk)
		if at < 0 {
			return false
		}
		text = text[at+len(chunk):]
	}
	return strings.HasSuffix(text, p.chunk(rest, user))
}

// chunk returns a chunk with the user put in.
func (p *pattern) chunk(i int, user string) string {
	if !p.user {
		return p.chunks[i]
	}
	return strings.ReplaceAll(p.chunks[i], userVariable, user)
}

// matchesWildcard reports whether p matches every name that a wildcard stands for.
//
// With asterisks in it, that is so if p matches it as a text: each asterisk of the
// text falls into one of p's, since p has no other way to match one. {user} would
// be one for a user who is called "*", so that patterns with {user} match no
// wildcard. A wildcard that is blank stands for all names, as the uid 0 does;
// these are matched by a pattern of nothing but asterisks, and the uid 0 also by
// the pattern 0, which says it.
func (p *pattern) matchesWildcard(n name) bool {
	if n.blank() {
		return p.everything() || n.uid && p.source == "0"
	}
	return p.matches(n.text, "")
}

// everything reports whether p matches all names.
func (p *pattern) everything() bool { return strings.Trim(p.source, "*") == "" }

// patterns are those of one line of a rule.
type patterns []pattern

func parsePatterns(sources []string) (patterns, error) {
	list := make(patterns, 0, len(sources))
	for _, source := range sources {
		p, err := parsePattern(source)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func (list patterns) match(text, user string) bool {
	return slices.ContainsFunc(list, func(p pattern) bool { return p.matches(text, user) })
}

func (list patterns) matchWildcard(n name) bool {
	return slices.ContainsFunc(list, func(p pattern) bool { return p.matchesWildcard(n) })
}
