package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"
)

const sectionClock = "Clock"

const (
	// clockFailed is how far this host's clock may be off, and clockSuspect how far
	// it should be. Where the upstream's Date cannot tell for certain, it counts as
	// right.
	clockFailed  = 30 * time.Second
	clockSuspect = 5 * time.Second

	// clockCorrected is how far off the sidecar corrects for.
	clockCorrected = 10 * time.Minute

	// maxClocks is how many upstreams are asked for the time.
	maxClocks = 3
)

// clockReading says between which bounds an upstream's clock is ahead of this
// host's. It cannot be told more exactly: a Date has whole seconds, and an answer
// takes its time.
type clockReading struct {
	host      string
	low, high time.Duration
}

// readClock reads the Date of an answer to a request that was sent and answered at
// these times.
func readClock(host string, header http.Header, sent, came time.Time) (*clockReading, error) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return nil, errors.New("the answer has no Date")
	}
	sent, came = sent.Round(0), came.Round(0)
	if came.Before(sent) {
		return nil, errors.New("this host's clock was put back meanwhile")
	}
	return &clockReading{host: host, low: date.Sub(came), high: date.Add(time.Second).Sub(sent)}, nil
}

// off is how far the clocks differ at least.
func (r *clockReading) off() time.Duration { return max(r.low, -r.high, 0) }

// ahead is the best guess of how far the upstream's clock is ahead.
func (r *clockReading) ahead() time.Duration { return (r.low + r.high) / 2 }

// datesTokens reports whether the sidecar would date tokens by the upstream's clock
// once it has refused one.
func (r *clockReading) datesTokens() bool {
	return r != nil && r.off() > clockFailed && r.off() <= clockCorrected
}

// checkClock compares this host's clock with that of the first upstream that says
// what time it is.
func (d *diagnosis) checkClock(ctx context.Context) {
	d.in(sectionClock)
	asked := 0
	var problem error
	for i := range d.trials {
		t := &d.trials[i]
		if !t.up() || asked == maxClocks {
			continue
		}
		asked++
		if d.clock, problem = d.askTime(ctx, t); problem == nil {
			d.reportClock()
			return
		}
	}
	why := "no upstream can be reached"
	switch {
	case problem != nil:
		why = foreign(problem.Error(), 160)
	case d.endpoints == nil:
		why = "where calls go is not known"
	}
	d.warn(faultNetwork, "not compared with the upstream's: "+why, "tokens are dated by this host's clock: see to it that it is right (timedatectl, chronyc tracking)")
}

// askTime asks an upstream for the time: by a request that needs no credential and
// has none.
func (d *diagnosis) askTime(ctx context.Context, t *trial) (*clockReading, error) {
	var sent time.Time
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = d.now() }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, t.Endpoint.String()+"/", nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", userAgent)
	res, err := d.client.RoundTrip(r, t.Endpoint)
	came := d.now()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.URLHost(), err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, answerLimit)) // the connection may be of use again
	_ = res.Body.Close()
	reading, err := readClock(t.URLHost(), res.Header, sent, came)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.URLHost(), err)
	}
	return reading, nil
}

// userAgent says who is asking.
const userAgent = "caddy-convoai-doctor"

// reportClock reports how far the clocks are apart, and which way.
func (d *diagnosis) reportClock() {
	off := d.clock.off()
	if off <= clockSuspect {
		d.ok("this host's clock agrees with that of %s", d.clock.host)
		return
	}
	way, ahead := "behind", d.clock.ahead().Round(time.Second)
	if ahead < 0 {
		way, ahead = "ahead of", -ahead
	}
	what := fmt.Sprintf("this host's clock is %s %s that of %s", words(ahead), way, d.clock.host)
	const set = "set it right, and keep it so with NTP (timedatectl set-ntp true; chronyc makestep; in a container or a virtual machine: the clock of its host)"
	switch {
	case off <= clockFailed:
		d.warn(faultHost, what, set)
	case off <= clockCorrected:
		d.fail(faultHost, what, set,
			"until then the sidecar dates tokens by the upstream's clock as soon as one has been refused; caddy convoai header and token do not")
	default:
		d.fail(faultHost, what, set, "it is more than the 10 minutes that the sidecar corrects for: the vendor refuses its tokens")
	}
}
