package main

import (
	"fmt"
	"slices"
	"strconv"
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
			block{"one-connection", r.oneConnection()},
			block{"throughput", r.both(throughput, r.closed())},
			block{"latency", r.both(p50, r.open()) + "\n" + r.both(p99, r.open())},
			block{"latency-closed", r.both(p99, r.closed())},
			block{"processor", r.both(processor, r.closed())},
			block{"memory", r.absolute(resident, r.closed())},
			block{"bodies", r.both(throughput, r.bodies()) + "\n" + r.both(processor, r.bodies())},
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

// A column is where the samples of a table's column are.
type column struct {
	title string
	at    key // without a contender
}

// closed are the columns of the numbers of connections, in a closed loop.
func (r report) closed() []column {
	var columns []column
	for _, n := range r.Settings.Connections {
		columns = append(columns, column{connectionsTitle(n), key{Connections: n, Body: r.Settings.usualBody()}})
	}
	return columns
}

// open are those of the open loop, with their rates.
func (r report) open() []column {
	rates := make(map[int]float64)
	for _, s := range r.Samples {
		if s.Rate > 0 {
			rates[s.Connections] = s.Rate
		}
	}
	var columns []column
	for _, n := range r.Settings.openConnections() {
		if rates[n] > 0 {
			title := fmt.Sprintf("%s, %s/s", connectionsTitle(n), grouped(rates[n]))
			columns = append(columns, column{title, key{Connections: n, Body: r.Settings.usualBody(), Open: true}})
		}
	}
	return columns
}

// bodies are those of the sizes of bodies.
func (r report) bodies() []column {
	var columns []column
	for _, body := range r.Settings.Bodies {
		columns = append(columns, column{kibibytes(body) + " KiB", key{Connections: r.Settings.usualConnections(), Body: body}})
	}
	return columns
}

func connectionsTitle(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return strconv.Itoa(n) + " connections"
}

// both are the tables of a figure and of its ratios.
func (r report) both(m metric, columns []column) string {
	return r.absolute(m, columns) + "\n" + r.ratios(m, columns)
}

func (r report) absolute(m metric, columns []column) string {
	return r.table(m.title, columns, func(c contender, at key) string {
		if m.ofProxy && c.Name == direct {
			return ""
		}
		return format(r.peers.values(at, m), rounded)
	})
}

func (r report) ratios(m metric, columns []column) string {
	return r.table("Ratio to stock", columns, func(c contender, at key) string {
		if m.ofProxy && c.Name == direct || c.Base == c.Name {
			return ""
		}
		return format(r.peers.paired(at, c.Base, m, ratio), hundredths)
	})
}

// table has a row for each contender that has something in it.
func (r report) table(title string, columns []column, field func(contender, key) string) string {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	text := tableHead(title, titles)
	for _, c := range r.Contenders {
		fields := make([]string, len(columns))
		for i, column := range columns {
			at := column.at
			at.Contender = c.Name
			fields[i] = field(c, at)
		}
		if strings.Join(fields, "") != "" {
			text += tableRow(c.Title, fields)
		}
	}
	return text
}

func tableHead(title string, titles []string) string {
	return tableRow(title, titles) + "|---|" + strings.Repeat("---:|", len(titles)) + "\n"
}

func tableRow(first string, fields []string) string {
	return "| " + first + " | " + strings.Join(fields, " | ") + " |\n"
}

// oneConnection says what a proxy adds to one request after another.
func (r report) oneConnection() string {
	text := tableHead("Latency, one request after another, µs", []string{"median", "over direct", "over stock"})
	for _, c := range r.Contenders {
		at := key{Contender: c.Name, Connections: 1, Body: r.Settings.usualBody()}
		if median := format(r.peers.values(at, p50), rounded); median != "" {
			text += tableRow(c.Title, []string{median, r.added(at, direct), r.added(at, c.Base)})
		}
	}
	return text
}

// added is by how much the median latency is over a base's.
func (r report) added(at key, base string) string {
	if at.Contender == base {
		return ""
	}
	return format(r.peers.paired(at, base, p50, difference), rounded)
}

// scaleTables has a table for each axis and number of processors.
func (r report) scaleTables() string {
	var tables []string
	for _, axis := range []string{channelsAxis, appsAxis} {
		for _, processors := range scaleProcessors {
			tables = append(tables, r.scaleTable(axis, processors))
		}
	}
	return strings.Join(tables, "\n")
}

func (r report) scaleTable(axis string, processors int) string {
	text := tableHead(fmt.Sprintf("%s, GOMAXPROCS %d", axis, processors),
		[]string{"requests/s", "ratio", "processor time, µs per request", "ratio", "resident, MiB", "start, ms"})
	for _, c := range r.Settings.scaled() {
		if c.axis != axis || c.processors != processors {
			continue
		}
		at, base := r.scaleKey(c), r.Settings.base(c).name()
		text += tableRow(grouped(float64(c.count)), []string{
			format(r.scale.values(at, throughput), rounded), format(r.scale.paired(at, base, throughput, ratio), hundredths),
			format(r.scale.values(at, processor), rounded), format(r.scale.paired(at, base, processor, ratio), hundredths),
			format(r.scale.values(at, resident), rounded), format(r.scale.values(key{Contender: c.name()}, start), rounded),
		})
	}
	return text
}

func (r report) scaleKey(c scaled) key {
	return key{Contender: c.name(), Connections: r.Settings.usualConnections(), Body: r.Settings.usualBody()}
}
