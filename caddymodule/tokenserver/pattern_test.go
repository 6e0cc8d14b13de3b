package tokenserver

import (
	"regexp"
	"strings"
	"testing"
)

func mustPattern(t testing.TB, source string) pattern {
	t.Helper()
	p, err := parsePattern(source)
	if err != nil {
		t.Fatalf("%q: %v", source, err)
	}
	return p
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, text, user string
		want                bool
	}{
		{"room-7", "room-7", "", true},
		{"room-7", "room-77", "", false},
		{"room-7", "Room-7", "", false},
		{"room-*", "room-7", "", true},
		{"room-*", "room-", "", true},
		{"room-*", "lobby", "", false},
		{"room-*", "a-room-7", "", false},
		{"*-room", "a-room", "", true},
		{"*-room", "a-room-7", "", false},
		{"*", "", "", true},
		{"*", "anything", "", true},
		{"**", "anything", "", true},
		{"a*a", "a", "", false},
		{"a*a", "aa", "", true},
		{"a*b*c", "abc", "", true},
		{"a*b*c", "axbxbxc", "", true},
		{"a*b*c", "acb", "", false},
		{"*ab*ab*", "ab", "", false},
		{"a.c", "abc", "", false},
		{"[a-z]+", "b", "", false},
		{"{a}", "{a}", "", false}, // refused, see below
		{"{ }", "{ }", "", true},
		{"007", "7", "", false},

		{"{user}", "ann", "ann", true},
		{"{user}", "bob", "ann", false},
		{"{user}", "", "", false},
		{"{user}", "{user}", "ann", false},
		{"{user}", "{user}", "{user}", true},
		{"room-{user}-*", "room-ann-1", "ann", true},
		{"room-{user}-*", "room--1", "", false},
		{"*{user}*", "anything", "", false},
		{"{user}{user}", "annann", "ann", true},

		// A user is a text, whatever it is called.
		{"{user}", "anything", "*", false},
		{"room-{user}", "room-7", "*", false},
		{"{user}", "*", "*", true}, // which is a wildcard, see below
		{"{user}", "abc", "a*c", false},
		{"{user}", "ann", "{user}", false},
	} {
		p, err := parsePattern(test.pattern)
		if err != nil {
			if test.want {
				t.Errorf("%q: %v", test.pattern, err)
			}
			continue
		}
		if got := p.matches(test.text, test.user); got != test.want {
			t.Errorf("%q matches %q for %q: %t", test.pattern, test.text, test.user, got)
		}
	}
}

func TestPatternsThatAreNone(t *testing.T) {
	for source, want := range map[string]error{
		"":                      errPatternEmpty,
		"{http.auth.user.id}":   errPatternPlaceholder,
		"room-{header.X}":       errPatternPlaceholder,
		"{env.ROOM}":            errPatternPlaceholder,
		"{$ROOM}":               errPatternPlaceholder,
		"{username}":            errPatternPlaceholder,
		"{user}-{query}":        errPatternPlaceholder,
		"{user":                 nil,
		"user}":                 nil,
		"{}":                    nil,
		"a{1}b":                 nil,
		"{user}*{user}":         nil,
		"~!#$%&()+-:;<=.>?@[]^": nil,
	} {
		if _, err := parsePattern(source); err != want {
			t.Errorf("%q: %v, want %v", source, err, want)
		}
	}
}

// A wildcard stands for many names. What matches it must match them all.
func TestPatternsOfWildcards(t *testing.T) {
	uid0, blank := uidName(0), textName("")
	for _, test := range []struct {
		pattern string
		name    name
		want    bool
	}{
		{"*", blank, true},
		{"***", blank, true},
		{"*a", blank, false},
		{"0", blank, false},
		{"*", textName("  "), true},
		{"  ", textName("  "), false},

		{"*", uid0, true},
		{"0", uid0, true},
		{"0*", uid0, false},
		{"1*", uid0, false},

		{"0", textName("0"), true},
		{"*", textName("0"), true},
		{"1*", textName("0"), false},

		{"*", textName("*"), true},
		{"1*", textName("1*a*2"), true},
		{"1*2", textName("1*a*2"), true},
		{"1*a*2", textName("1*a*2"), true},
		{"1*", textName("*"), false},
		{"1*", textName("*1"), false},
		{"1*b", textName("1*"), false},

		// A user who is called like a wildcard gets none by it.
		{"{user}", textName("*"), false},
		{"{user}", uid0, false},
		{"{user}", textName("0"), false},
		{"room-{user}", textName("room-*"), false},
		{"*{user}*", blank, false},
	} {
		p := mustPattern(t, test.pattern)
		if got := p.matchesWildcard(test.name); got != test.want {
			t.Errorf("%q matches the wildcard %+v: %t", test.pattern, test.name, got)
		}
	}
}

func TestPatternsTakeLinearTime(t *testing.T) {
	p := mustPattern(t, strings.Repeat("a*", 60)+"b")
	if p.matches(strings.Repeat("a", 1<<20), "") {
		t.Error("matched")
	}
}

// reference is what a pattern means, as a regular expression.
func reference(source, user string) *regexp.Regexp {
	var b strings.Builder
	for i, chunk := range strings.Split(source, "*") {
		if i > 0 {
			b.WriteString(".*")
		}
		for j, literal := range strings.Split(chunk, userVariable) {
			if j > 0 {
				b.WriteString(regexp.QuoteMeta(user))
			}
			b.WriteString(regexp.QuoteMeta(literal))
		}
	}
	return regexp.MustCompile(`\A(?s:` + b.String() + `)\z`)
}

// A pattern matches what its regular expression does, and a wildcard only together
// with every name that the wildcard stands for.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][4]string{
		{"room-*", "room-7", "", "x"},
		{"{user}", "*", "*", "bob"},
		{"a*b*c", "abxbc", "u", ""},
		{"1*", "1*a*2", "1", "**"},
		{"room-{user}-*", "room-ann-", "ann", "-"},
		{"*{user}*{user}", "aXbX", "X", "é"},
		{"0", "0", "0", "7"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, source, text, user, expansion string) {
		p, err := parsePattern(source)
		if err != nil || len(source) > 1000 {
			return
		}
		want := !p.user || user != ""
		// A regular expression has no bytes that are no character; nor do names.
		for _, s := range []string{source, text, user, expansion} {
			if strings.ToValidUTF8(s, "") != s {
				return
			}
		}
		want = want && reference(source, user).MatchString(text)
		if got := p.matches(text, user); got != want {
			t.Errorf("%q matches %q for %q: %t, want %t", source, text, user, got, want)
		}
		n := textName(text)
		if !n.wildcardChannel() || !p.matchesWildcard(n) {
			return
		}
		stands := strings.ReplaceAll(text, "*", expansion)
		if n.blank() {
			stands = expansion
		}
		if !p.matches(stands, user) {
			t.Errorf("%q matches the wildcard %q, which stands for %q", source, text, stands)
		}
	})
}
