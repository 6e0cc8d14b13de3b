package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A block is a part of the report. In a page it stands between the comments
// "begin:name" and "end:name".
type block struct{ name, text string }

// A report says what results mean.
type report struct {
	*results
	peers, scale rounds
}

func newReport(r *results) report { return report{r, r.of(peersSuite), r.of(scaleSuite)} }

// blocks are the parts for which there are results.
func (r report) blocks() []block {
	var all []block
	if r.has(peersSuite) {
		all = append(all,
			block{"peers-session", r.session(peersSuite)},
			block{"summary", r.summary()},
			block{"one-connection", r.oneConnection()},
			block{"throughput", r.both(throughput, r.closed())},
			block{"latency", r.both(p50, r.open()) + "\n" + r.both(p99, r.open())},
			block{"latency-closed", r.both(p99, r.closed())},
			block{"processor", r.both(processor, r.closed())},
			block{"memory", r.absolute(resident, r.closed())},
			block{"bodies", r.withoutTLS().both(throughput, r.bodies()) + "\n" + r.withoutTLS().both(processor, r.bodies())},
		)
	}
	if r.has(scaleSuite) {
		all = append(all, block{"scale-session", r.session(scaleSuite)}, block{"scale", r.scaleTables()})
	}
	return all
}

func (r report) has(suite string) bool { return slices.Contains(r.Settings.Suites, suite) }

// session says when, on what and how it was measured, and what is missing.
func (r report) session(suite string) string {
	m := r.Machine
	programs := m.Go + ", Caddy " + m.Caddy
	if m.Nginx != "" {
		programs += ", nginx " + m.Nginx
	}
	var text strings.Builder
	text.WriteString("| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"date", fmt.Sprintf("%s, for %s", r.Began.UTC().Format("2006-01-02 15:04 UTC"), r.Took.Round(time.Second))},
		{"machine", fmt.Sprintf("%s, %d cores, %s", m.Processor, m.Cores, m.System)},
		{"load averages before", m.Load},
		{"programs", programs},
		{"commit", m.Commit},
		{"runs", fmt.Sprintf("%s each, in %d rounds", r.Settings.Duration, r.Settings.Rounds)},
		{"command", "`" + r.Command + "`"},
	} {
		if row[1] != "" {
			fmt.Fprintf(&text, "| %s | %s |\n", row[0], row[1])
		}
	}
	if suite == peersSuite {
		for _, note := range r.Notes {
			fmt.Fprintf(&text, "\n%s\n", note)
		}
	}
	return text.String() + r.invalid(suite)
}

// invalid lists the runs that are not valid.
func (r report) invalid(suite string) string {
	var text strings.Builder
	for _, s := range r.Samples {
		if s.Suite == suite && s.Error != "" {
			first, _, _ := strings.Cut(s.Error, "\n")
			fmt.Fprintf(&text, "| %s | %d | %d | %d | %s |\n", s.Contender, s.Round+1, s.Connections, s.Body, strings.ReplaceAll(first, "|", `\|`))
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return "\nNot valid, and in no figure:\n\n| contender | round | connections | body, bytes | |\n|---|---:|---:|---:|---|\n" + text.String()
}

// withoutTLS is the report of those that call the upstream in the clear.
func (r report) withoutTLS() report {
	plain := *r.results
	plain.Contenders = slices.DeleteFunc(slices.Clone(r.Contenders), func(c contender) bool { return c.TLS })
	r.results = &plain
	return r
}
