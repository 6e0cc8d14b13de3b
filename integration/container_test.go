package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What the documentation says of the image.
const (
	maxImageBytes   = 48_000_000
	maxIdleKiB      = 40 << 10
	containerMemory = 64 << 20
)

// sandboxed are the options that the documentation has for a sidecar.
var sandboxed = []string{
	"--tmpfs", "/run/convoai", "--memory", strconv.Itoa(containerMemory), "--cpus", "0.5", "--pids-limit", "128", "--health-interval", "1s",
}

// mount writes a file that all may read, and returns the options that have it in a
// container.
func mount(t *testing.T, target, content string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, content)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--volume", file + ":" + target + ":ro"}
}

// vendor starts a simulated vendor, region-a, on a network of its name and returns
// the options of a sidecar that calls it.
func (l *lab) vendor() []string {
	l.t.Helper()
	l.network("vendor")
	l.create("region-a", []string{"vendor"}, "/dockerpeer", "upstream", "--name", "region-a", "--certificate", "/tls/certificate.pem", "--key", "/tls/key.pem")
	l.start("region-a")
	return []string{
		"--env", "CONVOAI_UPSTREAM=https://region-a:8443", "--env", "CONVOAI_UPSTREAM_PRIVATE=true",
		"--env", "CONVOAI_UPSTREAM_CA=/tls/ca.pem", "--volume", filepath.Join(l.dir, "ca.pem") + ":/tls/ca.pem:ro",
	}
}

// The image as it is, with what has to be said to it and nothing else: it serves
// whom it is told to, is small, is checked, and has one way in.
func TestDockerImage(t *testing.T) {
	l := newPeers(t, "region-a")
	image := l.buildImage("slim")
	l.network("app")
	l.network("others")
	options := slices.Concat(sandboxed, l.vendor(), mount(t, "/run/secrets/certificate", certificateA+"\n"), []string{
		"--env", "AGORA_APP_ID=" + appA, "--env", "AGORA_APP_CERTIFICATE_FILE=/run/secrets/certificate",
		"--env", "CONVOAI_ALLOW_HOST=sidecar", "--env", "CONVOAI_ALLOW_FROM=" + l.subnet("app"),
	})
	l.createFrom(image, "sidecar", []string{"app", "others", "vendor"}, options)
	l.start("sidecar")
	sidecar := l.of("sidecar")
	l.health(sidecar, "healthy")
	proc := l.hostProc(sidecar)

	t.Run("is small", func(t *testing.T) {
		size, err := strconv.Atoi(l.inspect(image, "{{.Size}}"))
		if err != nil {
			t.Fatal(err)
		}
		kib := residentKiB(t, proc)
		t.Logf("image %.1f MB, idle %.1f MiB", float64(size)/1e6, float64(kib)/1024)
		if size > maxImageBytes {
			t.Errorf("the image has %d bytes", size)
		}
		if kib > maxIdleKiB {
			t.Errorf("idle it takes %d KiB", kib)
		}
	})
	t.Run("holds the binary and the CAs", func(t *testing.T) {
		want := []string{"data/", "etc/ssl/certs/ca-certificates.crt", "run/convoai/", "usr/bin/caddy"}
		// Where something is mounted, Docker makes a file or a folder.
		got := slices.DeleteFunc(l.files(sidecar), func(name string) bool { return name == "run/secrets/certificate" || name == "tls/ca.pem" })
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("in the image are %q", got)
		}
	})
	t.Run("is not root", func(t *testing.T) {
		status, err := os.ReadFile(proc + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`(?m)^Uid:\s+65534\s+65534\s+65534\s+65534$`, `(?m)^Gid:\s+65534\s+65534\s+65534\s+65534$`, `(?m)^CapEff:\s+0+$`} {
			if !regexp.MustCompile(want).Match(status) {
				t.Errorf("its status has no %s", want)
			}
		}
	})
	t.Run("listens at one port", func(t *testing.T) {
		if ports := listening(t, proc); !slices.Equal(ports, []int{8080}) {
			t.Errorf("it listens at %v", ports)
		}
	})
	t.Run("has its admin API on a socket of its own", func(t *testing.T) {
		info, err := os.Lstat(adminSocket(t, proc))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("its mode is %s", info.Mode())
		}
	})
	t.Run("keeps to its memory", func(t *testing.T) {
		_, metrics := overSocket(t, adminSocket(t, proc), "GET", "/metrics")
		want := float64(containerMemory) * 9 / 10
		if got := metricValue(metrics, "go_gc_gomemlimit_bytes"); got < want-1 || got > want {
			t.Errorf("the soft limit is %.0f, not %.0f", got, want)
		}
	})
	t.Run("serves whom it is told to", func(t *testing.T) {
		const call = "http://sidecar:8080/v2/projects/_/agents"
		if got := l.fetch("app", "GET", call); !strings.HasPrefix(got, "200 ") {
			t.Errorf("from the named network: %s", got)
		}
		if got := l.fetch("others", "GET", call); !strings.HasPrefix(got, "403 PeerNotAllowed") {
			t.Errorf("from another network: %s", got)
		}
	})
	t.Run("is unhealthy without the vendor", func(t *testing.T) {
		l.docker("stop", "--time", "1", l.of("region-a"))
		l.health(sidecar, "unhealthy")
		if said := l.inspect(sidecar, "{{range .State.Health.Log}}{{.Output}}{{end}}"); !strings.Contains(said, "no host can be reached") {
			t.Errorf("the health check says %q", said)
		}
	})
}

