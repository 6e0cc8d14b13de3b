package main

import (
	"fmt"

	"github.com/caddy-convoai/convoai/integration/bench/plot"
)

// A figure is a chart and the name of its file, without the ending.
type figure struct {
	name  string
	chart plot.Chart
}

// Of the contenders, those that curves are drawn of: without the direct one, which
// would leave no room for the others, and those that are there for the noise.
var (
	plainCurves = []string{nginx, stock, "stock-256", "sidecar", "sidecar-fill"}
	tlsCurves   = []string{"stock-tls1", "sidecar-tls1", "stock-tls2", "sidecar-tls2"}
)

// figures are the charts for which there are results.
func (r report) figures() []figure {
	var all []figure
	add := func(name string, chart plot.Chart) {
		if len(chart.Series) > 0 {
			chart.Note = r.footnote()
			all = append(all, figure{name, chart})
		}
	}
	if r.has(peersSuite) {
		add("throughput", r.curves("Throughput, closed loop", "connections", throughput, r.closed(), plainCurves))
		add("throughput-tls", r.curves("Throughput, closed loop, upstream over TLS", "connections", throughput, r.closed(), tlsCurves))
		add("latency-p50", r.curves("Median latency at the same constant rate", "connections", p50, r.open(), plainCurves))
		add("latency-p99", r.curves("99th percentile of latency at the same constant rate", "connections", p99, r.open(), plainCurves))
		add("processor", r.bars(processor))
		add("bodies", r.curves("Throughput by size of the body", "KiB", throughput, r.bodies(), plainCurves))
		add("bodies-processor", r.curves("Processor time by size of the body", "KiB", processor, r.bodies(), plainCurves))
	}
	if r.has(scaleSuite) {
		for _, axis := range []string{channelsAxis, appsAxis} {
			add("scale-"+axis, r.scaleCurves(axis, processor))
			add("scale-"+axis+"-memory", r.scaleCurves(axis, resident))
		}
		add("scale-start", r.scaleCurves(appsAxis, start))
	}
	return all
}

func (r report) footnote() string {
	m := r.Machine
	return fmt.Sprintf("%s, %s, %d cores, %s, Caddy %s, commit %s", r.Began.UTC().Format("2006-01-02"), m.Processor, m.Cores, m.Go, m.Caddy, m.Commit)
}

// curves has a curve for each of the contenders that took part, over places.
func (r report) curves(title, xLabel string, m metric, places []place, names []string) plot.Chart {
	chart := plot.Chart{Title: title, XLabel: xLabel, YLabel: m.title, LogX: true}
	for _, c := range r.Contenders {
		for _, name := range names {
			if c.Name == name {
				chart.Series = appendCurve(chart.Series, r.curve(c, m, places))
			}
		}
	}
	return chart
}

func (r report) curve(c contender, m metric, places []place) plot.Series {
	series := plot.Series{Name: c.Title}
	for _, p := range places {
		at := p.at.of(c)
		x := float64(at.Connections)
		if len(places) > 1 && places[0].at.Connections == places[1].at.Connections {
			x = float64(at.Body) / (1 << 10)
		}
		appendPoint(&series, x, r.peers.values(at, m))
	}
	return series
}

// bars has a bar for each contender that is a proxy.
func (r report) bars(m metric) plot.Chart {
	connections := r.Settings.usualConnections()
	chart := plot.Chart{Title: fmt.Sprintf("Processor time, %s", connectionsTitle(connections)), YLabel: m.title}
	series := plot.Series{}
	for _, c := range r.Contenders {
		values := r.peers.values(key{Contender: c.Name, Connections: connections, Body: r.Settings.usualBody()}, m)
		if c.Name != direct && len(values) > 0 {
			chart.Categories = append(chart.Categories, c.Name)
			appendPoint(&series, 0, values)
		}
	}
	chart.Series = appendCurve(nil, series)
	return chart
}

// scaleCurves has a curve for each number of processors.
func (r report) scaleCurves(axis string, m metric) plot.Chart {
	chart := plot.Chart{Title: "Sidecar with many " + axis, XLabel: axis, YLabel: m.title, LogX: true}
	for _, processors := range scaleProcessors {
		series := plot.Series{Name: fmt.Sprintf("GOMAXPROCS %d", processors)}
		for _, c := range r.Settings.scaled() {
			if c.axis != axis || c.processors != processors {
				continue
			}
			at := r.scaleKey(c)
			if m.title == start.title {
				at = key{Contender: c.name()}
			}
			appendPoint(&series, float64(c.count), r.scale.values(at, m))
		}
		chart.Series = appendCurve(chart.Series, series)
	}
	return chart
}

// appendPoint adds the median and quartiles of values, if there are any.
func appendPoint(series *plot.Series, x float64, values []float64) {
	if len(values) == 0 {
		return
	}
	s := summarize(values)
	series.X, series.Y = append(series.X, x), append(series.Y, s.Median)
	series.Low, series.High = append(series.Low, s.Low), append(series.High, s.High)
}

func appendCurve(all []plot.Series, series plot.Series) []plot.Series {
	if len(series.Y) == 0 {
		return all
	}
	return append(all, series)
}
