package integration

import (
	"strings"
	"testing"
)

// BenchmarkCandidates compares a sidecar with eight upstreams with one that has
// one, in the manner of BenchmarkThroughput.
func BenchmarkCandidates(b *testing.B) {
	var upstreams []string
	for range 8 {
		upstreams = append(upstreams, echoUpstream(b))
	}
	one := benchDirective(upstreams[0], "")
	eight := benchDirective(strings.Join(upstreams, " http://"), "")
	compare(b, joinRequest(1024, "given"), "one", one, "eight", eight)
}
