package caddymodule

import "github.com/prometheus/client_golang/prometheus"

// CounterStatus is what has been counted since the process began, as the metrics
// have it, for a look without Prometheus.
type CounterStatus struct {
	// Requests to the convoai handler, and to token servers, by the status of the
	// answer. Unfinished ones are not among them.
	Requests CountsBy `json:"requests"`

	// Refused are those that the sidecar has answered itself, by reason.
	Refused CountsBy `json:"refused"`

	// Attempts to reach a host, by outcome.
	Attempts CountsBy `json:"attempts"`

	// Failovers are attempts that followed a failed one of the same call.
	Failovers float64 `json:"failovers"`

	// Reauthorizations are calls that were sent once more with another token
	// after a 401, by outcome.
	Reauthorizations CountsBy `json:"reauthorizations"`

	// Unauthorized are answers 401 of the vendor that went to the caller.
	Unauthorized float64 `json:"unauthorized"`

	// Minted are tokens by outcome: "ok" or "error".
	Minted CountsBy `json:"minted"`
}

// CountsBy is a count, in all and by the value of a label. Values that were not
// counted are left out.
type CountsBy struct {
	Total float64            `json:"total"`
	By    map[string]float64 `json:"by"`
}

// status returns the present counts.
func (m *metrics) status() CounterStatus {
	return CounterStatus{
		Requests:         countsBy(m.requests, "code"),
		Refused:          countsBy(m.rejected, "reason"),
		Attempts:         countsBy(m.attempts, "outcome"),
		Failovers:        countsBy(m.failovers, "").Total,
		Reauthorizations: countsBy(m.reauthorizations, "outcome"),
		Unauthorized:     countsBy(m.unauthorized, "").Total,
		Minted:           countsBy(m.mints, "outcome"),
	}
}

// countsBy adds a counter up by one of its labels. It goes through a registry,
// which is the way to read counters that needs no package beside Prometheus' own.
func countsBy(counter *prometheus.CounterVec, label string) CountsBy {
	counts := CountsBy{By: map[string]float64{}}
	registry := prometheus.NewRegistry()
	if err := registry.Register(counter); err != nil {
		return counts
	}
	families, err := registry.Gather()
	if err != nil {
		return counts
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			value := metric.GetCounter().GetValue()
			counts.Total += value
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == label && value > 0 {
					counts.By[pair.GetValue()] += value
				}
			}
		}
	}
	return counts
}
