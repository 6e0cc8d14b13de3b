package command

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// verdict is what is to be said of one thing that was checked.
type verdict string

const (
	verdictOK      verdict = "ok"
	verdictWarning verdict = "warning"
	verdictFailed  verdict = "failed"
)

// fault is where to look for the cause of a finding.
type fault string

const (
	faultConfiguration fault = "configuration" // flags, environment, files
	faultHost          fault = "host"          // this one's clock, its ports, other programs
	faultNetwork       fault = "network"       // names, ways, what stands in between
	faultAccount       fault = "account"       // what the vendor's console or support sets right
	faultVendor        fault = "vendor"
)

// whose says for people where to look.
var whose = map[fault]string{
	faultConfiguration: "your configuration",
	faultHost:          "this host",
	faultNetwork:       "the network",
	faultAccount:       "your account with the vendor",
	faultVendor:        "the vendor",
}

// finding is one line of the report, with what to do about it.
type finding struct {
	Section string   `json:"section"`
	Verdict verdict  `json:"verdict"`
	What    string   `json:"what"`
	Fault   fault    `json:"fault,omitempty"`
	Remedy  []string `json:"remedy,omitempty"` // one sentence each
}

// findings are what has been found so far. They are printed as they come, unless
// they are to be JSON.
type findings struct {
	list    []finding
	section string
	printed string // the section that was printed last
	out     io.Writer
	json    bool
	colours bool
	err     error // of writing
}

// in begins a section.
func (f *findings) in(section string) { f.section = section }

// ok reports something that is as it should be.
func (f *findings) ok(format string, args ...any) {
	f.add(finding{Verdict: verdictOK, What: fmt.Sprintf(format, args...)})
}

// warn reports something that may not be as it should be, but that calls go out
// with.
func (f *findings) warn(of fault, what string, remedy ...string) {
	f.add(finding{Verdict: verdictWarning, What: what, Fault: of, Remedy: remedy})
}

// fail reports something that calls, or some of them, fail for.
func (f *findings) fail(of fault, what string, remedy ...string) {
	f.add(finding{Verdict: verdictFailed, What: what, Fault: of, Remedy: remedy})
}

func (f *findings) add(one finding) {
	one.Section = f.section
	f.list = append(f.list, one)
	if !f.json {
		f.print(one)
	}
}

// count returns how many findings have a verdict.
func (f *findings) count(v verdict) (n int) {
	for _, one := range f.list {
		if one.Verdict == v {
			n++
		}
	}
	return n
}

// failedIn reports whether something in a section has failed.
func (f *findings) failedIn(section string) bool {
	return slices.ContainsFunc(f.list, func(one finding) bool { return one.Section == section && one.Verdict == verdictFailed })
}

var verdictColours = map[verdict]string{verdictOK: green, verdictWarning: yellow, verdictFailed: red}

// print writes one finding, and in front of the first of a section its name.
func (f *findings) print(one finding) {
	var b strings.Builder
	if one.Section != f.printed {
		if f.printed != "" {
			b.WriteByte('\n')
		}
		f.printed = one.Section
		b.WriteString(f.paint(bold, one.Section) + "\n")
	}
	const width = len(verdictWarning)
	padding := strings.Repeat(" ", width-len(one.Verdict))
	fmt.Fprintf(&b, "  %s%s  %s\n", f.paint(verdictColours[one.Verdict], string(one.Verdict)), padding, one.What)
	for _, line := range one.Remedy {
		fmt.Fprintf(&b, "  %s  - %s\n", strings.Repeat(" ", width), line)
	}
	f.write(b.String())
}

func (f *findings) paint(colour, s string) string {
	if !f.colours {
		return s
	}
	return colour + s + plain
}

func (f *findings) write(s string) {
	if f.err == nil {
		_, f.err = io.WriteString(f.out, s)
	}
}

// faults are those of the findings with a verdict, in the order of their first.
func (f *findings) faults(v verdict) []string {
	var list []string
	for _, one := range f.list {
		if one.Verdict == v && !slices.Contains(list, whose[one.Fault]) {
			list = append(list, whose[one.Fault])
		}
	}
	return list
}

// end prints the conclusion, or all of the report where it is JSON, and returns
// the exit status.
func (f *findings) end(hint string) (int, error) {
	status, worst := exitDone, verdictOK
	failed, warnings := f.count(verdictFailed), f.count(verdictWarning)
	summary, colour := "All is well.", green
	switch {
	case failed > 0:
		status, worst, colour = exitFailed, verdictFailed, red
		summary = fmt.Sprintf("%d failed: look at %s.", failed, strings.Join(f.faults(verdictFailed), ", "))
		if warnings > 0 {
			summary = fmt.Sprintf("%d failed, %s: look at %s first.", failed, counted(warnings, "warning"), strings.Join(f.faults(verdictFailed), ", "))
		}
	case warnings > 0:
		worst, colour = verdictWarning, yellow
		summary = fmt.Sprintf("Nothing has failed; %s.", counted(warnings, "warning"))
	}
	if f.json {
		e := json.NewEncoder(f.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return status, e.Encode(struct {
			Verdict  verdict   `json:"verdict"`
			Findings []finding `json:"findings"`
		}{worst, f.list})
	}
	if hint != "" {
		summary += " " + hint
	}
	f.write("\n" + f.paint(colour, summary) + "\n")
	return status, f.err
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// foreign returns text that came from elsewhere as it can be shown on a terminal:
// one line of printable characters, of at most most of them.
func foreign(text string, most int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			r = '?'
		}
		if n++; n > most {
			return b.String() + "…"
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
