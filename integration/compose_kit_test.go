package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// composition is what deploy/compose.sh has started.
type composition struct {
	*lab
	env     []string
	app     string // of its images
	network string // where the application's addresses begin
}

// compose starts deploy/compose.yaml under a name of its own, with images that are
// not there yet, and more variables.
func (l *lab) compose(env []string, up ...string) *composition {
	l.t.Helper()
	if exec.Command("docker", "compose", "version").Run() != nil && exec.Command("docker-compose", "version").Run() != nil {
		l.t.Skip("neither docker compose nor docker-compose is installed")
	}
	b := make([]byte, 1)
	_, _ = rand.Read(b)
	c := &composition{lab: l, app: l.name + ":example-app", network: fmt.Sprintf("10.213.%d", b[0])}
	c.env = append(os.Environ(), append(env,
		"COMPOSE_PROJECT_NAME="+l.name, "COMPOSE_INTERACTIVE_NO_CLI=1",
		"CONVOAI_IMAGE="+l.name+":compose", "CONVOAI_APP_IMAGE="+c.app,
		"CONVOAI_APP_NETWORK="+c.network, "AGORA_APP_ID_FILE=", "AGORA_APP_CERTIFICATE_FILE=",
	)...)
	l.t.Cleanup(func() {
		for _, image := range []string{l.name + ":compose", c.app} {
			l.remove("image", "rm", "-f", image)
		}
	})
	l.t.Cleanup(c.down)
	if out, err := c.script(up...); err != nil {
		l.t.Fatalf("compose.sh %s: %v\n%s", strings.Join(up, " "), err, excerpt(out))
	}
	return c
}

// script runs deploy/compose.sh to its end.
func (c *composition) script(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../deploy/compose.sh", args...)
	cmd.Env, cmd.WaitDelay = c.env, time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// down ends all of it, and sees that nothing is left.
func (c *composition) down() {
	if c.t.Failed() {
		out, _ := c.script("unchanged", "logs", "--no-color", "convoai", "vendor")
		c.t.Logf("convoai and vendor:\n%s", excerpt(out))
	}
	if out, err := c.script("unchanged", "down", "--volumes", "--timeout", "5"); err != nil {
		c.t.Errorf("compose.sh down: %v\n%s", err, out)
	}
	for _, list := range [][]string{{"ps", "--all"}, {"network", "ls"}, {"volume", "ls"}} {
		if out, err := c.run(append(list, "--quiet", "--filter", "label=com.docker.compose.project="+c.name)...); err != nil || out != "" {
			c.t.Errorf("docker %s after the end: %q, %v", list[0], out, err)
		}
	}
}

// container is the ID of a service's container.
func (c *composition) container(service string) string {
	c.t.Helper()
	cmd := exec.Command("docker", "ps", "--all", "--quiet", "--no-trunc",
		"--filter", "label=com.docker.compose.project="+c.name, "--filter", "label=com.docker.compose.service="+service)
	out, err := cmd.Output()
	id := strings.TrimSpace(string(out))
	if err != nil || id == "" || strings.Contains(id, "\n") {
		c.t.Fatalf("containers of %s: %q, %v", service, id, err)
	}
	return id
}

// networkOf is a network's name for Docker.
func (c *composition) networkOf(network string) string { return c.name + "_" + network }

// addressIn is the address of a service in a network.
func (c *composition) addressIn(network, service string) string {
	c.t.Helper()
	return c.inspect(c.container(service), fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", c.networkOf(network)))
}

// logsOf is what a service has printed.
func (c *composition) logsOf(service string) string {
	c.t.Helper()
	return c.printed(c.container(service))
}

// printed is what a container has printed.
func (l *lab) printed(container string) string {
	l.t.Helper()
	out, err := l.run("logs", container)
	if err != nil {
		l.t.Fatalf("docker logs: %v\n%s", err, excerpt(out))
	}
	return out
}

// appCall is a line of the application.
type appCall struct {
	Time         time.Time
	Round        int
	Step         string
	Status       int
	AgentID      string `json:"agent_id"`
	Reason       string
	Tries        int
	Milliseconds int64 `json:"ms"`
}

func (a appCall) String() string {
	return fmt.Sprintf("round %d, %s: %d %s after %d tries and %d ms", a.Round, a.Step, a.Status, a.Reason, a.Tries, a.Milliseconds)
}

// appCalls are the calls of an application that ended after a moment.
func (c *composition) appCalls(service string, moment time.Time) []appCall {
	c.t.Helper()
	return c.callsOf(c.container(service), moment)
}

// callsOf is appCalls for a container.
func (l *lab) callsOf(container string, moment time.Time) (calls []appCall) {
	l.t.Helper()
	for line := range strings.Lines(l.printed(container)) {
		var a appCall
		if json.Unmarshal([]byte(line), &a) == nil && a.Step != "" && a.Time.After(moment) {
			calls = append(calls, a)
		}
	}
	return calls
}

// loaded is a call of a load, see dockerpeer.
type loaded struct {
	Began     time.Time
	Operation string
	Tries     int
	Status    int
	Reason    string
	Without   time.Duration
}

// startLoad has a container make calls from the application's network.
func (c *composition) startLoad(name string, args ...string) (container string) {
	c.t.Helper()
	container = c.of(name)
	c.t.Cleanup(func() { c.remove("rm", "-f", container) })
	c.docker(append([]string{"run", "--detach", "--name", container, "--network", c.networkOf("app"), "--add-host", "convoai:" + c.network + ".14", "--user", "65534:65534", c.name, "/dockerpeer", "load"}, args...)...)
	return container
}

// loads are the calls of a load so far.
func (c *composition) loads(container string) (calls []loaded) {
	c.t.Helper()
	cmd := exec.Command("docker", "logs", container)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("docker logs: %v", err)
	}
	for line := range strings.Lines(stdout.String()) {
		var call loaded
		if err := json.Unmarshal([]byte(line), &call); err == nil {
			calls = append(calls, call)
		}
	}
	return calls
}

// endOfLoad waits for the end of a load.
func (c *composition) endOfLoad(container string) []loaded {
	c.t.Helper()
	waitFor(c.t, "the end of the load", func() bool { return c.inspect(container, "{{.State.Status}}") == "exited" })
	return c.loads(container)
}

// kill kills the first process of a service's container as nobody asks for: for
// Docker it has crashed, while docker kill would be taken for a wish that it end.
func (c *composition) kill(service string) {
	c.t.Helper()
	proc := c.hostProc(c.container(service))
	line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || !slices.Contains(strings.Split(string(line), "\x00"), "convoai") {
		c.t.Fatalf("%s is not the sidecar: %q, %v", proc, line, err)
	}
	pid, err := strconv.Atoi(filepath.Base(proc))
	if err != nil {
		c.t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		c.t.Fatal(err)
	}
}

// count counts lines that contain a text.
func count(text, part string) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}
