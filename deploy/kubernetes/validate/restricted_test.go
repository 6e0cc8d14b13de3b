package validate

import (
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// A namespace may enforce the strictest of the Pod Security Standards.
func TestPodsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	refusals := func(d apps.Deployment) (reasons []string) {
		pod := d.Spec.Template
		for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
			if !result.Allowed {
				reasons = append(reasons, result.ForbiddenReason+": "+result.ForbiddenDetail)
			}
		}
		return reasons
	}
	for _, folder := range []string{"../base", "../gateway"} {
		for _, d := range build(t, folder).deployments {
			if reasons := refusals(d); len(reasons) > 0 {
				t.Errorf("%s: %s", d.Name, reasons)
			}
			// What is refused shows that the rest was looked at.
			d.Spec.Template.Spec.HostNetwork = true
			if reasons := refusals(d); !slices.ContainsFunc(reasons, func(reason string) bool { return reason != "" }) {
				t.Errorf("%s: the network of the node is taken for restricted", d.Name)
			}
		}
	}
}