// metricValue is the value of a metric without labels; 0 if there is none.
func metricValue(text, name string) float64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			number, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return number
		}
	}
	return 0
}

// A sidecar that is told of no callers serves none, though it can be reached.
func TestDockerImageWithoutCallersServesNobody(t *testing.T) {
	l := newPeers(t, "region-a")
	image := l.buildImage("slim")
	l.network("app")
	options := slices.Concat(sandboxed, l.vendor(), []string{
		"--env", "AGORA_APP_ID=" + appA, "--env", "AGORA_APP_CERTIFICATE=" + certificateA, "--env", "CONVOAI_ALLOW_HOST=sidecar",
	})
	l.createFrom(image, "sidecar", []string{"app", "vendor"}, options)
	l.start("sidecar")
	l.health(l.of("sidecar"), "healthy")
	if got := l.fetch("app", "GET", "http://sidecar:8080/v2/projects/_/agents"); !strings.HasPrefix(got, "403 PeerNotAllowed") {
		t.Errorf("it answers %s", got)
	}
}

// With a Caddyfile that says nothing of an admin API, Caddy would have one at a
// TCP port. In the image it is the same socket as without a Caddyfile, and the
// health check finds it. The root file system can be read-only here, too.
func TestDockerImageWithACaddyfile(t *testing.T) {
	l := newPeers(t, "region-a")
	l.network("app")
	vendor := l.vendor()
	caddyfile := fmt.Sprintf(`{
	persist_config off
	convoai {
		app_id          {env.AGORA_APP_ID}
		app_certificate {file./run/secrets/certificate}
	}
}

http://:8080 {
	convoai {
		upstream         https://region-a:8443
		upstream_private on
		allow_host       sidecar
		allow_from       %s
		transport http {
			tls_trust_pool file /tls/ca.pem
		}
	}
}
`, l.subnet("app"))
	for _, variant := range []string{"slim", "full"} {
		t.Run(variant, func(t *testing.T) {
			image := l.buildImage(variant)
			options := slices.Concat(sandboxed, vendor, mount(t, "/run/secrets/certificate", certificateA+"\n"), mount(t, "/etc/caddy/Caddyfile", caddyfile),
				[]string{"--env", "AGORA_APP_ID=" + appA})
			name := "sidecar-" + variant
			l.createFrom(image, name, []string{"app", "vendor"}, append(options, "--network-alias", "sidecar"), "run", "--config", "/etc/caddy/Caddyfile")
			l.start(name)
			l.health(l.of(name), "healthy")
			proc := l.hostProc(l.of(name))
			if got := l.fetch("app", "GET", "http://sidecar:8080/v2/projects/_/agents"); !strings.HasPrefix(got, "200 ") {
				t.Errorf("it answers %s", got)
			}
			if ports := listening(t, proc); !slices.Equal(ports, []int{8080}) {
				t.Errorf("it listens at %v", ports)
			}
			if socket := adminSocket(t, proc); filepath.Base(socket) != "admin.sock" {
				t.Errorf("the admin API is at %s", filepath.Base(socket))
			}
			// By the socket, which is not named here either.
			l.docker("exec", l.of(name), "caddy", "reload", "--force", "--config", "/etc/caddy/Caddyfile")
			l.docker("stop", "--time", "20", l.of(name))
			if status := l.inspect(l.of(name), "{{.State.ExitCode}}"); status != "0" {
				t.Errorf("stopped, it ends with status %s", status)
			}
		})
	}
}

// The same image is the token server.
func TestDockerImageAsTokenServer(t *testing.T) {
	l := newPeers(t, "tokens")
	image := l.buildImage("slim")
	l.network("app")
	options := slices.Concat(sandboxed, mount(t, "/run/secrets/certificate", certificateA+"\n"), []string{
		"--env", "APP_ID=" + appA, "--env", "APP_CERTIFICATE_FILE=/run/secrets/certificate",
		"--env", "CONVOAI_ALLOW_CHANNELS=room-*", "--env", "CONVOAI_ALLOW_ACCOUNTS=*",
	})
	l.createFrom(image, "tokens", []string{"app"}, options, "convoai", "token-server")
	l.start("tokens")
	l.health(l.of("tokens"), "healthy")
	if got := l.fetch("app", "POST", "http://tokens:8080/token", `{"kind":"rtc","channel":"room-7","uid":42}`); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"token":"007`) {
		t.Errorf("what is granted: %s", got)
	}
	if got := l.fetch("app", "POST", "http://tokens:8080/token", `{"kind":"rtc","channel":"hall","uid":42}`); !strings.HasPrefix(got, "403 NotAllowed") {
		t.Errorf("what is not granted: %s", got)
	}
}
