package plot

// hatches are drawn over the bars in the colour of the page, and tell the series
// apart without colour. Each is a tile of eight by eight pixels.
var hatches = [maxSeries]string{
	"",
	"M-2 2L2 -2M0 8L8 0M6 10L10 6",
	"M0 4H8",
	"M-2 6L2 10M0 0L8 8M6 -2L10 2",
	"M4 0V8",
	"M0 4H8M4 0V8",
	"M0 0L8 8M0 8L8 0",
	"M2 4H6",
}

// defineHatches defines the patterns that the series need.
func (d *drawing) defineHatches() {
	d.printf("<defs>\n")
	for i := 1; i < len(d.Series); i++ {
		d.printf(`<pattern id="hatch%d" width="8" height="8" patternUnits="userSpaceOnUse"><path class="hatch" stroke-width="1.6" d="%s"/></pattern>`+"\n", i, hatches[i])
	}
	d.printf("</defs>\n")
}

func (d *drawing) bar(i int, x, y, width, height float64) {
	d.printf(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="currentColor"/>`+"\n", x, y, width, height)
	if i > 0 {
		d.printf(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="url(#hatch%d)"/>`+"\n", x, y, width, height, i)
	}
}

// drawBars draws a group of bars for each category, with room between the groups.
func (d *drawing) drawBars() {
	group := d.x.at(1) - d.x.at(0)
	each := min(group*0.8/float64(len(d.Series)), 64)
	for i, s := range d.Series {
		d.printf(`<g class="s%d">`+"\n", i)
		for j, y := range s.Y {
			if s.missing(j) {
				continue
			}
			left := d.x.at(float64(j)+0.5) + (float64(i)-float64(len(d.Series))/2)*each
			top, bottom := d.y.at(max(y, 0)), d.y.at(min(y, 0))
			d.bar(i, left+1, top, each-2, bottom-top)
			if len(s.Low) > 0 {
				// The halo keeps it visible within the bar.
				d.errorBar(`class="halo" stroke-width="4"`, left+each/2, s.Low[j], s.High[j])
				d.errorBar(`class="axis" stroke-width="1.5"`, left+each/2, s.Low[j], s.High[j])
			}
		}
		d.printf("</g>\n")
	}
}
