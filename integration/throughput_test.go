package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkThroughput compares the sidecar with a stock reverse_proxy that sends
// a fixed Authorization header: the same binary and process, the same upstream,
// the same requests (a join of 1 KiB that lacks nothing), in alternating rounds.
// One operation is eight pairs of short rounds, 4 s in all; run it with -benchtime
// 7x or more. It reports the median of the ratios, the distance of their
// quartiles and both rates; a ratio over 1 says that the sidecar is faster.
func BenchmarkThroughput(b *testing.B) {
	upstream := echoUpstream(b)
	stock := "reverse_proxy " + upstream + ` {
		header_up Authorization "agora token=` + strings.Repeat("x", 240) + `"
	}`
	compare(b, joinRequest(1024, "given"), "stock", stock, "sidecar", benchDirective(upstream, ""))
}

// BenchmarkFill compares joins of 2 KiB without a token that are completed with
// joins that pass as they are, in the manner of BenchmarkThroughput.
func BenchmarkFill(b *testing.B) {
	upstream := echoUpstream(b)
	compare(b, joinRequest(2048, ""), "passed", benchDirective(upstream, "fill_tokens off"), "filled", benchDirective(upstream, "fill_tokens on"))
}

// compare measures two directives against each other, on sites of one process.
func compare(b *testing.B, request []byte, baseName, base, name, directive string) {
	for _, connections := range []int{16, 64} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			first, second := startPair(b, base, directive)
			alternate(b, request, connections, [2]string{first, second}, [2]string{baseName, name})
		})
	}
}

// alternate drives two servers in turn, and reports how the second compares with
// the first. It returns how many requests each has answered.
func alternate(b *testing.B, request []byte, connections int, addresses, names [2]string) (answered [2]float64) {
	b.Helper()
	for i, address := range addresses { // warms up
		answered[i] += drive(b, address, request, connections, time.Second)
	}
	// Short, so that what else the machine does comes and goes in both; and in
	// either order, so that neither is always the second.
	const round = 250 * time.Millisecond
	var ratios, ours, theirs []float64
	for b.Loop() {
		for i := range 8 {
			var rates [2]float64
			for j := range rates {
				which := (i + j) % 2
				rates[which] = drive(b, addresses[which], request, connections, round)
				answered[which] += rates[which] * round.Seconds()
			}
			theirs, ours = append(theirs, rates[0]), append(ours, rates[1])
			ratios = append(ratios, rates[1]/rates[0])
		}
	}
	slices.Sort(ratios)
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(ratios[len(ratios)*3/4]-ratios[len(ratios)/4], "spread")
	b.ReportMetric(median(ours), names[1]+"-req/s")
	b.ReportMetric(median(theirs), names[0]+"-req/s")
	return answered
}

// benchDirective is the directive with a subdirective of its own.
func benchDirective(upstream, subdirective string) string {
	return `convoai {
		app_id          {env.AGORA_APP_ID}
		app_certificate {env.AGORA_APP_CERTIFICATE}
		upstream        http://` + upstream + `
		` + subdirective + `
	}`
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// startPair starts one process with a site for each of two directives and returns
// their addresses.
func startPair(b *testing.B, one, other string) (first, second string) {
	b.Helper()
	addresses := make([]string, 2)
	ports := make([]string, 2)
	for i := range ports {
		ports[i] = freePort(b)
		addresses[i] = "127.0.0.1:" + ports[i]
	}
	dir := b.TempDir()
	config := filepath.Join(dir, "Caddyfile")
	err := os.WriteFile(config, fmt.Appendf(nil, `{
	admin off
	auto_https off
	persist_config off
}
http://:%s {
	bind 127.0.0.1
	%s
}
http://:%s {
	bind 127.0.0.1
	%s
}
`, ports[0], one, ports[1], other), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	startBench(b, binary, config, addresses...)
	return addresses[0], addresses[1]
}

// startBench runs a binary with a Caddyfile until the benchmark ends, waits until it
// listens, and returns its process ID.
func startBench(b *testing.B, binary, config string, addresses ...string) (pid int) {
	b.Helper()
	cmd := exec.Command(binary, "run", "--config", config)
	cmd.Env = []string{"HOME=" + filepath.Dir(config), "AGORA_APP_ID=" + benchAppID, "AGORA_APP_CERTIFICATE=" + benchCertificate}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for _, address := range addresses {
		deadline := time.Now().Add(20 * time.Second)
		for {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_ = conn.Close()
				break
			}
			if time.Now().After(deadline) {
				b.Fatal("the binary does not listen")
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return cmd.Process.Pid
}

// The project of the vendor's published test vectors.
const (
	benchAppID       = "970CA35de60c44645bbae8a215061b33"
	benchCertificate = "5CFd2fd1755d40ecb72977518be15d3b"
)

// joinRequest is a join with a body of a size and a token.
func joinRequest(size int, token string) []byte {
	body := `{"name":"agent","properties":{"channel":"room-1","token":"` + token + `","agent_rtc_uid":"1001","remote_rtc_uids":["1002"],"llm":{"system_messages":[{"content":"`
	body += strings.Repeat("x", size-len(body)-6) + `"}]}}}`
	return fmt.Appendf(nil, "POST /v2/projects/%s/join HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n"+
		"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", benchAppID, len(body), body)
}

// drive sends joins over a number of connections for a time and returns the rate
// of answers per second.
func drive(b *testing.B, address string, request []byte, connections int, d time.Duration) float64 {
	b.Helper()
	var group sync.WaitGroup
	counts := make([]int, connections)
	errs := make([]error, connections)
	start := time.Now()
	deadline := start.Add(d)
	for i := range connections {
		group.Go(func() { counts[i], errs[i] = driveOne(address, request, deadline) })
	}
	group.Wait()
	elapsed := time.Since(start)
	total := 0
	for i := range counts {
		if errs[i] != nil {
			b.Fatal(errs[i])
		}
		total += counts[i]
	}
	return float64(total) / elapsed.Seconds()
}

func driveOne(address string, request []byte, deadline time.Time) (int, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(deadline.Add(20 * time.Second))
	r := bufio.NewReader(conn)
	for n := 0; ; n++ {
		if time.Now().After(deadline) {
			return n, nil
		}
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		status, length, err := readHead(r)
		if err != nil {
			return n, err
		}
		if !strings.Contains(status, " 200 ") {
			return n, fmt.Errorf("answered %q", status)
		}
		if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
			return n, err
		}
	}
}

// readHead reads the first line and the header of a message and returns the line
// and the length of the body.
func readHead(r *bufio.Reader) (first string, length int, err error) {
	if first, err = r.ReadString('\n'); err != nil {
		return "", 0, err
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", 0, err
		}
		if len(line) <= 2 {
			return first, length, nil
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", 0, err
			}
		}
	}
}

// echoUpstream answers every request with a small JSON body, with as little work
// as possible, and returns its address.
func echoUpstream(b *testing.B) string {
	b.Helper()
	l := listen(b)
	b.Cleanup(func() { _ = l.Close() })
	const body = `{"agent_id":"1NT29X10YHxxxxxWJOXLYHNYB","status":"RUNNING"}`
	response := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					_, length, err := readHead(r)
					if err != nil {
						return
					}
					if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
						return
					}
					if _, err := conn.Write(response); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
