package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// manifest is what matters here of a Deployment. That it is one of Kubernetes' is
// tested in deploy/kubernetes/validate.
type manifest struct {
	Spec struct {
		Template struct {
			Spec struct {
				InitContainers []kubeContainer `yaml:"initContainers"`
				Containers     []kubeContainer `yaml:"containers"`
				Volumes        []kubeVolume    `yaml:"volumes"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type kubeContainer struct {
	Name string `yaml:"name"`
	Args []string
	Env  []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
	Ports []struct {
		Name          string `yaml:"name"`
		ContainerPort int    `yaml:"containerPort"`
	} `yaml:"ports"`
	StartupProbe   *kubeProbe `yaml:"startupProbe"`
	LivenessProbe  *kubeProbe `yaml:"livenessProbe"`
	ReadinessProbe *kubeProbe `yaml:"readinessProbe"`
	Resources      struct {
		Limits struct {
			Memory string `yaml:"memory"`
		} `yaml:"limits"`
	} `yaml:"resources"`
	SecurityContext struct {
		RunAsUser              int  `yaml:"runAsUser"`
		ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type kubeProbe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
}

type kubeVolume struct {
	Name   string `yaml:"name"`
	Secret *struct {
		DefaultMode os.FileMode `yaml:"defaultMode"`
		Items       []struct {
			Key  string `yaml:"key"`
			Path string `yaml:"path"`
		} `yaml:"items"`
	} `yaml:"secret"`
	EmptyDir *struct {
		Medium string `yaml:"medium"`
	} `yaml:"emptyDir"`
}

func readManifest(t *testing.T, name string) (m manifest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../deploy/kubernetes", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// options are what of a container's manifest Docker can do: everything but the
// probes and the reservations.
func (c *kubeContainer) options(t *testing.T, volumes []kubeVolume, secret map[string]string) (options []string) {
	t.Helper()
	if !c.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("%s may write to its root file system", c.Name)
	}
	memory, ok := strings.CutSuffix(c.Resources.Limits.Memory, "Mi")
	if !ok {
		t.Fatalf("%s has a limit of %q", c.Name, c.Resources.Limits.Memory)
	}
	options = append(options, "--user", strconv.Itoa(c.SecurityContext.RunAsUser), "--memory", memory+"m", "--no-healthcheck")
	for _, variable := range c.Env {
		options = append(options, "--env", variable.Name+"="+variable.Value)
	}
	for _, m := range c.VolumeMounts {
		at := slices.IndexFunc(volumes, func(v kubeVolume) bool { return v.Name == m.Name })
		if at < 0 {
			t.Fatalf("%s mounts %s, which is not there", c.Name, m.Name)
		}
		switch volume := volumes[at]; {
		case volume.Secret != nil:
			options = append(options, "--volume", writeSecret(t, volume, secret)+":"+m.MountPath+":ro")
		case volume.EmptyDir != nil && volume.EmptyDir.Medium == "Memory":
			options = append(options, "--tmpfs", m.MountPath+":mode=0777")
		default:
			t.Fatalf("volume %s is of another kind", volume.Name)
		}
	}
	return options
}

// writeSecret writes the files of a secret as kubelets do: in a folder of their own,
// behind links, so that all of them change at once.
func writeSecret(t *testing.T, volume kubeVolume, values map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const version, current = "..2026_01_01", "..data"
	if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(version, filepath.Join(dir, current)); err != nil {
		t.Fatal(err)
	}
	for _, item := range volume.Secret.Items {
		file := filepath.Join(dir, version, item.Path)
		writeFile(t, file, values[item.Key])
		if err := os.Chmod(file, volume.Secret.DefaultMode); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(current, item.Path), filepath.Join(dir, item.Path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The manifests of a pod, as Docker can run them: two containers in one network
// namespace, with the users, files, variables and limits that are written there.
// Only the vendor is another one.
func TestDockerKubernetesPod(t *testing.T) {
	l := newPeers(t, "region-a")
	image, application := l.buildImage("slim"), l.buildImage("example-app")
	pod, base := readManifest(t, "sidecar/sidecar.yaml"), readManifest(t, "base/application.yaml")
	if len(pod.Spec.Template.Spec.InitContainers) != 1 || len(base.Spec.Template.Spec.Containers) != 1 {
		t.Fatal("the manifests have other containers than the sidecar and the application")
	}
	sidecar, app := pod.Spec.Template.Spec.InitContainers[0], base.Spec.Template.Spec.Containers[0]
	volumes := pod.Spec.Template.Spec.Volumes
	secret := map[string]string{"app_id": appA, "app_certificate": certificateA}

	vendor := l.vendor()
	l.createFrom(image, "sidecar", []string{"vendor"}, append(sidecar.options(t, volumes, secret), vendor...), sidecar.Args...)
	l.start("sidecar")
	port := func(name string) int {
		for _, p := range sidecar.Ports {
			if p.Name == name {
				return p.ContainerPort
			}
		}
		t.Fatalf("the sidecar has no port %q", name)
		return 0
	}
	// From another container, as kubelets ask from outside of the pod.
	for _, probe := range []*kubeProbe{sidecar.StartupProbe, sidecar.LivenessProbe, sidecar.ReadinessProbe} {
		if probe == nil {
			t.Fatal("a probe is missing")
		}
		url := fmt.Sprintf("http://sidecar:%d%s", port(probe.HTTPGet.Port), probe.HTTPGet.Path)
		waitFor(t, url, func() bool {
			out, err := l.run("run", "--rm", "--network", l.of("vendor"), l.name, "/dockerpeer", "fetch", "GET", url)
			return err == nil && strings.HasPrefix(out, "200 ")
		})
	}
	proc := l.hostProc(l.of("sidecar"))
	if ports := listening(t, proc); !slices.Equal(ports, []int{8080, port(sidecar.LivenessProbe.HTTPGet.Port)}) {
		t.Errorf("the pod listens at %v", ports)
	}
	if out := l.peer([]string{"--network", l.of("vendor")}, "dial", "sidecar:8080"); strings.Contains(out, ": connected") {
		t.Errorf("other pods get to the sidecar: %s", out)
	}
	adminSocket(t, proc)

	l.docker(append(append([]string{
		"run", "--detach", "--name", l.of("app"), "--network", "container:" + l.of("sidecar"), "--read-only", "--cap-drop", "ALL",
		"--env", "EXAMPLE_PAUSE=100ms",
	}, app.options(t, volumes, secret)...), application)...)
	t.Cleanup(func() { l.remove("rm", "-f", l.of("app")) })
	waitFor(t, "a round of the application", func() bool {
		return slices.ContainsFunc(l.callsOf(l.of("app"), time.Time{}), func(a appCall) bool { return a.Step == "stop" })
	})
	for _, call := range l.callsOf(l.of("app"), time.Time{}) {
		if call.Status != 200 {
			t.Errorf("%s", call)
		}
	}
	out := l.peerReading(certificateA, []string{"--network", "none", "--pid", "container:" + l.of("app"), "--user", strconv.Itoa(app.SecurityContext.RunAsUser)}, "search")
	if strings.Contains(out, "found in") || !strings.Contains(out, "looked at") {
		t.Errorf("in the application's container: %s", out)
	}
	if found, err := filepath.Glob(l.hostProc(l.of("app")) + "/root/run/convoai/*"); err != nil || len(found) > 0 {
		t.Errorf("the application can get at the admin API: %q, %v", found, err)
	}
}
