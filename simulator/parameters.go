package simulator

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// parameters reads a query string and keeps the first thing that is wrong.
type parameters struct {
	url.Values
	failure fieldError
}

func (p *parameters) failed() bool { return p.failure.problem != "" }

func (p *parameters) fail(name, problem string) {
	if !p.failed() {
		p.failure = fieldError{path: name, problem: problem}
	}
}

func (p *parameters) integer(name string, byDefault, low, high int64) int64 {
	text := p.Get(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		p.fail(name, fmt.Sprintf("must be an integer from %d to %d", low, high))
	}
	return n
}

// maxTime is the largest timestamp taken, in Unix seconds (the year 9999).
const maxTime = 253402300799

// period reads from_time and to_time, both inclusive, in Unix seconds.
func (p *parameters) period(now time.Time, back time.Duration) (from, to int64) {
	from = p.integer("from_time", now.Add(-back).Unix(), 0, maxTime)
	to = p.integer("to_time", now.Unix(), 0, maxTime)
	return from, to
}

// states reads the statuses to list, from one comma-separated list or several
// values; without any the running ones.
func (p *parameters) states() map[status]bool {
	wanted := map[status]bool{}
	for _, value := range p.Values["state"] {
		for text := range strings.SplitSeq(value, ",") {
			if text == "" {
				continue
			}
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil || n < 0 || n >= len(statusNames) {
				p.fail("state", fmt.Sprintf("must be a list of integers from 0 to %d", len(statusNames)-1))
				continue
			}
			wanted[status(n)] = true
		}
	}
	if len(wanted) == 0 {
		wanted[running] = true
	}
	return wanted
}
