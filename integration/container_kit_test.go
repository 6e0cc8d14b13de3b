package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// builtImages are the images that tests share; TestMain removes them.
var builtImages imageSet

type imageSet struct {
	mu   sync.Mutex // guards tags
	tags map[string]string
}

// remove removes the images.
func (s *imageSet) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tag := range s.tags {
		if out, err := exec.Command("docker", "image", "rm", "-f", tag).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "docker image rm %s: %v\n%s", tag, err, out)
		}
	}
}

// buildImage builds an image as users do, once for all tests.
func (l *lab) buildImage(what string) (tag string) {
	l.t.Helper()
	builtImages.mu.Lock()
	defer builtImages.mu.Unlock()
	if tag, ok := builtImages.tags[what]; ok {
		return tag
	}
	tag = l.name + ":" + what
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../deploy/build-image.sh", what, tag)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		l.t.Fatalf("build-image.sh %s: %v\n%s", what, err, excerpt(stderr.String()))
	}
	if got := strings.TrimSpace(stdout.String()); got != tag {
		l.t.Errorf("build-image.sh prints %q and not the tag", got)
	}
	if builtImages.tags == nil {
		builtImages.tags = make(map[string]string)
	}
	builtImages.tags[what] = tag
	return tag
}

// inspect is a field of what docker inspect knows of a container, an image or a
// network.
func (l *lab) inspect(name, format string) string {
	l.t.Helper()
	out, err := l.run("inspect", "--format", format, name)
	if err != nil {
		l.t.Fatalf("docker inspect %s: %v\n%s", name, err, out)
	}
	return out
}

// subnet is the range of a network of the lab's.
func (l *lab) subnet(network string) string {
	l.t.Helper()
	return l.inspect(l.of(network), "{{(index .IPAM.Config 0).Subnet}}")
}

// hostProc is the folder of a container's first process in the host's /proc.
func (l *lab) hostProc(container string) string {
	l.t.Helper()
	pid := l.inspect(container, "{{.State.Pid}}")
	proc := "/proc/" + pid
	if _, err := os.Stat(proc); pid == "0" || err != nil {
		l.t.Fatalf("process %s of %s is not to be seen from here", pid, container)
	}
	return proc
}

// peer runs a dockerpeer in a container of its own to its end, with further
// options of docker run.
func (l *lab) peer(options []string, args ...string) string {
	l.t.Helper()
	return l.peerReading("", options, args...)
}

// peerReading is peer with a standard input.
func (l *lab) peerReading(stdin string, options []string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run := append([]string{"run", "--rm", "--interactive", "--user", "65534:65534", "--cap-drop", "ALL"}, options...)
	cmd := exec.CommandContext(ctx, "docker", append(append(run, l.name, "/dockerpeer"), args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("dockerpeer %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// fetch makes a request from within a network; see dockerpeer.
func (l *lab) fetch(network string, args ...string) string {
	l.t.Helper()
	return l.peer([]string{"--network", l.of(network)}, append([]string{"fetch"}, args...)...)
}

// health waits until the health check of a container says so.
func (l *lab) health(container, want string) {
	l.t.Helper()
	var got string
	waitFor(l.t, container+" to be "+want, func() bool {
		got = l.inspect(container, "{{.State.Health.Status}} {{.State.Status}}")
		if strings.HasSuffix(got, "exited") {
			l.t.Fatalf("%s has ended", container)
		}
		return strings.HasPrefix(got, want+" ")
	})
}

// listening are the TCP ports that are listened on in the network namespace of a
// process, without those of Docker's own resolver.
func listening(t *testing.T, proc string) (ports []int) {
	t.Helper()
	const listen, resolver = "0A", "0B00007F"
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, "net", table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != listen || strings.HasPrefix(fields[1], resolver) {
				continue
			}
			_, port, _ := strings.Cut(fields[1], ":")
			number, err := hex.DecodeString(port)
			if err != nil {
				t.Fatalf("%s: %v", table, err)
			}
			ports = append(ports, int(number[0])<<8|int(number[1]))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

var resident = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB$`)

// residentKiB is the memory of a process that is in RAM.
func residentKiB(t *testing.T, proc string) int {
	t.Helper()
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.Atoi(string(resident.FindSubmatch(status)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// adminSocket is the path, as this host sees it, of the one socket in a container's
// /run/convoai.
func adminSocket(t *testing.T, proc string) string {
	t.Helper()
	found, err := filepath.Glob(proc + "/root/run/convoai/*")
	if err != nil || len(found) != 1 {
		t.Fatalf("in /run/convoai are %q (%v)", found, err)
	}
	return found[0]
}

// files are the regular files in a container's file system, and the folders in
// which there are none, without what Docker puts there.
func (l *lab) files(container string) []string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", "export", container)
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	var all []string
	archive := tar.NewReader(out)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, header.Name)
	}
	if err := cmd.Wait(); err != nil {
		l.t.Fatalf("docker export: %v", err)
	}
	docker := regexp.MustCompile(`^(\.dockerenv|dev/|proc/|sys/|etc/(hosts|hostname|resolv\.conf|mtab)$)`)
	return slices.DeleteFunc(all, func(name string) bool {
		return docker.MatchString(name) || slices.ContainsFunc(all, func(other string) bool {
			return other != name && strings.HasPrefix(other, name) && !docker.MatchString(other)
		})
	})
}
