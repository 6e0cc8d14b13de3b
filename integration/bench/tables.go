package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A place is where the samples of a column are.
type place struct {
	title string
	x     float64 // on the axis of a chart
	at    key     // without a contender
}

// closed are the places of the numbers of connections, in a closed loop.
func (r report) closed() []place {
	var places []place
	for _, n := range r.Settings.Connections {
		places = append(places, place{connectionsTitle(n), float64(n), key{Connections: n, Body: r.Settings.usualBody()}})
	}
	return places
}

// open are those of the open loop, with their rates.
func (r report) open() []place {
	rates := make(map[int]float64)
	for _, s := range r.Samples {
		if s.Rate > 0 {
			rates[s.Connections] = s.Rate
		}
	}
	var places []place
	for _, n := range r.Settings.openConnections() {
		if rates[n] > 0 {
			title := fmt.Sprintf("%s, %s/s", connectionsTitle(n), grouped(rates[n]))
			places = append(places, place{title, float64(n), key{Connections: n, Body: r.Settings.usualBody(), Open: true}})
		}
	}
	return places
}

// bodies are those of the sizes of bodies.
func (r report) bodies() []place {
	var places []place
	for _, body := range r.Settings.Bodies {
		places = append(places, place{kibibytes(body) + " KiB", tenths(body), key{Connections: r.Settings.usualConnections(), Body: body}})
	}
	return places
}

// summary has what matters most, at the usual number of connections.
func (r report) summary() string {
	closed := key{Connections: r.Settings.usualConnections(), Body: r.Settings.usualBody()}
	open := closed
	open.Open = true
	return r.table(connectionsTitle(closed.Connections), []column{
		{"requests/s", r.figure(throughput, closed)}, {"ratio to stock", r.ratio(throughput, closed)},
		{"processor time, µs per request", r.figure(processor, closed)}, {"ratio to stock", r.ratio(processor, closed)},
		{"median at a constant rate, µs", r.figure(p50, open)}, {"99th percentile, µs", r.figure(p99, open)},
		{"resident, MiB", r.figure(resident, closed)},
	})
}

func connectionsTitle(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return strconv.Itoa(n) + " connections"
}

// both are the tables of a figure and of its ratios.
func (r report) both(m metric, places []place) string {
	return r.absolute(m, places) + "\n" + r.ratios(m, places)
}

func (r report) absolute(m metric, places []place) string {
	columns := make([]column, len(places))
	for i, p := range places {
		columns[i] = column{p.title, r.figure(m, p.at)}
	}
	return r.table(m.title, columns)
}

func (r report) ratios(m metric, places []place) string {
	columns := make([]column, len(places))
	for i, p := range places {
		columns[i] = column{p.title, r.ratio(m, p.at)}
	}
	return r.table("Ratio to stock", columns)
}

// A column of a table says what it has in the row of a contender.
type column struct {
	title string
	field func(contender) string
}

// figure is the median of a metric at a place, with its quartiles.
func (r report) figure(m metric, at key) func(contender) string {
	return func(c contender) string {
		if m.ofProxy && c.Name == direct {
			return ""
		}
		return format(r.peers.values(at.of(c), m), rounded)
	}
}

// ratio is that of the ratios to the base.
func (r report) ratio(m metric, at key) func(contender) string {
	return func(c contender) string {
		if m.ofProxy && c.Name == direct || c.Base == c.Name {
			return ""
		}
		return format(r.peers.paired(at.of(c), c.Base, m, ratio), hundredths)
	}
}

// added is by how much the median latency is over a base's.
func (r report) added(at key, base func(contender) string) func(contender) string {
	return func(c contender) string {
		if c.Name == base(c) {
			return ""
		}
		return format(r.peers.paired(at.of(c), base(c), p50, difference), rounded)
	}
}

// oneConnection says what a proxy adds to one request after another.
func (r report) oneConnection() string {
	at := key{Connections: 1, Body: r.Settings.usualBody()}
	return r.table("Latency, one request after another, µs", []column{
		{"median", r.figure(p50, at)},
		{"over direct", r.added(at, func(contender) string { return direct })},
		{"over stock", r.added(at, func(c contender) string { return c.Base })},
	})
}

// table has a row for each contender that has something in it.
func (r report) table(title string, columns []column) string {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	text := tableHead(title, titles)
	for _, c := range r.Contenders {
		fields := make([]string, len(columns))
		for i, column := range columns {
			fields[i] = column.field(c)
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
