package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the charts into testdata")

var curves = Chart{
	Title: "Joins per second, by connections", XLabel: "connections", YLabel: "joins per second", LogX: true,
	Series: []Series{
		{Name: "sidecar", X: []float64{1, 4, 16, 64, 256}, Y: []float64{2100, 6200, 9400, 9900, 9750}, Low: []float64{2000, 6000, 9100, 9500, 9000}, High: []float64{2200, 6500, 9600, 10400, 10100}},
		{Name: "stock reverse_proxy", X: []float64{1, 4, 16, 64, 256}, Y: []float64{2200, 6300, 9300, 10050, 9800}, Low: []float64{2100, 6100, 9000, 9800, 9300}, High: []float64{2300, 6600, 9500, 10500, 10200}},
		{Name: "nginx", X: []float64{1, 4, 16, 64, 256}, Y: []float64{2900, 9100, 15000, 16300, math.NaN()}},
	},
	Note: "2026-11-21, two cores of a shared machine. The error bars are quartiles of 20 rounds; nginx ends where it answered with errors.",
}

var bars = Chart{
	Title: "Added latency & CPU", YLabel: "µs per call",
	Categories: []string{"header in the cache", "token filled", "refused <403>"},
	Series: []Series{
		{Name: "median", Y: []float64{12.5, 31, -4}, Low: []float64{11, 28, -6.5}, High: []float64{14, 35, -2}},
		{Name: "99th percentile", Y: []float64{33, 61, 9}, Low: []float64{29, 55, 7}, High: []float64{40, 72, 12}},
		{Name: "CPU", Y: []float64{9, 22, 2}},
	},
	Note: "2026-11-21",
}

func svg(t *testing.T, c Chart) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestChartsAreThoseInTestdata(t *testing.T) {
	for name, chart := range map[string]Chart{"curves.svg": curves, "bars.svg": bars} {
		file, got := filepath.Join("testdata", name), svg(t, chart)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what is drawn; look at it, then write it with -update", file)
		}
	}
}

func TestEveryTextIsInTheDocumentAsItIs(t *testing.T) {
	const text = `a<b>&"c"</text> ü`
	c := Chart{Title: text, XLabel: text, YLabel: text, Note: text, Categories: []string{text}, Series: []Series{{Name: text, Y: []float64{1}}}}
	found := 0
	decoder := xml.NewDecoder(bytes.NewReader(svg(t, c)))
	var content strings.Builder
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			content.Write(token)
		case xml.StartElement:
			content.Reset()
		case xml.EndElement:
			if content.String() == text {
				found++
			}
		}
	}
	// The title and the note are in it twice: as what a screen reader reads, too.
	if found != 8 {
		t.Errorf("the text is found %d times, want 8", found)
	}
}

func TestWhatCannotBeDrawnIsRefusedAndNothingWritten(t *testing.T) {
	one := []float64{1}
	infinite := []float64{math.Inf(1)}
	for name, c := range map[string]Chart{
		"no series":                  {},
		"nine series":                {Categories: []string{"a"}, Series: slices.Repeat([]Series{{Y: one}}, 9)},
		"no values":                  {Series: []Series{{}}},
		"values without a point":     {Series: []Series{{Y: one}}},
		"points without a value":     {Series: []Series{{X: []float64{1, 2}, Y: one}}},
		"values without a category":  {Categories: []string{"a"}, Series: []Series{{Y: []float64{1, 2}}}},
		"low ends alone":             {Series: []Series{{X: one, Y: one, Low: one}}},
		"too few error bars":         {Series: []Series{{X: []float64{1, 2}, Y: []float64{1, 2}, Low: one, High: one}}},
		"an error bar upside down":   {Series: []Series{{X: one, Y: one, Low: []float64{2}, High: one}}},
		"zero on a logarithmic axis": {LogX: true, Series: []Series{{X: []float64{0}, Y: one}}},
		"an infinite point":          {Series: []Series{{X: infinite, Y: one}}},
		"an infinite value":          {Series: []Series{{X: one, Y: infinite}}},
		"an infinite error bar":      {Series: []Series{{X: one, Y: one, Low: one, High: infinite}}},
	} {
		var b bytes.Buffer
		if err := c.WriteSVG(&b); err == nil || b.Len() > 0 {
			t.Errorf("%s: error %v, %d bytes", name, err, b.Len())
		}
	}
}

func TestChartsOfLittle(t *testing.T) {
	for name, c := range map[string]Chart{
		"one point":               {Series: []Series{{X: []float64{3}, Y: []float64{0}}}},
		"one point, logarithmic":  {LogX: true, Series: []Series{{X: []float64{3}, Y: []float64{7}}}},
		"a value that is missing": {Categories: []string{"a"}, Series: []Series{{Y: []float64{math.NaN()}, Low: []float64{math.NaN()}, High: []float64{math.NaN()}}}},
	} {
		if document := svg(t, c); bytes.Contains(document, []byte("NaN")) || bytes.Contains(document, []byte("Inf")) {
			t.Errorf("%s: a place that is no number:\n%s", name, document)
		}
	}
}
