package integration

import (
	"debug/buildinfo"
	"encoding/json"
	"os/exec"
	"testing"
)

// The bill of materials names every module that is in the binary.
func TestBillOfMaterialsNamesEveryModule(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed: the script cannot run")
	}
	out, err := exec.Command(bash, "../sbom.sh", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat   string `json:"bomFormat"`
		SpecVersion string `json:"specVersion"`
		Components  []struct {
			Name, Version, PURL string
			Properties          []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal(out, &bill); err != nil || bill.BOMFormat != "CycloneDX" || bill.SpecVersion == "" {
		t.Fatalf("no CycloneDX: %v", err)
	}
	built, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, c := range bill.Components {
		listed[c.Name] = c.Version
		if c.Name != "go" && c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%s has the address %s", c.Name, c.PURL)
		}
	}
	if listed["go"] != built.GoVersion {
		t.Errorf("Go is %q, want %s", listed["go"], built.GoVersion)
	}
	for _, dep := range built.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		if listed[dep.Path] != dep.Version {
			t.Errorf("%s is listed as %q, want %s", dep.Path, listed[dep.Path], dep.Version)
		}
	}
	for _, name := range []string{"github.com/caddyserver/caddy/v2", "github.com/hashicorp/golang-lru/v2"} {
		if listed[name] == "" {
			t.Errorf("%s is not listed", name)
		}
	}
	if len(listed) != len(built.Deps)+1 {
		t.Errorf("%d components, want %d", len(listed), len(built.Deps)+1)
	}
}
