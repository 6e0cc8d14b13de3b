// Package plot draws the charts of measurements as SVG: curves over a linear or
// logarithmic axis, or bars by category, with error bars.
//
// What it draws reads on a light page and on a dark one, without colour as well,
// and is the same for the same input, byte for byte. It draws eight series at
// most, and no chart that needs a second axis.
package plot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxSeries is how many series can be told apart.
const maxSeries = 8

// Series is what was measured of one subject.
type Series struct {
	Name string // in the legend; without one the series is not in it
	// X is where each value stands. A chart with categories does not look at it.
	X []float64
	// Y has a value for each X, or for each category. NaN is a value that is
	// missing.
	Y []float64
	// Low and High are the ends of the error bars, on the axis of Y. Both may be
	// left out, but not one of them.
	Low, High []float64
}

// Chart is one chart. With Categories it has a group of bars for each of them,
// otherwise a curve for each series.
type Chart struct {
	Title          string
	XLabel, YLabel string
	LogX           bool // X is logarithmic; every X is over 0 then
	Categories     []string
	Series         []Series
	Note           string // stands below the chart: when and on what it was measured
}

// WriteSVG writes the chart as an SVG document. Nothing is written where there is
// an error in the chart.
func (c Chart) WriteSVG(w io.Writer) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("chart %q: %w", c.Title, err)
	}
	var document bytes.Buffer
	draw(&document, c)
	_, err := w.Write(document.Bytes())
	return err
}

func (c Chart) check() error {
	if len(c.Series) == 0 || len(c.Series) > maxSeries {
		return fmt.Errorf("it has %d series, must be 1 to %d", len(c.Series), maxSeries)
	}
	for _, s := range c.Series {
		if err := c.checkSeries(s); err != nil {
			return fmt.Errorf("series %q: %w", s.Name, err)
		}
	}
	return nil
}

func (c Chart) checkSeries(s Series) error {
	points := len(s.X)
	if c.bars() {
		points = len(c.Categories)
	}
	switch {
	case points == 0:
		return errors.New("it has no values")
	case len(s.Y) != points:
		return fmt.Errorf("it has %d values for %d points", len(s.Y), points)
	case len(s.Low) != len(s.High) || len(s.Low) != 0 && len(s.Low) != points:
		return fmt.Errorf("its error bars have %d low and %d high ends, must be %d or none", len(s.Low), len(s.High), points)
	}
	for i := range points {
		if !c.bars() && (!finite(s.X[i]) || c.LogX && s.X[i] <= 0) {
			return fmt.Errorf("there is no %g on its X axis", s.X[i])
		}
		if math.IsInf(s.Y[i], 0) {
			return errors.New("a value is infinite")
		}
		if len(s.Low) > 0 && !math.IsNaN(s.Y[i]) && !(finite(s.Low[i]) && finite(s.High[i]) && s.Low[i] <= s.High[i]) {
			return fmt.Errorf("an error bar goes from %g to %g", s.Low[i], s.High[i])
		}
	}
	return nil
}

func (c Chart) bars() bool { return len(c.Categories) > 0 }

// values returns all that has to be on the axis of Y.
func (c Chart) values() []float64 {
	var values []float64
	for _, s := range c.Series {
		for i, y := range s.Y {
			if math.IsNaN(y) {
				continue
			}
			values = append(values, y)
			if len(s.Low) > 0 {
				values = append(values, s.Low[i], s.High[i])
			}
		}
	}
	return values
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
