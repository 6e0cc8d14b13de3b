package validate

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// built is what Kustomize makes of a folder, each object as its API type.
type built struct {
	deployments []apps.Deployment
	services    []core.Service
	configs     []core.ConfigMap
	policies    []networking.NetworkPolicy
	budgets     []policy.PodDisruptionBudget
}

// build runs Kustomize and decodes strictly: a field that the API does not have, or
// that is there twice, is an error.
func build(t *testing.T, folder string) built {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	made, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	var b built
	for _, resource := range made.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		kind := resource.GetApiVersion() + " " + resource.GetKind()
		switch kind {
		case "apps/v1 Deployment":
			b.deployments = decode(t, text, b.deployments)
		case "v1 Service":
			b.services = decode(t, text, b.services)
		case "v1 ConfigMap":
			b.configs = decode(t, text, b.configs)
		case "networking.k8s.io/v1 NetworkPolicy":
			b.policies = decode(t, text, b.policies)
		case "policy/v1 PodDisruptionBudget":
			b.budgets = decode(t, text, b.budgets)
		default:
			t.Errorf("%s: a kind that nobody checks", kind)
		}
	}
	return b
}

func decode[T any](t *testing.T, text []byte, list []T) []T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	return append(list, object)
}

// Should strictness be lost, nothing above would notice.
func TestDecodingIsStrict(t *testing.T) {
	for _, text := range []string{"spec: {replica: 1}", "spec: {replicas: 1, replicas: 2}", "spec: {replicas: many}"} {
		if err := yaml.UnmarshalStrict([]byte(text), new(apps.Deployment)); err == nil {
			t.Errorf("%s passes for a Deployment", text)
		}
	}
}

func TestSidecarIsNative(t *testing.T) {
	pod := onlyPod(t, build(t, "../base"))
	if len(pod.InitContainers) != 1 || len(pod.Containers) != 1 {
		t.Fatalf("%d init containers and %d containers, want one of each", len(pod.InitContainers), len(pod.Containers))
	}
	sidecar := pod.InitContainers[0]
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Error("the sidecar is no native one: restartPolicy is not Always")
	}
	if sidecar.StartupProbe == nil {
		t.Error("without startupProbe, the application starts before the sidecar serves")
	}
	if listen := variable(sidecar, "CONVOAI_LISTEN"); listen != "127.0.0.1:8080" {
		t.Errorf("the sidecar listens on %q: other pods need not reach it", listen)
	}
	if base := variable(pod.Containers[0], "AGORA_AGENTS_API_BASE_URL"); base != "http://127.0.0.1:8080" {
		t.Errorf("the application calls %q", base)
	}
	checkSidecar(t, sidecar)
}

func TestApplicationGetsNoSecret(t *testing.T) {
	pod := onlyPod(t, build(t, "../base"))
	secrets := map[string]bool{}
	for _, volume := range pod.Volumes {
		if volume.Secret != nil {
			secrets[volume.Name] = true
		}
	}
	if len(secrets) != 1 || len(mountsOf(pod.InitContainers[0], secrets)) != 1 {
		t.Fatal("the sidecar does not mount the one secret that there is")
	}
	for _, application := range pod.Containers {
		if mounts := mountsOf(application, secrets); len(mounts) > 0 {
			t.Errorf("%s mounts %s", application.Name, mounts)
		}
		for _, source := range application.EnvFrom {
			if source.SecretRef != nil {
				t.Errorf("%s has a secret in its environment", application.Name)
			}
		}
		for _, v := range application.Env {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
				t.Errorf("%s has a secret in %s", application.Name, v.Name)
			}
		}
	}
	if pod.ShareProcessNamespace == nil || *pod.ShareProcessNamespace {
		t.Error("with a shared process namespace the application can read the sidecar's files")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("with a service account the application may read the secret from the API")
	}
}

