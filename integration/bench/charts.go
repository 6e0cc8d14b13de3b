package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/caddy-convoai/convoai/integration/bench/plot"
)

// A figure is a chart and the name of its file, without the ending.
type figure struct {
	name  string
	chart plot.Chart
}

// Of the contenders, those that curves are drawn of. The direct one would leave no
// room for the others.
var (
	plainCurves = []string{nginx, stock, "stock-256", "sidecar", "sidecar-fill"}
	tlsCurves   = []string{"stock-tls1", "sidecar-tls1", "stock-tls2", "sidecar-tls2"}
	ratioCurves = []string{"stock-again", "stock-256", "sidecar", "sidecar-app", "sidecar-fill", "sidecar-tls1", "sidecar-tls2"}
)

// figures are the charts for which there are results.
func (r report) figures() []figure {
	var all []figure
	add := func(name, title, xLabel string, chart plot.Chart) {
		if len(chart.Series) == 0 {
			return
		}
		chart.Title, chart.XLabel, chart.Note = title, xLabel, r.footnote()
		all = append(all, figure{name, chart})
	}
	if r.has(peersSuite) {
		const connections, size = "connections", "KiB"
		add("throughput", "Throughput", connections, r.curves(throughput, r.closed(), plainCurves))
		add("throughput-tls", "Throughput, upstream over TLS", connections, r.curves(throughput, r.closed(), tlsCurves))
		add("throughput-ratio", "Throughput, ratio to stock", connections, r.ratioCurves(throughput, r.closed()))
		add("latency-p50", "Median latency at the same constant rate", connections, r.curves(p50, r.open(), plainCurves))
		add("latency-p99", "99th percentile of latency at the same constant rate", connections, r.curves(p99, r.open(), plainCurves))
		add("processor", "Processor time, "+connectionsTitle(r.Settings.usualConnections()), "upstream", r.bars(processor))
		add("processor-ratio", "Processor time, ratio to stock", connections, r.ratioCurves(processor, r.closed()))
		add("bodies", "Throughput by size of the body", size, r.curves(throughput, r.bodies(), plainCurves))
		add("bodies-processor", "Processor time by size of the body", size, r.curves(processor, r.bodies(), plainCurves))
	}
	if r.has(scaleSuite) {
		for _, axis := range []string{channelsAxis, appsAxis} {
			add("scale-"+axis, "Processor time by number of "+axis, axis, r.scaleCurves(axis, processor))
			add("scale-"+axis+"-memory", "Memory by number of "+axis, axis, r.scaleCurves(axis, resident))
		}
		add("scale-start", "Start by number of apps", appsAxis, r.scaleCurves(appsAxis, start))
	}
	return all
}

func (r report) footnote() string {
	m := r.Machine
	return fmt.Sprintf("%s, %s, %d cores, %s, Caddy %s, commit %s", r.Began.UTC().Format("2006-01-02"), m.Processor, m.Cores, m.Go, m.Caddy, m.Commit)
}

// curves has a curve for each of the contenders that took part.
func (r report) curves(m metric, places []place, names []string) plot.Chart {
	return r.chart(m.title, places, names, func(_ contender, at key) []float64 { return r.peers.values(at, m) })
}

// ratioCurves has the ratios to each contender's base.
func (r report) ratioCurves(m metric, places []place) plot.Chart {
	return r.chart("Ratio to stock", places, ratioCurves, func(c contender, at key) []float64 {
		return r.peers.paired(at, c.Base, m, ratio)
	})
}

func (r report) chart(yLabel string, places []place, names []string, values func(contender, key) []float64) plot.Chart {
	chart := plot.Chart{YLabel: yLabel, LogX: true}
	for _, c := range r.Contenders {
		if !slices.Contains(names, c.Name) {
			continue
		}
		series := plot.Series{Name: c.Title}
		for _, p := range places {
			appendPoint(&series, p.x, values(c, p.at.of(c)))
		}
		chart.Series = appendCurve(chart.Series, series)
	}
	return chart
}

// bars has a group of bars for each way to call the upstream, at the usual number
// of connections.
func (r report) bars(m metric) plot.Chart {
	at := key{Connections: r.Settings.usualConnections(), Body: r.Settings.usualBody()}
	chart := plot.Chart{YLabel: m.title, Categories: []string{"HTTP/1.1", "TLS, HTTP/1.1", "TLS, HTTP/2"}}
	for _, bar := range []struct {
		title string
		names [3]string // of contenders, for each category
	}{
		{"nginx", [3]string{nginx}},
		{"stock Caddy", [3]string{stock, "stock-tls1", "stock-tls2"}},
		{"stock Caddy, 256 idle connections", [3]string{"stock-256"}},
		{"sidecar", [3]string{"sidecar", "sidecar-tls1", "sidecar-tls2"}},
		{"sidecar, filling tokens in", [3]string{"sidecar-fill"}},
	} {
		series, measured := plot.Series{Name: bar.title}, false
		for _, name := range bar.names {
			values := r.peers.values(at.of(contender{Name: name}), m)
			if measured = measured || len(values) > 0; len(values) == 0 {
				values = []float64{math.NaN()}
			}
			appendPoint(&series, 0, values)
		}
		if measured {
			chart.Series = append(chart.Series, series)
		}
	}
	return chart
}

// scaleCurves has a curve for each number of processors.
func (r report) scaleCurves(axis string, m metric) plot.Chart {
	chart := plot.Chart{YLabel: m.title, LogX: true}
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
