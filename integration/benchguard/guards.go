package main

import "strings"

// subject is one benchmark: the folder of its package and its name as it is
// printed.
type subject struct{ folder, name string }

// pattern is what -bench finds nothing but the subject by.
func (s subject) pattern() string {
	return "^" + strings.ReplaceAll(s.name, "/", "$/^") + "$"
}

// references is the folder of the loops that paths are compared with.
const references = "integration/benchguard"

// guard is a hot path and what it is compared with.
type guard struct {
	subject
	reference    subject
	runs         []string // the flags of a round
	time, memory string   // the units that count
	// exact says that the memory beyond the reference's may grow by 1, however
	// large it is.
	exact bool
}

func (g guard) name() string { return g.folder + "." + g.subject.name }

// cpu guards a path that does nothing but compute.
func cpu(folder, name, reference string) guard {
	return guard{
		subject:   subject{folder, name},
		reference: subject{references, "BenchmarkReference/" + reference},
		runs:      shortRuns, time: "ns/op", memory: "allocs/op",
	}
}

var guards = []guard{
	{
		subject:   subject{"caddymodule", "BenchmarkCall/sidecar"},
		reference: subject{"caddymodule", "BenchmarkCall/stock"},
		runs:      callRuns, time: "ns/op", memory: "allocs/op", exact: true,
	},
	cpu("caddymodule", "BenchmarkHeaderLookup/channels=1", "lookup"),
	cpu("caddymodule", "BenchmarkFill/token_missing", "scan_and_sign"),
	cpu("caddymodule", "BenchmarkFill/token_given", "scan"),
	cpu("caddymodule/tokenserver", "BenchmarkGrant", "scan_and_sign"),
	cpu("api", "BenchmarkComplete/token_missing", "scan"),
	cpu("api", "BenchmarkComplete/token_given", "scan"),
	cpu("api", "BenchmarkParsePath", "split"),
	cpu("region", "BenchmarkChoose/area", "lookup"),
	cpu("cache", "BenchmarkHit/credential/keys=1", "lookup"),
	{
		subject:   subject{"token", "BenchmarkMint"},
		reference: subject{references, "BenchmarkReference/sign"},
		runs:      shortRuns, time: "ns/token", memory: "B/token",
	},
}
