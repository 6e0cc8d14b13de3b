package integration

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/simulator"
)

// callLines are what dockerpeer prints of calls.
var callLines = regexp.MustCompile(`(?m)^\{"(operation|began)".*\n?`)

// lab is what a test has of Docker: one image, internal networks, containers.
// Their names begin with the lab's, and they end with the test.
type lab struct {
	t    *testing.T
	name string // also of the image with the peers
	dir  string // where ca.pem is
}

// dockerfile needs no registry.
const dockerfile = `FROM scratch
COPY bin /
COPY *.pem /tls/
`

// askDocker skips a test where Docker is not wanted or does not answer, and gives
// the lab its name.
func askDocker(t *testing.T) *lab {
	t.Helper()
	if os.Getenv("CONVOAI_DOCKER") != "1" {
		t.Skip("Docker tests run with CONVOAI_DOCKER=1")
	}
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("docker is not installed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Output(); err != nil {
		t.Skipf("the Docker daemon does not answer: %v %s", err, out)
	}

	id := make([]byte, 4)
	_, _ = rand.Read(id)
	return &lab{t: t, name: "convoai-test-" + hex.EncodeToString(id)}
}

// newLab builds the image, in which are dockerpeer, a certificate for hosts, and
// caddy.
func newLab(t *testing.T, hosts ...string) *lab {
	t.Helper()
	return askDocker(t).build(hosts, "./dockerpeer", "../cmd/caddy")
}

// newPeers is newLab without caddy.
func newPeers(t *testing.T, hosts ...string) *lab {
	t.Helper()
	return askDocker(t).build(hosts, "./dockerpeer")
}

// build builds the image with the programs of packages.
func (l *lab) build(hosts []string, packages ...string) *lab {
	l.t.Helper()
	l.dir = l.t.TempDir()
	writeFile(l.t, filepath.Join(l.dir, "Dockerfile"), dockerfile)
	l.certify(l.dir, hosts)
	bin := filepath.Join(l.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		l.t.Fatal(err)
	}
	build := exec.Command("go", append([]string{"build", "-ldflags", "-s -w", "-o", bin}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		l.t.Fatalf("building: %v\n%s", err, out)
	}
	l.t.Cleanup(func() { l.remove("image", "rm", "-f", l.name) })
	l.docker("build", "-q", "-t", l.name, l.dir)
	return l
}

// certify writes a certificate, its key and its CA, for users of any ID: they are
// worth nothing.
func (l *lab) certify(dir string, hosts []string) {
	l.t.Helper()
	certificate, ca, err := simulator.Certificate(hosts...)
	if err != nil {
		l.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		l.t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"ca.pem":          ca,
		"certificate.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		"key.pem":         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		path := filepath.Join(dir, name)
		writeFile(l.t, path, string(content))
		if err := os.Chmod(path, 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
}

// run runs docker to its end.
func (l *lab) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (l *lab) docker(args ...string) {
	l.t.Helper()
	if out, err := l.run(args...); err != nil {
		l.t.Fatalf("docker %s: %v\n%s", strings.Join(args[:2], " "), err, excerpt(out))
	}
}

// remove is docker for what must be removed even after a failure.
func (l *lab) remove(args ...string) {
	if out, err := l.run(args...); err != nil {
		l.t.Errorf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// of is the name of a network or container for Docker.
func (l *lab) of(name string) string { return l.name + "-" + name }

// network makes a network from which nothing leads out.
func (l *lab) network(name string) {
	l.t.Helper()
	l.t.Cleanup(func() { l.remove("network", "rm", l.of(name)) })
	l.docker("network", "create", "--internal", l.of(name))
}

// attach connects a container to a network, where it has an alias.
func (l *lab) attach(container, network, alias string) {
	l.t.Helper()
	l.docker("network", "connect", "--alias", alias, l.of(network), l.of(container))
}

// detach cuts a container off from a network.
func (l *lab) detach(container, network string) {
	l.t.Helper()
	l.docker("network", "disconnect", l.of(network), l.of(container))
}

// create makes a container of the peers' image without any privilege, with its name
// as its alias in the networks.
func (l *lab) create(name string, networks []string, command ...string) {
	l.t.Helper()
	l.createFrom(l.name, name, networks, []string{
		"--tmpfs", "/tmp", "--user", "65534:65534",
		"--env", "AGORA_APP_ID=" + appA, "--env", "AGORA_APP_CERTIFICATE=" + certificateA,
	}, command...)
}

// createFrom makes a container of an image, with options, in the manner of create.
func (l *lab) createFrom(image, name string, networks, options []string, command ...string) {
	l.t.Helper()
	args := []string{
		"create", "--name", l.of(name), "--network", l.of(networks[0]), "--network-alias", name,
		"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
	}
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("%s:\n%s", name, excerpt(callLines.ReplaceAllString(l.logs(name), "")))
		}
		l.remove("rm", "-f", "-v", l.of(name))
	})
	args = append(append(args, options...), image)
	l.docker(append(args, command...)...)
	for _, network := range networks[1:] {
		l.attach(name, network, name)
	}
}

func (l *lab) start(name string) {
	l.t.Helper()
	l.docker("start", l.of(name))
}

// logs is all that a container has written.
func (l *lab) logs(name string) string {
	out, err := l.run("logs", l.of(name))
	if err != nil {
		l.t.Errorf("docker logs %s: %v", name, err)
	}
	return out
}

// outcome is a call as a client has seen it; see dockerpeer.
type outcome struct {
	Began                              time.Time
	Took                               time.Duration
	Sidecar, Operation, Name, Upstream string
	Status                             int
	Reason                             string
}

// crowd is a client container that makes calls all the time.
type crowd struct {
	mu       sync.Mutex // guards outcomes
	outcomes []outcome

	stop func() // ends the calls and waits for the last
}

// crowd starts a client that calls sidecars.
func (l *lab) crowd(network string, sidecars ...string) *crowd {
	l.t.Helper()
	l.create("client", []string{network}, append([]string{"/dockerpeer", "client"}, sidecars...)...)
	cmd := exec.Command("docker", "start", "--attach", l.of("client"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	c := new(crowd)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read(out)
		_ = cmd.Wait()
	}()
	c.stop = sync.OnceFunc(func() {
		_, _ = l.run("stop", "--time", "30", l.of("client"))
		select {
		case <-ended:
		case <-time.After(patience):
			l.t.Error("docker start --attach does not end")
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	l.t.Cleanup(c.stop)
	return c
}

func (c *crowd) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var o outcome
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			continue
		}
		c.mu.Lock()
		c.outcomes = append(c.outcomes, o)
		c.mu.Unlock()
	}
}

// since are the outcomes of calls that began after a moment, in the order in
// which they ended.
func (c *crowd) since(moment time.Time) []outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []outcome
	for _, o := range c.outcomes {
		if o.Began.After(moment) {
			list = append(list, o)
		}
	}
	return list
}

// arrivals are how often each join came to the upstreams.
func (l *lab) arrivals(upstreams ...string) map[string]int {
	l.t.Helper()
	joins := make(map[string]int)
	for _, upstream := range upstreams {
		for line := range strings.Lines(l.logs(upstream)) {
			var a struct{ Operation, Name string }
			if json.Unmarshal([]byte(line), &a) == nil && a.Operation == "join" {
				joins[a.Name]++
			}
		}
	}
	return joins
}
