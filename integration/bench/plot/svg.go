package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Lengths, in pixels.
const (
	width      = 760.0
	margin     = 16.0
	plotHeight = 300.0
	lineHeight = 17.0
	textSize   = 13.0
)

// style has the colours of a light page, then those of a dark one. The document
// brings its own background, because a browser's preference need not be that of the
// page around it. The series are in the colours of Okabe and Ito, made darker or
// lighter until they have contrast.
const style = `
text{font:13px -apple-system,BlinkMacSystemFont,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:16px;font-weight:600}
.note{font-size:11px;fill:#59636e}
.page{fill:#fff}
.grid{stroke:#d8dee4}
.axis{stroke:#1f2328}
.halo{stroke:#fff}
.hatch{stroke:#fff;fill:none}
.s0{color:#0072b2}.s1{color:#d55e00}.s2{color:#00835f}.s3{color:#b0508a}.s4{color:#3d3d3d}.s5{color:#a87300}.s6{color:#2b8fc9}.s7{color:#7a5195}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.note{fill:#9198a1}
.page{fill:#0d1117}
.grid{stroke:#2f353d}
.axis{stroke:#e6edf3}
.halo,.hatch{stroke:#0d1117}
.s0{color:#4aa8e0}.s1{color:#f0803c}.s2{color:#1fbf93}.s3{color:#dc8fba}.s4{color:#c9c9c9}.s5{color:#e6b030}.s6{color:#8fd0f5}.s7{color:#b794d6}
}
`

// canvas is an SVG document that is being written.
type canvas struct{ *bytes.Buffer }

func (c canvas) printf(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// text writes a line of text. The anchor is start, middle or end.
func (c canvas) text(x, y float64, class, anchor, text string) {
	c.printf(`<text x="%.1f" y="%.1f"`, x, y)
	if class != "" {
		c.printf(` class="%s"`, class)
	}
	if anchor != "start" {
		c.printf(` text-anchor="%s"`, anchor)
	}
	c.printf(">%s</text>\n", escape(text))
}

// lines writes lines of text below each other.
func (c canvas) lines(x, y float64, class, anchor string, lines []string) {
	for i, line := range lines {
		c.text(x, y+float64(i)*lineHeight, class, anchor, line)
	}
}

func (c canvas) line(class string, x1, y1, x2, y2 float64) {
	c.printf(`<path class="%s" d="M%.1f %.1fL%.1f %.1f"/>`+"\n", class, x1, y1, x2, y2)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

// textWidth is about how wide a text is: no font is asked, so it errs on the wide
// side.
func textWidth(text string, size float64) float64 {
	return 0.55 * size * float64(utf8.RuneCountInString(text))
}

// wrap breaks a text at its spaces into lines that fit into a width.
func wrap(text string, size, width float64) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && textWidth(lines[last]+" "+word, size) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
