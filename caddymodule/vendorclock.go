package caddymodule

import (
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// vendorClock is the vendor's time as far as its answers tell it: this host's
// clock plus an offset. The offset is 0 until the vendor refuses a token and its
// Date says that the token was dated wrongly; it outlives a reload, and all sites
// share it.
//
// Every answer comes over verified TLS or from an http:// upstream that was
// configured, so that nobody else can set the offset.
type vendorClock struct {
	correction atomic.Int64  // nanoseconds
	lastSkew   atomic.Uint64 // float64 bits of seconds; 0 before the first answer
	state      atomic.Int32  // clockRight, clockOff or clockFarOff; what was last said of it

	lastDate atomic.Pointer[readDate] // all answers of a second have the same

	mu     sync.Mutex // guards doubts, and writes of correction
	doubts rest       // after an offset that no answer has confirmed yet
}

const (
	// maxDifference is how far a clock may be off before that is warned of, and
	// before a refused token is taken to have been refused for it.
	maxDifference = 30 * time.Second

	// maxOffset is the largest offset that is believed.
	maxOffset = 10 * time.Minute
)

const (
	clockRight int32 = iota
	clockOff
	clockFarOff
)

// sighting is the Date of an answer, with the times by this host's clock between
// which the answer was made. The zero sighting says nothing.
type sighting struct {
	date       time.Time // the whole second that it was made in
	sent, came time.Time
}

// readDate is a Date with what it says.
type readDate struct {
	text string
	date time.Time
}

// sighting reads the Date of an answer.
func (c *vendorClock) sighting(header http.Header, sent, came time.Time) sighting {
	values := header["Date"]
	sent, came = sent.Round(0), came.Round(0)
	if len(values) != 1 || came.Before(sent) {
		return sighting{} // in the second case the clock was put back in between
	}
	last := c.lastDate.Load()
	if last == nil || last.text != values[0] {
		date, err := http.ParseTime(values[0])
		if err != nil {
			return sighting{}
		}
		last = &readDate{text: strings.Clone(values[0]), date: date}
		c.lastDate.Store(last)
	}
	return sighting{date: last.date, sent: sent, came: came}
}

// difference returns between which bounds the vendor's clock is ahead of ours
// plus offset. It cannot be told more exactly, because a Date has whole seconds
// and an answer takes its time.
func (s sighting) difference(offset time.Duration) (low, high time.Duration) {
	return s.date.Sub(s.came) - offset, s.date.Add(time.Second).Sub(s.sent) - offset
}

// differs reports whether the two are certainly further apart than limit.
func (s sighting) differs(offset, limit time.Duration) bool {
	low, high := s.difference(offset)
	return !s.date.IsZero() && (low > limit || high < -limit)
}

// agrees reports whether the two are certainly no further apart than limit.
func (s sighting) agrees(offset, limit time.Duration) bool {
	low, high := s.difference(offset)
	return !s.date.IsZero() && low >= -limit && high <= limit
}

// offset is what is added to this host's clock to have the vendor's.
func (c *vendorClock) offset() time.Duration { return time.Duration(c.correction.Load()) }

// skew returns by how many seconds this host's clock was ahead of the vendor's
// when the last answer came, give or take one; ok is false before the first.
func (c *vendorClock) skew() (seconds float64, ok bool) {
	bits := c.lastSkew.Load()
	return math.Float64frombits(bits), bits != 0
}

// observe takes note of an answer's Date. It says in the log when the clock has
// come to be off, and when it is right again.
func (c *vendorClock) observe(s sighting, logger *zap.Logger) {
	if s.date.IsZero() {
		return
	}
	// The answer was made in the middle of its second, on average.
	ahead := s.came.Sub(s.date.Add(time.Second / 2)).Seconds()
	if ahead == 0 {
		ahead = math.Copysign(0, -1) // the bits of 0 say that there was no answer
	}
	c.lastSkew.Store(math.Float64bits(ahead))

	before := c.state.Load()
	now := before
	switch {
	case s.differs(0, maxOffset):
		now = clockFarOff
	case s.differs(0, maxDifference) && (before != clockFarOff || s.agrees(0, maxOffset)):
		now = clockOff
	case s.agrees(0, maxDifference):
		now = clockRight
	}
	if now == before || !c.state.CompareAndSwap(before, now) {
		return
	}
	field := zap.Duration("host_ahead_by", time.Duration(ahead*float64(time.Second)).Round(time.Second))
	switch now {
	case clockRight:
		logger.Info("this host's clock agrees with the upstream's again", field)
	case clockOff:
		logger.Warn("this host's clock differs from the upstream's by more than 30s: set it right; should tokens be refused for it, they will be dated by the upstream's", field)
	case clockFarOff:
		logger.Warn("this host's clock differs from the upstream's by more than 10m, which is too much to be corrected for: set it right", field)
	}
}

// learn has the offset follow the answer to a refused token, where that shows
// that tokens are dated wrongly, and reports whether it did. An offset that has
// not yet had a token accepted is not replaced before it has rested: an upstream
// whose Date means nothing must not have tokens made without end.
func (c *vendorClock) learn(s sighting, logger *zap.Logger) bool {
	if !s.differs(c.offset(), maxDifference) || s.differs(0, maxOffset) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.differs(c.offset(), maxDifference) || c.doubts.on(s.came) {
		return false
	}
	var offset time.Duration
	if !s.agrees(0, maxDifference) {
		// The least that the vendor's clock can show, so that no token comes from
		// its future.
		offset = max(s.date.Sub(s.came), -maxOffset)
	}
	c.doubts.begin(s.came)
	c.correction.Store(int64(offset))
	logger.Info("the vendor refused a token, and its clock is another than this host's: dating tokens by the vendor's clock",
		zap.Duration("offset", offset.Round(time.Second)))
	return true
}

// confirm says that a token which was dated with the present offset was accepted.
func (c *vendorClock) confirm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubts.end()
}
