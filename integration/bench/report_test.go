package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// known are results with round figures: the machine is twice as slow in the second
// round as in the first, and four times in the third.
func known() *results {
	r := &results{
		Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 90 * time.Second, Command: "go run ./integration/bench -rounds=3",
		Machine: machine{
			Processor: "A processor", Cores: 2, System: "linux/amd64 6.1", Load: "0.00 0.01 0.05",
			Go: "go1.26.0", Caddy: "v2.11.9", Nginx: "1.22.1", Commit: "0123456",
		},
		Settings: settings{
			Suites: []string{peersSuite, scaleSuite}, Rounds: 3, Duration: time.Second,
			Connections: []int{1, 64}, Bodies: []int{205, 1 << 10}, Channels: []int{1, 1000}, Apps: []int{1, 10},
		},
		Notes: []string{"nginx is left out: no such program."},
	}
	for _, c := range contenders {
		if c.Name == direct || c.Name == stock || c.Name == "sidecar" || c.TLS {
			r.Contenders = append(r.Contenders, c)
		}
	}
	for round, slowness := range []float64{1, 2, 4} {
		for i, c := range r.Contenders {
			own := float64(10 + i) // in tenths of what the fastest needs
			one := sample{
				Suite: peersSuite, Contender: c.Name, Round: round, Requests: 1000,
				Throughput: 100_000 / own / slowness, P50: 10 * own * slowness, P99: 90 * own * slowness, Max: 900 * own,
			}
			if c.Name != direct {
				one.Processor, one.Resident = own*slowness, 60<<20
			}
			for _, at := range r.Settings.closedCells() {
				if c.TLS && at.Body != r.Settings.usualBody() {
					continue
				}
				one.cell = at
				r.Samples = append(r.Samples, one)
			}
			one.cell = cell{Connections: 64, Body: 1 << 10, Rate: 2500}
			r.Samples = append(r.Samples, one)
		}
		for _, c := range r.Settings.scaled() {
			own := (1 + float64(c.count)/1000) * slowness / float64(c.processors)
			r.Samples = append(r.Samples,
				sample{Suite: scaleSuite, Contender: c.name(), Round: round, Start: 70 * slowness},
				sample{
					Suite: scaleSuite, Contender: c.name(), Round: round, cell: cell{Connections: 64, Body: 1 << 10},
					Requests: 1000, Throughput: 10_000 / own, P50: 100 * own, P99: 900 * own, Processor: 100 * own, Resident: 64 << 20,
				})
		}
	}
	r.Samples = append(r.Samples, sample{
		Suite: peersSuite, Contender: "sidecar", Round: 3, cell: cell{Connections: 64, Body: 1 << 10},
		Error: "answered \"HTTP/1.1 502 Bad Gateway\"\nand more",
	})
	return r
}

func TestReport(t *testing.T) {
	var got bytes.Buffer
	if err := newReport(known()).print(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "report.md")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the report is not that of %s (-update writes it):\n%s", golden, got.Bytes())
	}
}

