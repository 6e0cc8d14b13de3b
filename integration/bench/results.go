package main

import (
	"encoding/json"
	"math"
	"os"
	"time"
)

// results are what a session has yielded. As JSON, they are all that a report
// needs.
type results struct {
	Began      time.Time     `json:"began"`
	Took       time.Duration `json:"took"`
	Command    string        `json:"command"`
	Machine    machine       `json:"machine"`
	Settings   settings      `json:"settings"`
	Notes      []string      `json:"notes,omitempty"`
	Contenders []contender   `json:"contenders"` // that took part in the suite peers
	Samples    []sample      `json:"samples"`
}

func (r *results) write(file string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func readResults(file string) (*results, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(results)
	return r, json.Unmarshal(text, r)
}

// A key names the samples of which there is one in each round.
type key struct {
	Contender         string
	Connections, Body int
	Open              bool
}

// of is the same place with a contender.
func (k key) of(c contender) key {
	k.Contender = c.Name
	return k
}

// rounds are samples by key and round.
type rounds map[key]map[int]sample

// of returns the valid samples of a suite. Those of starts have no connections.
func (r *results) of(suite string) rounds {
	all := make(rounds)
	for _, s := range r.Samples {
		if s.Suite != suite || s.Error != "" {
			continue
		}
		at := key{s.Contender, s.Connections, s.Body, s.Rate > 0}
		if all[at] == nil {
			all[at] = make(map[int]sample)
		}
		all[at][s.Round] = s
	}
	return all
}

// A metric is a figure of a sample.
type metric struct {
	title   string
	of      func(sample) float64
	ofProxy bool // there is none without a proxy
}

var (
	throughput = metric{"Requests per second", func(s sample) float64 { return s.Throughput }, false}
	p50        = metric{"Median latency, µs", func(s sample) float64 { return s.P50 }, false}
	p99        = metric{"99th percentile of latency, µs", func(s sample) float64 { return s.P99 }, false}
	processor  = metric{"Processor time of the proxy, µs per request", func(s sample) float64 { return s.Processor }, true}
	resident   = metric{"Resident memory of the proxy, MiB", func(s sample) float64 { return float64(s.Resident) / (1 << 20) }, true}
	start      = metric{"Start, ms", func(s sample) float64 { return s.Start }, true}
)

// values are the figures of all rounds.
func (r rounds) values(at key, m metric) []float64 {
	var values []float64
	for _, s := range r[at] {
		values = append(values, m.of(s))
	}
	return values
}

// paired are the figures of all rounds in which both were measured, each combined
// with the base's of the same round.
func (r rounds) paired(at key, base string, m metric, combine func(own, base float64) float64) []float64 {
	other := at
	other.Contender = base
	var values []float64
	for round, s := range r[at] {
		b, ok := r[other][round]
		if !ok {
			continue
		}
		// Shorter runs than the kernel's clock have no processor time to divide by.
		if v := combine(m.of(s), m.of(b)); !math.IsInf(v, 0) && !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values
}

func ratio(own, base float64) float64      { return own / base }
func difference(own, base float64) float64 { return own - base }
