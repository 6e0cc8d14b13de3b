package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkOverhead compares the binary with one that counts, times and traces no
// call and has no placeholders (build tag convoai_bare), in the manner of
// BenchmarkThroughput: two processes with the same configuration and the same
// upstream. A ratio of 0.97 says that observing costs 3% of the throughput.
// cpu-ratio is the same of the processor time for each request, which other
// programs on the machine disturb less: 1.03 says that it costs 3% more.
func BenchmarkOverhead(b *testing.B) {
	bare := filepath.Join(b.TempDir(), "bare")
	if out, err := exec.Command("go", "build", "-tags", "convoai_bare", "-o", bare, "../cmd/caddy").CombinedOutput(); err != nil {
		b.Fatalf("building the bare binary: %v\n%s", err, out)
	}
	upstream := echoUpstream(b)
	for _, site := range []struct{ name, before, subdirective string }{
		{"metrics", "", ""},
		{"access log", "log", "log_fields on"},
	} {
		b.Run(site.name, func(b *testing.B) {
			for _, connections := range []int{16, 64} {
				b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
					var addresses [2]string
					var pids [2]int
					var before, used [2]float64
					for i, binary := range []string{bare, binary} {
						port := freePort(b)
						addresses[i] = "127.0.0.1:" + port
						config := filepath.Join(b.TempDir(), "Caddyfile")
						writeBench(b, config, port, site.before+"\n"+benchDirective(upstream, site.subdirective))
						pids[i] = startBench(b, binary, config, addresses[i])
						before[i] = processorTime(pids[i])
					}
					answered := alternate(b, joinRequest(1024, "given"), connections, addresses, [2]string{"bare", "observing"})
					for i, pid := range pids {
						used[i] = (processorTime(pid) - before[i]) / answered[i]
					}
					if used[0] > 0 {
						b.ReportMetric(used[1]/used[0], "cpu-ratio")
						b.ReportMetric(used[1]*1e6, "observing-cpu-µs/req")
					}
				})
			}
		})
	}
}

func writeBench(b *testing.B, file, port, site string) {
	b.Helper()
	err := os.WriteFile(file, fmt.Appendf(nil, "{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\nhttp://:%s {\n\tbind 127.0.0.1\n%s\n}\n", port, site), 0o600)
	if err != nil {
		b.Fatal(err)
	}
}

// processorTime returns the seconds that a process has run, or 0 where the system
// does not say so in the way of Linux.
func processorTime(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // of a second, whatever the kernel's own tick is
}
