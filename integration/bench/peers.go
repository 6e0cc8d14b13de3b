package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// comparePeers measures the contenders beside each other.
func (s *session) comparePeers(ctx context.Context) error {
	targets, err := s.startPeers(ctx)
	defer stopAll(targets)
	if err != nil {
		return err
	}
	for _, t := range targets {
		s.results.Contenders = append(s.results.Contenders, t.contender)
	}
	for round := range s.Rounds {
		s.say("closed loop, round %d of %d", round+1, s.Rounds)
		for _, at := range s.closedCells() {
			if err := s.round(ctx, targets, at, round); err != nil {
				return err
			}
		}
	}
	cells := s.openCells()
	for round := range s.Rounds {
		s.say("open loop, round %d of %d", round+1, s.Rounds)
		for _, at := range cells {
			if err := s.round(ctx, targets, at, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// startPeers starts the contenders that are wanted. Those that the machine does not
// have are left out.
func (s *session) startPeers(ctx context.Context) ([]*target, error) {
	var targets []*target
	for _, c := range contenders {
		if !slices.Contains(s.Contenders, c.Name) {
			continue
		}
		t, err := s.stage.start(ctx, c, c.request(s.usualBody()))
		if err != nil && c.Name == nginx && ctx.Err() == nil {
			s.note("nginx is left out: %v.", err) // it may well not be installed
			continue
		}
		if err != nil {
			return targets, fmt.Errorf("starting %s: %w", c.Name, err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// round lets the contenders take their turns at a cell.
func (s *session) round(ctx context.Context, targets []*target, at cell, round int) error {
	for _, t := range turn(targets, round) {
		if t.TLS && at.Body != s.usualBody() {
			continue // what a body costs is seen without
		}
		one := t.measure(ctx, at, [][]byte{t.request(at.Body)}, s.Duration)
		if err := s.keep(ctx, peersSuite, t.Name, round, one); err != nil {
			return err
		}
	}
	return nil
}

// openCells are the runs of a round in an open loop: each at half of the rate that
// stock, or where it was not asked for the slowest, has reached in this session
// with as many connections.
func (s *session) openCells() []cell {
	var cells []cell
	for _, connections := range s.openConnections() {
		at := cell{Connections: connections, Body: s.usualBody()}
		if rate := s.reached(at); rate > 0 {
			at.Rate = rate / 2
			cells = append(cells, at)
		}
	}
	return cells
}

func (s *session) reached(at cell) float64 {
	data := s.results.of(peersSuite)
	if rates := data.values(key{Contender: stock, Connections: at.Connections, Body: at.Body}, throughput); len(rates) > 0 {
		return summarize(rates).Median
	}
	slowest := 0.0
	for _, c := range s.results.Contenders {
		rates := data.values(key{Contender: c.Name, Connections: at.Connections, Body: at.Body}, throughput)
		if len(rates) == 0 {
			continue
		}
		if rate := summarize(rates).Median; slowest == 0 || rate < slowest {
			slowest = rate
		}
	}
	return slowest
}

// expected is about how long the suites will take.
func (s settings) expected() time.Duration {
	runs := 0
	starts := 0
	if slices.Contains(s.Suites, peersSuite) {
		for _, c := range contenders {
			if slices.Contains(s.Contenders, c.Name) {
				runs += len(s.Connections) + len(s.openConnections())
				if !c.TLS {
					runs += len(s.Bodies) - 1
				}
			}
		}
	}
	if slices.Contains(s.Suites, scaleSuite) {
		runs += len(s.scaled())
		starts += len(s.scaled())
	}
	run := s.Duration + s.Duration/5 + 30*time.Millisecond
	return time.Duration(s.Rounds) * (time.Duration(runs)*run + time.Duration(starts)*400*time.Millisecond)
}
