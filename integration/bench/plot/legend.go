package plot

import "fmt"

// legend writes the names of the series above the area that is plotted in, where it
// can cover nothing, and returns where it ends.
func (d *drawing) legend(y float64) float64 {
	const gap = 22
	sample := 30.0
	if d.bars() {
		sample = 18
		d.defineHatches()
	}
	x := margin
	named := false
	for i, s := range d.Series {
		if s.Name == "" {
			continue
		}
		wide := sample + 8 + textWidth(s.Name, textSize)
		if x > margin && x+wide > width-margin {
			x, y = margin, y+lineHeight+3
		}
		named = true
		d.printf(`<g class="s%d">`+"\n", i)
		d.sample(i, x, y, sample)
		d.printf("</g>\n")
		d.text(x+sample+8, y+4.5, "", "start", s.Name)
		x += wide + gap
	}
	if !named {
		return y - lineHeight
	}
	return y + lineHeight
}

// sample draws what a series looks like.
func (d *drawing) sample(i int, x, y, width float64) {
	if d.bars() {
		d.bar(i, x, y-7, width, 14)
		return
	}
	d.stroke(i, fmt.Sprintf("M%.1f %.1fh%.1f", x, y, width))
	d.marker(i, x+width/2, y)
}
