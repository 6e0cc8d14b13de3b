package caddymodule

import (
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// vendorClock is the vendor's time as far as its answers tell it: this host's
// clock plus an offset. The offset is 0 until the vendor refuses a token, with a
// Date that says that the token was dated wrongly, and accepts one that is dated by
// that Date. It outlives a reload, and all sites share it: what refuses every token
// must not set it.
//
// Every answer comes over verified TLS or from an http:// upstream that was
// configured, so that nobody else can set the offset.
type vendorClock struct {
	correction atomic.Int64  // nanoseconds
	lastSkew   atomic.Uint64 // float64 bits of seconds; 0 before the first answer
	state      atomic.Int32  // clockRight, clockOff or clockFarOff; what was last said of it

	lastDate atomic.Pointer[readDate] // all answers of a second have the same

	mu      sync.Mutex // guards what follows, and writes of correction and state
	changed rest       // after a change of state; upstreams of different clocks must not fill the log
	adopted rest       // after a change of the offset, likewise
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
	if now == before || !c.change(before, now, s.came) {
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

// change changes what was last said of the clock, unless that was changed lately.
// It reports whether it did.
func (c *vendorClock) change(before, after int32, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed.on(now) || !c.state.CompareAndSwap(before, after) {
		return false
	}
	c.changed.begin(now)
	return true
}

// suspect returns the offset that tokens should be dated with, by the answer to a
// refused one. ok is false where they are dated rightly as far as can be told, or
// where the vendor's clock cannot be believed.
func (c *vendorClock) suspect(s sighting) (offset time.Duration, ok bool) {
	if !s.differs(c.offset(), maxDifference) || s.differs(0, maxOffset) {
		return 0, false
	}
	if s.agrees(0, maxDifference) {
		return 0, true
	}
	// The least that the vendor's clock can show, so that no token comes from its
	// future.
	return max(s.date.Sub(s.came), -maxOffset), true
}

// adopt has tokens be dated with an offset that one has been accepted with, and
// reports whether that is a change. Calls that were refused at a time come to
// offsets that differ by as long as their answers took: one of them is adopted.
func (c *vendorClock) adopt(offset time.Duration, now time.Time, logger *zap.Logger) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (offset - c.offset()).Abs() <= maxDifference/2 {
		return false
	}
	c.correction.Store(int64(offset))
	level := zapcore.InfoLevel
	if c.adopted.on(now) {
		level = zapcore.DebugLevel // upstreams of different clocks
	}
	c.adopted.begin(now)
	logger.Log(level, "the vendor refused a token and accepted one that is dated by its clock, which is another than this host's: tokens are dated by the vendor's clock from now on",
		zap.Duration("offset", offset.Round(time.Second)))
	return true
}
