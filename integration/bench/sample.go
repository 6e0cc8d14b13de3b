package main

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// A cell is a place in the matrix of what is measured.
type cell struct {
	Connections int `json:"connections"`
	Body        int `json:"body"` // bytes of a request's
	// Rate is that of an open loop in requests per second, 0 in a closed one.
	Rate float64 `json:"rate,omitempty"`
}

// A sample is what one run has measured.
type sample struct {
	Suite     string `json:"suite"`
	Contender string `json:"contender"`
	Round     int    `json:"round"`
	cell

	Requests   int     `json:"requests,omitempty"`
	Throughput float64 `json:"throughput,omitempty"` // requests per second
	P50        float64 `json:"p50,omitempty"`        // latency in µs, as all of these
	P99        float64 `json:"p99,omitempty"`
	Max        float64 `json:"max,omitempty"`
	Processor  float64 `json:"processor,omitempty"` // of the proxy, µs per request
	Resident   int64   `json:"resident,omitempty"`  // memory of the proxy at the end, bytes
	Start      float64 `json:"start,omitempty"`     // from the start of the process to its first answer, ms

	// Error says why the run is not valid; it counts in no figure.
	Error string `json:"error,omitempty"`
}

// measure makes one run: connections of its own, a fifth of the time to warm up,
// and then d.
func (t *target) measure(ctx context.Context, at cell, requests [][]byte, d time.Duration) sample {
	s := sample{cell: at}
	if err := t.run(ctx, &s, requests, d); err != nil {
		s = sample{cell: at, Error: err.Error()}
	}
	return s
}

func (t *target) run(ctx context.Context, s *sample, requests [][]byte, d time.Duration) error {
	l := &load{address: t.address, requests: requests}
	c, err := l.connect(s.Connections)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.closed(ctx, d/5, newRecorder()); err != nil {
		return err
	}
	into := newRecorder()
	runtime.GC() // so that there is none of this program's own during the run
	before, err := t.usage()
	if err != nil {
		return err
	}
	var took time.Duration
	if s.Rate > 0 {
		took, err = c.open(ctx, s.Rate, d, into)
	} else {
		took, err = c.closed(ctx, d, into)
	}
	if err != nil {
		return err
	}
	after, err := t.usage()
	if err != nil {
		return err
	}
	if s.Requests = into.count(); s.Requests == 0 {
		return errors.New("no request was answered")
	}
	s.Throughput = float64(s.Requests) / took.Seconds()
	s.P50, s.P99, s.Max = into.quantile(50), into.quantile(99), into.quantile(100)
	s.Processor = (after.processor - before.processor) * 1e6 / float64(s.Requests)
	s.Resident = after.resident
	return nil
}
