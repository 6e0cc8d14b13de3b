package main

import (
	"fmt"
	"strings"
)

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
