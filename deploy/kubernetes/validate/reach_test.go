package validate

import (
	"net/netip"
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// A peer is a pod by its labels, or an address that is no pod's.
type peer struct {
	name    string
	labels  labels.Set
	system  bool // in the namespace of DNS
	address string
}

// Who gets where by the policies, read as the API's documentation says.
func TestPoliciesLetOutWhatTheySay(t *testing.T) {
	dns := peer{name: "DNS", labels: labels.Set{"k8s-app": "kube-dns"}, system: true}
	gateway := peer{name: "the gateway", labels: labels.Set{"convoai": "gateway"}}
	other := peer{name: "another pod", labels: labels.Set{"app": "database"}}
	var nowhere []peer
	for _, address := range []string{"169.254.169.254", "10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fe80::1"} {
		nowhere = append(nowhere, peer{name: address, address: address})
	}
	world := []peer{{name: "an IPv4 address", address: "203.0.113.9"}, {name: "an IPv6 address", address: "2001:db8::9"}}

	base, apart := build(t, "../base"), build(t, "../gateway")
	for _, test := range []struct {
		who    string
		policy networking.NetworkPolicy
		out    bool // to the world
		in     bool // to the gateway
	}{
		{"a pod with a sidecar", policyFor(t, base, base.deployments[0].Spec.Template.Labels), true, false},
		{"the gateway", policyFor(t, apart, gateway.labels), true, false},
		{"an application of the gateway's", policyFor(t, apart, map[string]string{"convoai": "client"}), false, true},
	} {
		check := func(to peer, protocol core.Protocol, port int32, want bool) {
			t.Helper()
			if got := reaches(t, test.policy, to, protocol, port); got != want {
				t.Errorf("%s gets to %s, %s %d: %v, want %v", test.who, to.name, protocol, port, got, want)
			}
		}
		check(dns, core.ProtocolUDP, 53, true)
		check(dns, core.ProtocolTCP, 53, true)
		check(dns, core.ProtocolTCP, 443, false)
		check(other, core.ProtocolTCP, 443, false)
		check(gateway, core.ProtocolTCP, 8080, test.in)
		check(gateway, core.ProtocolTCP, 443, false)
		for _, to := range world {
			check(to, core.ProtocolTCP, 443, test.out)
			check(to, core.ProtocolTCP, 80, false)
			check(to, core.ProtocolUDP, 443, false)
		}
		for _, to := range nowhere {
			check(to, core.ProtocolTCP, 443, false)
			check(to, core.ProtocolTCP, 80, false)
		}
	}
}

// reaches reports whether a policy lets a pod that it is for connect to a peer.
func reaches(t *testing.T, p networking.NetworkPolicy, to peer, protocol core.Protocol, port int32) bool {
	t.Helper()
	return slices.ContainsFunc(p.Spec.Egress, func(rule networking.NetworkPolicyEgressRule) bool {
		peers := len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(r networking.NetworkPolicyPeer) bool { return is(t, r, to) })
		ports := len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(r networking.NetworkPolicyPort) bool {
			return *r.Protocol == protocol && r.Port.IntVal == port
		})
		return peers && ports
	})
}

// is reports whether a rule means a peer.
func is(t *testing.T, rule networking.NetworkPolicyPeer, p peer) bool {
	t.Helper()
	if rule.IPBlock != nil {
		address, err := netip.ParseAddr(p.address)
		if err != nil {
			return false // a pod's, which other rules are for
		}
		within := func(cidr string) bool {
			prefix, err := netip.ParsePrefix(cidr)
			if err != nil {
				t.Fatal(err)
			}
			return prefix.Contains(address)
		}
		return within(rule.IPBlock.CIDR) && !slices.ContainsFunc(rule.IPBlock.Except, within)
	}
	if p.address != "" || (rule.NamespaceSelector != nil) != p.system {
		return false
	}
	selector, err := meta.LabelSelectorAsSelector(rule.PodSelector)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(p.labels)
}
