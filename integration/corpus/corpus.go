// Package corpus reads the hostile requests of integration/testdata/corpus, sends
// them byte by byte, and judges what came back and what reached an upstream. The
// tests of the binary and those of the gate's single checks share it. It is no
// part of the sidecar, and knows nothing of its code: what may reach an upstream
// is said here once more, in other words.
package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A Case is what is written on one connection, and what must come of it.
//
// In a file of cases, lines mean:
//
//	# text       a comment
//	@ site       the cases that follow are for this site (see [Sites])
//	! h2         the file's cases are HTTP/2
//	* text       a line of the form: what a "%" line is put into, in place of %s
//	= name       begins a case
//	> text       is sent, with CRLF
//	% text       the form is sent, filled in with text
//	| end        the sending side is closed after that
//	< 404 Name   an answer that must come: status, value of X-Convoai-Error
//	< 200 up     an answer of the upstream; each of these must reach it, and nothing else may
//	^ text       a line that must have come to the upstream
//
// "to HEAD" at the end of an answer says that it has no body. Of HTTP/2, answers
// are also "reset CODE" and "goaway CODE". In what is sent, \r \n \t \0 \\ and
// \xff are bytes, \. at the end of a line is no CRLF, and \{100 a} is a hundred
// times a. $NAME is one of [Words].
type Case struct {
	File, Name string
	Site       string
	HTTP2      bool
	Lines      []string // HTTP/2: one for each frame or field
	End        bool     // of the sending side, once all is sent
	Want       []string
	Upstream   []string // lines
}

// String names the case.
func (c Case) String() string { return c.File + ": " + c.Name }

// Allowed is how many requests of the case must reach the upstream.
func (c Case) Allowed() int {
	n := 0
	for _, want := range c.Want {
		if want == "200 up" {
			n++
		}
	}
	return n
}

// Read reads the cases of all files in a folder.
func Read(dir string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no cases in %s: %v", dir, err)
	}
	var all []Case
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		cases, err := Parse(strings.TrimSuffix(filepath.Base(name), ".txt"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, cases...)
	}
	return all, nil
}

// Parse reads the cases of one file.
func Parse(file, text string) ([]Case, error) {
	var cases []Case
	var form []string
	site, http2, names, sent := "plain", false, map[string]bool{}, map[string]string{}
	var current *Case
	var previous, kind byte
	finish := func() error {
		if current == nil {
			return nil
		}
		if len(current.Lines) == 0 || len(current.Want) == 0 {
			return fmt.Errorf("case %q sends nothing or expects nothing", current.Name)
		}
		same := current.Site + "\n" + strings.Join(current.Lines, "\n")
		if other, ok := sent[same]; ok {
			return fmt.Errorf("cases %q and %q send the same", other, current.Name)
		}
		sent[same] = current.Name
		cases, current = append(cases, *current), nil
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		previous, kind = kind, line[0]
		rest := strings.TrimPrefix(line[1:], " ")
		if strings.IndexByte("=@*!", kind) < 0 && current == nil {
			return nil, fmt.Errorf("line %d is in no case", i+1)
		}
		switch kind {
		case '=':
			if err := finish(); err != nil {
				return nil, err
			}
			if names[rest] {
				return nil, fmt.Errorf("line %d: a second case %q", i+1, rest)
			}
			names[rest] = true
			current = &Case{File: file, Name: rest, Site: site, HTTP2: http2}
		case '@':
			if err := finish(); err != nil {
				return nil, err
			}
			site = rest
		case '!':
			http2 = rest == "h2"
		case '*':
			if err := finish(); err != nil {
				return nil, err
			}
			if previous != '*' {
				form = nil
			}
			form = append(form, rest)
		case '>':
			current.Lines = append(current.Lines, rest)
		case '%':
			for _, f := range form {
				current.Lines = append(current.Lines, strings.Replace(f, "%s", rest, 1))
			}
		case '|':
			current.End = true
		case '<':
			current.Want = append(current.Want, rest)
		case '^':
			current.Upstream = append(current.Upstream, rest)
		default:
			return nil, fmt.Errorf("line %d begins with %q", i+1, kind)
		}
	}
	return cases, finish()
}

// Apps and their credentials. The first is that of the vendor's published test
// vectors.
const (
	AppA         = "970CA35de60c44645bbae8a215061b33"
	CertificateA = "5CFd2fd1755d40ecb72977518be15d3b"
	AppB         = "0123456789abcdef0123456789abcdef"
	CustomerB    = "customer"
	SecretB      = "secret-of-b"

	// CallerA and CallerB are what callers send. Like every credential of a
	// caller in the cases, they must not come to an upstream.
	CallerA = "canary-caller-a"
	CallerB = "canary-caller-b"
)

// Canary is in every value of a caller that must not come to an upstream.
const Canary = "canary"

// Words are what $NAME stands for, in the order in which they are replaced.
// INSTANCE is set when the sidecar has told it.
func Words(instance string) []string {
	const prefix = "/api/conversational-ai-agent"
	return []string{
		"$PREFIX", prefix,
		"$PROJECT", prefix + "/v2/projects/" + AppA,
		"$OTHERS", prefix + "/v2/projects/" + AppB,
		"$LIST", prefix + "/v2/projects/" + AppA + "/agents",
		"$JOIN", prefix + "/v2/projects/" + AppA + "/join",
		"$STOP", prefix + "/v2/projects/" + AppA + "/agents/agent/interrupt",
		"$BODY", `{"properties":{"channel":"room","agent_rtc_uid":"1","token":"t"}}`, // 65 bytes
		"$APP", AppA,
		"$SECOND", AppB,
		"$CALLERA", CallerA,
		"$CALLERB", CallerB,
		"$INSTANCE", instance,
	}
}

var repeated = regexp.MustCompile(`\\\{(\d+) ([^}]*)\}`)

// Bytes are what one line stands for.
func Bytes(line string, words *strings.Replacer) []byte {
	line, bare := strings.CutSuffix(words.Replace(line), `\.`)
	line = repeated.ReplaceAllStringFunc(line, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[1])
		return strings.Repeat(m[2], n)
	})
	var out []byte
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' || i+1 == len(line) {
			out = append(out, line[i])
			continue
		}
		i++
		switch line[i] {
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case '0':
			out = append(out, 0)
		case 'x':
			b, _ := strconv.ParseUint(line[i+1:i+3], 16, 8)
			out = append(out, byte(b))
			i += 2
		default:
			out = append(out, line[i])
		}
	}
	if !bare {
		out = append(out, '\r', '\n')
	}
	return out
}

// Bytes are what is written for a case of HTTP/1.
func (c Case) Bytes(instance string) []byte {
	words := strings.NewReplacer(Words(instance)...)
	var out []byte
	for _, line := range c.Lines {
		out = append(out, Bytes(line, words)...)
	}
	return out
}
