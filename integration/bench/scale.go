package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A scaled is a sidecar that has much of something.
type scaled struct {
	axis       string // channels or apps
	count      int
	processors int // GOMAXPROCS
}

// Axes of the suite scale.
const (
	channelsAxis = "channels"
	appsAxis     = "apps"
)

// scaleProcessors are the values of GOMAXPROCS.
var scaleProcessors = []int{1, 2}

// scaled are the configurations of the suite.
func (s settings) scaled() []scaled {
	var all []scaled
	for _, processors := range scaleProcessors {
		for _, n := range s.Channels {
			all = append(all, scaled{channelsAxis, n, processors})
		}
		for _, n := range s.Apps {
			all = append(all, scaled{appsAxis, n, processors})
		}
	}
	return all
}

func (c scaled) name() string {
	return fmt.Sprintf("%s-%d-processors-%d", c.axis, c.count, c.processors)
}

// base is the smallest of the same axis, which c is compared with.
func (s settings) base(c scaled) scaled {
	c.count = s.Channels[0]
	if c.axis == appsAxis {
		c.count = s.Apps[0]
	}
	return c
}

func (c scaled) contender() contender {
	return contender{
		Name:        c.name(),
		environment: c.environment(),
		site:        c.site,
	}
}

// environment has a certificate for each app.
func (c scaled) environment() []string {
	all := []string{fmt.Sprintf("GOMAXPROCS=%d", c.processors)}
	if c.axis == appsAxis {
		for i := range c.count {
			all = append(all, fmt.Sprintf("CERTIFICATE_%d=%032x", i, i+1))
		}
	}
	return all
}

func (c scaled) site(u upstreams) string {
	if c.axis == channelsAxis {
		return sidecarDirective("http://"+u.Plain, "")
	}
	var site strings.Builder
	fmt.Fprintf(&site, "convoai {\n\t\tupstream http://%s\n", u.Plain)
	for i := range c.count {
		fmt.Fprintf(&site, "\t\tapp %s {\n\t\t\tapp_certificate {env.CERTIFICATE_%d}\n\t\t}\n", numberedApp(i), i)
	}
	site.WriteString("\t}")
	return site.String()
}

func numberedApp(i int) string { return fmt.Sprintf("%032x", i+1) }

// requests are joins to be filled: one for each channel of the one app, or for each
// app.
func (c scaled) requests(body int) [][]byte {
	all := make([][]byte, c.count)
	for i := range all {
		if c.axis == channelsAxis {
			all[i] = joinRequest(appID, fmt.Sprintf("room-%d", i), body, "", false)
		} else {
			all[i] = joinRequest(numberedApp(i), "room-1", body, "", false)
		}
	}
	return all
}

// measureScale measures sidecars that have many channels or apps, each a process.
func (s *session) measureScale(ctx context.Context) error {
	if err := s.measureStarts(ctx); err != nil {
		return err
	}
	all := s.scaled()
	var targets []*target
	defer func() { stopAll(targets) }()
	type filled struct {
		*target
		requests [][]byte
	}
	var running []filled
	for _, c := range all {
		one := filled{requests: c.requests(s.usualBody())}
		var err error
		if one.target, err = s.stage.start(ctx, c.contender(), one.requests[0]); err != nil {
			return fmt.Errorf("starting %s: %w", c.name(), err)
		}
		targets = append(targets, one.target)
		running = append(running, one)
		if err := one.fill(ctx, one.requests); err != nil {
			return fmt.Errorf("%s: %w", c.name(), err)
		}
	}
	at := cell{Connections: s.usualConnections(), Body: s.usualBody()}
	for round := range s.Rounds {
		s.say("scale, round %d of %d", round+1, s.Rounds)
		for _, one := range turn(running, round) {
			if err := s.keep(ctx, scaleSuite, one.Name, round, one.measure(ctx, at, one.requests, s.Duration)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill makes the sidecar mint the tokens of all requests, which it keeps.
func (t *target) fill(ctx context.Context, requests [][]byte) error {
	l := &load{address: t.address, requests: requests}
	c, err := l.connect(16)
	if err != nil {
		return err
	}
	defer c.close()
	return c.each(ctx)
}

// measureStarts measures how long the sidecars take from their start to their first
// answer.
func (s *session) measureStarts(ctx context.Context) error {
	for round := range s.Rounds {
		s.say("starts, round %d of %d", round+1, s.Rounds)
		for _, c := range turn(s.scaled(), round) {
			request := c.requests(s.usualBody())[0]
			began := time.Now()
			t, err := s.stage.start(ctx, c.contender(), request)
			if err != nil {
				return fmt.Errorf("starting %s: %w", c.name(), err)
			}
			one := sample{Start: float64(time.Since(began).Microseconds()) / 1e3}
			t.stop()
			if err := s.keep(ctx, scaleSuite, c.name(), round, one); err != nil {
				return err
			}
		}
	}
	return nil
}
