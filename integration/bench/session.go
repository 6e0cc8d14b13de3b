package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Names of the suites.
const (
	peersSuite = "peers"
	scaleSuite = "scale"
)

// settings are what is measured.
type settings struct {
	Suites      []string      `json:"suites"`
	Rounds      int           `json:"rounds"`
	Duration    time.Duration `json:"duration"` // of a run
	Connections []int         `json:"connections"`
	Bodies      []int         `json:"bodies"` // bytes
	Contenders  []string      `json:"contenders"`
	// Channels and Apps are how many the suite scale has.
	Channels []int `json:"channels"`
	Apps     []int `json:"apps"`
}

// usualBody and usualConnections are where the matrix of connections and bodies is
// cut: all numbers of connections with this body, all bodies with this number of
// connections.
func (s settings) usualBody() int        { return usual(s.Bodies, 1<<10) }
func (s settings) usualConnections() int { return usual(s.Connections, 64) }

// usual is the value that is wanted if it is there, else the last.
func usual(values []int, wanted int) int {
	if slices.Contains(values, wanted) {
		return wanted
	}
	return values[len(values)-1]
}

// closedCells are the runs of a round in a closed loop: first the numbers of
// connections, then the other bodies.
func (s settings) closedCells() []cell {
	var cells []cell
	for _, connections := range s.Connections {
		cells = append(cells, cell{Connections: connections, Body: s.usualBody()})
	}
	for _, body := range s.Bodies {
		if body != s.usualBody() {
			cells = append(cells, cell{Connections: s.usualConnections(), Body: body})
		}
	}
	return cells
}

// openConnections are the numbers of connections of the open loop. With a single one
// the closed loop tells the same.
func (s settings) openConnections() []int {
	return slices.DeleteFunc(slices.Clone(s.Connections), func(n int) bool { return n == 1 })
}

// A session measures suites and collects what they yield.
type session struct {
	settings
	stage    *stage
	results  *results
	progress io.Writer
}

func (s *session) say(format string, arguments ...any) {
	fmt.Fprintf(s.progress, format+"\n", arguments...)
}

// note keeps a remark for the report.
func (s *session) note(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	s.results.Notes = append(s.results.Notes, text)
	s.say("%s", text)
}

// keep keeps a sample, unless it is that of an end before its time.
func (s *session) keep(ctx context.Context, suite, contender string, round int, one sample) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	one.Suite, one.Contender, one.Round = suite, contender, round
	if one.Error != "" {
		first, _, _ := strings.Cut(one.Error, "\n")
		s.say("%s, round %d, %d connections, %d bytes: not valid: %s", contender, round, one.Connections, one.Body, first)
	}
	s.results.Samples = append(s.results.Samples, one)
	return nil
}

// turn is the order of a round: nobody is always the first, or always after the
// same one.
func turn[T any](all []T, round int) []T {
	order := slices.Clone(all)
	shift := round % len(order)
	order = slices.Concat(order[shift:], order[:shift])
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func stopAll(targets []*target) {
	var stopping sync.WaitGroup
	for _, t := range targets {
		stopping.Go(t.stop)
	}
	stopping.Wait()
}