func TestSidecarGoesIntoDeploymentsWithItsLabelAlone(t *testing.T) {
	dir := t.TempDir()
	component, err := filepath.Abs("../sidecar")
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(dir, "base")
	if err := os.Mkdir(base, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "sidecar"), os.DirFS(component)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(base, "kustomization.yaml"), "resources: [all.yaml]\ncomponents: [../sidecar]\n")
	const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, labels: {LABEL: sidecar}}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      initContainers: [{name: migrate, image: i}]
      containers: [{name: app, image: i}]
      volumes: [{name: data, emptyDir: {}}]
---`
	write(t, filepath.Join(base, "all.yaml"),
		strings.NewReplacer("NAME", "with", "LABEL", "convoai").Replace(deployment)+strings.NewReplacer("NAME", "without", "LABEL", "other").Replace(deployment))
	b := build(t, base)
	if len(b.deployments) != 2 {
		t.Fatalf("%d deployments", len(b.deployments))
	}
	for _, d := range b.deployments {
		pod, want := d.Spec.Template, d.Name == "with"
		names := func(c core.Container) bool { return c.Name == "convoai" }
		if got := slices.ContainsFunc(pod.Spec.InitContainers, names); got != want {
			t.Errorf("%s: sidecar %v, want %v", d.Name, got, want)
		}
		if got := pod.Labels["convoai"] == "sidecar"; got != want {
			t.Errorf("%s: the policy's label %v, want %v", d.Name, got, want)
		}
		if pod.Labels["app"] != d.Name || !slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.Name == "data" }) ||
			!slices.ContainsFunc(pod.Spec.InitContainers, func(c core.Container) bool { return c.Name == "migrate" }) {
			t.Errorf("%s: something of its own has gone", d.Name)
		}
	}
}

func TestGatewayAloneIsLetOut(t *testing.T) {
	b := build(t, "../gateway")
	pod := onlyPod(t, b)
	checkSidecar(t, pod.Containers[0])
	labels := b.deployments[0].Spec.Template.Labels
	gateway, client := policyFor(t, b, labels), policyFor(t, b, map[string]string{"convoai": "client"})
	if out := publicPorts(gateway); !slices.Equal(out, []int32{443}) {
		t.Errorf("the gateway is let out to ports %v, want 443", out)
	}
	if out := publicPorts(client); len(out) > 0 {
		t.Errorf("applications are let out to ports %v", out)
	}
	if len(gateway.Spec.Ingress) != 1 || len(gateway.Spec.Ingress[0].From) != 1 ||
		gateway.Spec.Ingress[0].From[0].PodSelector.MatchLabels["convoai"] != "client" {
		t.Error("others than the applications are let in")
	}
	reached := false
	for _, rule := range client.Spec.Egress {
		for _, to := range rule.To {
			if to.NamespaceSelector == nil && to.PodSelector != nil && to.PodSelector.MatchLabels["convoai"] == labels["convoai"] {
				reached = rule.Ports[0].Port.IntVal == 8080
			}
		}
	}
	if !reached {
		t.Error("applications do not get to the gateway")
	}
	service := b.services[0].Spec
	if service.Selector["convoai"] != labels["convoai"] || service.Ports[0].Port != 8080 || service.Ports[0].TargetPort.StrVal != pod.Containers[0].Ports[0].Name {
		t.Error("the service does not lead to the gateway")
	}
	if b.budgets[0].Spec.Selector.MatchLabels["convoai"] != labels["convoai"] {
		t.Error("the disruption budget is not the gateway's")
	}
	config := b.configs[0]
	if pod.Containers[0].EnvFrom[0].ConfigMapRef.Name != config.Name {
		t.Error("the gateway does not read its ConfigMap")
	}
	for _, name := range []string{"CONVOAI_ALLOW_HOST", "CONVOAI_ALLOW_FROM"} {
		if config.Data[name] == "" {
			t.Errorf("%s is not set: applications would be refused", name)
		}
	}
	for name := range config.Data {
		if problems := validation.IsEnvVarName(name); len(problems) > 0 {
			t.Errorf("%s: %s", name, problems)
		}
	}
}

func TestMetadataServiceAndClusterAreOutOfReach(t *testing.T) {
	for _, folder := range []string{"../base", "../gateway"} {
		for _, p := range build(t, folder).policies {
			for _, rule := range p.Spec.Egress {
				for _, to := range rule.To {
					if to.IPBlock != nil && to.IPBlock.CIDR == "0.0.0.0/0" && !slices.Contains(to.IPBlock.Except, "169.254.0.0/16") {
						t.Errorf("%s: the metadata service can be reached", p.Name)
					}
				}
			}
		}
	}
}

// No manifest may bring a secret along: they are made beside it.
func TestNoManifestHoldsASecret(t *testing.T) {
	err := filepath.WalkDir("..", func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("kind: Secret\n")) || bytes.Contains(text, []byte("secretGenerator")) {
			t.Errorf("%s makes a Secret", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkSidecar checks what holds for the sidecar wherever it runs.
func checkSidecar(t *testing.T, c core.Container) {
	t.Helper()
	s := c.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
		s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Error("the sidecar may do more than it needs to")
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Error("the sidecar's memory has no bounds")
	}
	health := variable(c, "CONVOAI_HEALTH_LISTEN")
	for name, probe := range map[string]*core.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != name {
			t.Errorf("nobody asks for %s", name)
			continue
		}
		at := slices.IndexFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal })
		if at < 0 || health != ":9090" || c.Ports[at].ContainerPort != 9090 {
			t.Errorf("%s is asked for where the sidecar does not answer it", name)
		}
	}
	for _, name := range []string{"AGORA_APP_ID_FILE", "AGORA_APP_CERTIFICATE_FILE"} {
		file := variable(c, name)
		if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.ReadOnly && strings.HasPrefix(file, m.MountPath+"/") }) {
			t.Errorf("%s=%s is not in a read-only mount", name, file)
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.MountPath == "/run/convoai" }) {
		t.Error("there is no place for the admin API's socket")
	}
	for _, v := range c.Env {
		if strings.HasSuffix(v.Name, "CERTIFICATE") || strings.HasSuffix(v.Name, "_SECRET") || strings.HasSuffix(v.Name, "_TOKEN") || v.ValueFrom != nil {
			t.Errorf("%s is in the environment, where `kubectl describe` or /proc shows it", v.Name)
		}
	}
}

func onlyPod(t *testing.T, b built) core.PodSpec {
	t.Helper()
	if len(b.deployments) != 1 {
		t.Fatalf("%d deployments, want 1", len(b.deployments))
	}
	d := b.deployments[0]
	for name, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[name] != value {
			t.Errorf("the deployment does not select its own pods")
		}
	}
	return d.Spec.Template.Spec
}

func variable(c core.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

func mountsOf(c core.Container, volumes map[string]bool) (list []string) {
	for _, mount := range c.VolumeMounts {
		if volumes[mount.Name] {
			list = append(list, mount.Name)
		}
	}
	return list
}

// policyFor returns the one policy for pods with labels.
func policyFor(t *testing.T, b built, labels map[string]string) networking.NetworkPolicy {
	t.Helper()
	var found []networking.NetworkPolicy
	for _, p := range b.policies {
		match := len(p.Spec.PodSelector.MatchExpressions) == 0
		for name, value := range p.Spec.PodSelector.MatchLabels {
			match = match && labels[name] == value
		}
		if match {
			found = append(found, p)
		}
	}
	if len(found) != 1 || !slices.Contains(found[0].Spec.PolicyTypes, networking.PolicyTypeEgress) {
		t.Fatalf("%d policies for %v that decide about what goes out, want 1", len(found), labels)
	}
	return found[0]
}

// publicPorts returns the ports that a policy lets out to addresses instead of pods;
// 0 stands for all.
func publicPorts(p networking.NetworkPolicy) (ports []int32) {
	for _, rule := range p.Spec.Egress {
		public := len(rule.To) == 0
		for _, to := range rule.To {
			public = public || to.IPBlock != nil
		}
		if !public {
			continue
		}
		if len(rule.Ports) == 0 {
			ports = append(ports, 0)
		}
		for _, port := range rule.Ports {
			ports = append(ports, port.Port.IntVal)
		}
	}
	return ports
}

func write(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
