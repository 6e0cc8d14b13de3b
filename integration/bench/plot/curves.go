package plot

import (
	"fmt"
	"strings"
)

// dashes and markers tell the series apart without colour.
var dashes = [maxSeries]string{"", "7 4", "2 3", "9 3 2 3", "", "7 4", "2 3", "9 3 2 3"}

// markers are paths around 0, 0.
var markers = [maxSeries]string{
	"M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z", // disc
	"M-4 -4H4V4H-4z",                             // square
	"M0 -5.5L5 4H-5z",                            // triangle
	"M0 -5.5L5.5 0L0 5.5L-5.5 0z",                // diamond
	"M0 5.5L5 -4H-5z",                            // triangle upside down
	"M-2 -5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2z", // cross
	"M-5.5 -2H5.5V2H-5.5z",                       // bar
	"M-2 -5.5H2V5.5H-2z",                         // post
}

// drawCurves draws the lines of all series, then their error bars, then their
// markers, so that no marker is hidden.
func (d *drawing) drawCurves() {
	for i, s := range d.Series {
		d.printf(`<g class="s%d">`+"\n", i)
		d.curve(i, s)
		d.printf("</g>\n")
	}
	d.points(func(_ int, s Series, j int) {
		if len(s.Low) > 0 {
			d.errorBar(`stroke="currentColor" stroke-width="1.5"`, d.x.at(s.X[j]), s.Low[j], s.High[j])
		}
	})
	d.points(func(i int, s Series, j int) { d.marker(i, d.x.at(s.X[j]), d.y.at(s.Y[j])) })
}

// points calls a function that draws something for each value that there is.
func (d *drawing) points(draw func(i int, s Series, j int)) {
	for i, s := range d.Series {
		d.printf(`<g class="s%d">`+"\n", i)
		for j := range s.Y {
			if !s.missing(j) {
				draw(i, s, j)
			}
		}
		d.printf("</g>\n")
	}
}

// curve draws the line of a series, which a missing value interrupts.
func (d *drawing) curve(i int, s Series) {
	var path strings.Builder
	command := 'M'
	for j, x := range s.X {
		if s.missing(j) {
			command = 'M'
			continue
		}
		fmt.Fprintf(&path, "%c%.1f %.1f", command, d.x.at(x), d.y.at(s.Y[j]))
		command = 'L'
	}
	d.stroke(i, path.String())
}

// stroke draws a line in the manner of a series.
func (d *drawing) stroke(i int, path string) {
	array := ""
	if dashes[i] != "" {
		array = ` stroke-dasharray="` + dashes[i] + `"`
	}
	d.printf(`<path fill="none" stroke="currentColor" stroke-width="2"%s d="%s"/>`+"\n", array, path)
}

func (d *drawing) marker(i int, x, y float64) {
	d.printf(`<path fill="currentColor" transform="translate(%.1f %.1f)" d="%s"/>`+"\n", x, y, markers[i])
}