// Kept as JSON, results say the same.
func TestReportFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	if err := known().write(file); err != nil {
		t.Fatal(err)
	}
	read, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := newReport(read).blocks(), newReport(known()).blocks(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPageIsUpdated(t *testing.T) {
	dir := t.TempDir()
	page, charts := filepath.Join(dir, "page.md"), filepath.Join(dir, "charts")
	r := newReport(known())
	before := "# Page\n"
	for _, b := range r.blocks() {
		before += "\nAbout " + b.name + "\n<!-- begin:" + b.name + " -->\nold\n<!-- end:" + b.name + " -->\n"
	}
	if err := os.WriteFile(page, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := r.update(page, charts); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		want := before
		for _, b := range r.blocks() {
			want = strings.Replace(want, "old\n", b.text, 1)
		}
		if string(after) != want {
			t.Fatalf("the page is\n%s\nwant\n%s", after, want)
		}
	}
	for _, f := range r.figures() {
		wellFormed(t, filepath.Join(charts, f.name+".svg"))
	}
}

func wellFormed(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for decoder := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}

func TestPageWithoutAPlaceIsAnError(t *testing.T) {
	for _, page := range []string{"", "<!-- begin:a -->\n", "<!-- end:a -->\n<!-- begin:a -->\n"} {
		if got, err := replaceBlock(page, block{"a", "text\n"}); err == nil {
			t.Errorf("%q became %q, want an error", page, got)
		}
	}
}

// The page of this repository has a place for every part, and shows every chart.
func TestPageOfTheRepository(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", reportPage))
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(known())
	for _, b := range r.blocks() {
		if _, err := replaceBlock(string(text), b); err != nil {
			t.Error(err)
		}
	}
	for _, f := range r.figures() {
		if name := "](performance/" + f.name + ".svg)"; !strings.Contains(string(text), name) {
			t.Errorf("%s shows no %s", reportPage, name)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   summary
	}{
		{[]float64{7}, summary{7, 7, 7}},
		{[]float64{3, 1}, summary{1.5, 2, 2.5}},
		{[]float64{5, 1, 3, 2, 4}, summary{2, 3, 4}},
		{[]float64{40, 10, 20, 30}, summary{17.5, 25, 32.5}},
	} {
		if got := summarize(test.values); got != test.want {
			t.Errorf("of %v: %v, want %v", test.values, got, test.want)
		}
	}
}

// The ratio is the median of the rounds' ratios. That of the medians is another
// one, which mixes rounds: here 12/30.
func TestRatiosArePaired(t *testing.T) {
	r := &results{}
	for round, rates := range [][2]float64{{10, 10}, {12, 30}, {80, 40}} {
		for i, name := range []string{"own", "base"} {
			r.Samples = append(r.Samples, sample{Suite: peersSuite, Contender: name, Round: round, Throughput: rates[i]})
		}
	}
	r.Samples = append(r.Samples,
		sample{Suite: peersSuite, Contender: "own", Round: 3, Throughput: 1000}, // the base has no such round
		sample{Suite: peersSuite, Contender: "own", Round: 4, Throughput: 1000},
		sample{Suite: peersSuite, Contender: "base", Round: 4, Error: "broken"},
		sample{Suite: peersSuite, Contender: "own", Round: 5, Throughput: 1000},
		sample{Suite: peersSuite, Contender: "base", Round: 5}, // nothing to divide by
		sample{Suite: scaleSuite, Contender: "own", Round: 0, Throughput: 1},
	)
	ratios := r.of(peersSuite).paired(key{Contender: "own"}, "base", throughput, ratio)
	if got, want := summarize(ratios), (summary{0.7, 1, 1.5}); len(ratios) != 3 || math.Abs(got.Low-want.Low) > 1e-9 || got.Median != want.Median || got.High != want.High {
		t.Errorf("%v of %v, want %v", got, ratios, want)
	}
}

// Every round goes the other way than the one before it, and all are in each.
func TestTurns(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	for round, want := range []string{"abcd", "adcb", "cdab", "cbad"} {
		if got := strings.Join(turn(all, round), ""); got != want {
			t.Errorf("round %d is %s, want %s", round, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-bodies", "64,0.2,1", "-connections", "16,1", "-rounds=3", "-json", "file", "-caddy", "caddy"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{205, 1 << 10, 64 << 10}; !reflect.DeepEqual(o.Bodies, want) {
		t.Errorf("bodies %v, want %v", o.Bodies, want)
	}
	want := []cell{{Connections: 1, Body: 1 << 10}, {Connections: 16, Body: 1 << 10}, {Connections: 16, Body: 205}, {Connections: 16, Body: 64 << 10}}
	if got := o.closedCells(); !reflect.DeepEqual(got, want) {
		t.Errorf("cells %v, want %v", got, want)
	}
	if want := "go run ./integration/bench -bodies=64,0.2,1 -connections=16,1 -rounds=3"; o.command != want {
		t.Errorf("command %s, want %s", o.command, want)
	}
	for _, wrong := range []string{
		"-bodies=0.1", "-bodies=2000", "-bodies=", "-connections=0", "-connections=x", "-connections=NaN",
		"-contenders=apache", "-suite=all", "-rounds=0", "-duration=1ms", "surplus",
	} {
		if _, err := parseOptions([]string{wrong}); err == nil {
			t.Errorf("%s is accepted", wrong)
		}
	}
	for _, within := range []struct {
		arguments []string
		most      time.Duration
	}{{nil, 25 * time.Minute}, {[]string{"-quick"}, 40 * time.Second}} {
		o, err := parseOptions(within.arguments)
		if err != nil {
			t.Fatal(err)
		}
		if d := o.expected(); d > within.most {
			t.Errorf("%v lasts %s, want %s at most", within.arguments, d, within.most)
		}
	}
}

// Every join is as long as it is to be, for the shortest body with a long channel
// too, and is completed where it lacks a token.
func TestRequests(t *testing.T) {
	for _, body := range []int{205, 1 << 10, 64 << 10} {
		for _, c := range contenders {
			if _, rest, length, complete, err := cutHead(c.request(body)); !complete || err != nil || length != body || len(rest) != body {
				t.Errorf("%s: a body of %d, said to be %d: %v", c.Name, len(rest), length, err)
			}
			if bare := bytes.Contains(c.request(body), []byte(`"token":""`)); bare != c.bare {
				t.Errorf("%s lacks a token: %t", c.Name, bare)
			}
		}
	}
	distinct := make(map[string]bool)
	for _, request := range (scaled{channelsAxis, 1000, 1}).requests(1 << 10) {
		distinct[string(request)] = true
	}
	if len(distinct) != 1000 {
		t.Errorf("%d distinct requests of 1000 channels", len(distinct))
	}
}
