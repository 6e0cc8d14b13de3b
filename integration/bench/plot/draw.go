package plot

import (
	"bytes"
	"math"
)

// drawing is a chart with its axes, which span the area that is plotted in.
type drawing struct {
	canvas
	Chart
	x, y axis
}

// draw writes a chart, from the title at the top to the note at the bottom.
func draw(b *bytes.Buffer, c Chart) {
	var body bytes.Buffer
	d := drawing{canvas: canvas{&body}, Chart: c}

	title := wrap(c.Title, 16, width-2*margin)
	d.lines(margin, margin+14, "title", "start", title)
	top := d.legend(margin + 20 + lineHeight*float64(len(title)))

	d.scale(top + 8)
	d.grid()
	bottom := d.below()
	if c.bars() {
		d.drawBars()
	} else {
		d.drawCurves()
	}
	d.line("axis", d.x.start, d.y.at(0), d.x.end, d.y.at(0))

	if c.XLabel != "" {
		bottom += lineHeight + 4
		d.text((d.x.start+d.x.end)/2, bottom, "", "middle", c.XLabel)
	}
	note := wrap(c.Note, 11, width-2*margin)
	d.lines(margin, bottom+lineHeight+8, "note", "start", note)
	if len(note) > 0 {
		bottom += 8 + lineHeight*float64(len(note))
	}

	page := canvas{b}
	height := bottom + margin
	page.printf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">`+"\n", width, height, width, height)
	page.printf("<title>%s</title>\n<desc>%s</desc>\n<style>%s</style>\n", escape(c.Title), escape(c.Note), style)
	page.printf(`<rect class="page" width="%.0f" height="%.0f" rx="6"/>`+"\n", width, height)
	page.Write(body.Bytes())
	page.printf("</svg>\n")
}

// scale makes the axes, below a place. That of the values goes through zero, or a
// difference would look larger than it is.
func (d *drawing) scale(top float64) {
	d.y = linear(append(d.values(), 0), top+plotHeight, top, 6)
	left := margin
	if d.YLabel != "" {
		left += lineHeight + 6
	}
	labels := 0.0
	for _, tick := range d.y.ticks {
		labels = max(labels, textWidth(d.y.label(tick), textSize))
	}
	left, right := left+labels+8, width-margin-12

	var xs []float64
	for _, s := range d.Series {
		xs = append(xs, s.X...)
	}
	switch {
	case d.bars():
		d.x = axis{to: float64(len(d.Categories)), start: left, end: right}
	case d.LogX:
		d.x = logarithmic(xs, left+12, right)
	default:
		d.x = linear(xs, left, right, 8)
	}
}

// grid draws the lines across the chart and what stands left of them.
func (d *drawing) grid() {
	for _, tick := range d.y.ticks {
		y := d.y.at(tick)
		d.line("grid", d.x.start, y, d.x.end, y)
		d.text(d.x.start-8, y+4.5, "", "end", d.y.label(tick))
	}
	if d.YLabel != "" {
		x, y := margin+lineHeight-4, (d.y.start+d.y.end)/2
		d.printf(`<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n", x, y, escape(d.YLabel))
	}
}

// below writes what stands under the lower end of the chart, and returns where that
// ends.
func (d *drawing) below() float64 {
	y := d.y.start + lineHeight + 2
	for _, tick := range d.x.ticks {
		x := d.x.at(tick)
		d.line("axis", x, d.y.start, x, d.y.start+4)
		d.text(x, y, "", "middle", d.x.label(tick))
	}
	deepest := 1
	for i, category := range d.Categories {
		room := d.x.at(1) - d.x.at(0) - 8
		lines := wrap(category, textSize, room)
		deepest = max(deepest, len(lines))
		d.lines(d.x.at(float64(i)+0.5), y, "", "middle", lines)
	}
	return y + float64(deepest-1)*lineHeight
}

// errorBar draws the range of a value at a place. The stroke is its attributes.
func (d *drawing) errorBar(stroke string, x, low, high float64) {
	const half = 4
	from, to := d.y.at(low), d.y.at(high)
	d.printf(`<path %s fill="none" d="M%.1f %.1fh%dM%.1f %.1fV%.1fM%.1f %.1fh%d"/>`+"\n", stroke, x-half, from, 2*half, x, from, to, x-half, to, 2*half)
}

// missing reports whether a series has no value at an index.
func (s Series) missing(i int) bool { return math.IsNaN(s.Y[i]) }
