package region_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/region"
)

// The vendor's tables: each region under each suffix, and the global name last.
var areaHosts = map[string][]string{
	"us": {"api-us-west-1.agora.io", "api-us-west-1.sd-rtn.com", "api-us-east-1.agora.io", "api-us-east-1.sd-rtn.com", "api.agora.io"},
	"eu": {"api-eu-west-1.agora.io", "api-eu-west-1.sd-rtn.com", "api-eu-central-1.agora.io", "api-eu-central-1.sd-rtn.com", "api.agora.io"},
	"ap": {"api-ap-southeast-1.agora.io", "api-ap-southeast-1.sd-rtn.com", "api-ap-northeast-1.agora.io", "api-ap-northeast-1.sd-rtn.com", "api.agora.io"},
	"cn": {"api-cn-east-1.sd-rtn.com", "api-cn-east-1.agora.io", "api-cn-north-1.sd-rtn.com", "api-cn-north-1.agora.io", "api.sd-rtn.com"},
}

func TestEndpointsAreTheVendorsHostsInItsOrder(t *testing.T) {
	for name, want := range areaHosts {
		area, err := region.ParseArea(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, e := range area.Endpoints() {
			got = append(got, e.Host)
			wantRegion := strings.TrimPrefix(strings.SplitN(want[i], ".", 2)[0], "api-")
			if wantRegion == "api" {
				wantRegion = "global"
			}
			if e.Scheme != "https" || e.Port != "443" || e.AllowPrivate || e.Region != wantRegion {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if len(got) > region.MaxEndpoints {
			t.Errorf("%s has more hosts than a walk can visit", name)
		}
	}
}

func TestPathPrefixOfMainlandChinaDiffers(t *testing.T) {
	for name := range areaHosts {
		want := "/api/conversational-ai-agent"
		if name == "cn" {
			want = "/cn/api/conversational-ai-agent"
		}
		if got := region.Area(name).PathPrefix(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestOnlyTheFourAreasAreAreas(t *testing.T) {
	for _, name := range []string{"", "US", "usa", "u", "global", "x.evil/#", "us\n", "cn ", "../cn"} {
		if area, err := region.ParseArea(name); err == nil || area != "" {
			t.Errorf("%q is taken for area %q", name, area)
		}
	}
}

func TestVendorHosts(t *testing.T) {
	for _, hosts := range areaHosts {
		for _, host := range hosts {
			if !region.VendorHost(host) {
				t.Errorf("%s is not taken for the vendor's", host)
			}
		}
	}
	for _, host := range []string{"", "agora.io", "sd-rtn.com", "api.agora.io.evil.test", "evil-api.agora.io", "api-us-west-2.agora.io", "API.AGORA.IO", "api.agora.io:443", "localhost"} {
		if region.VendorHost(host) {
			t.Errorf("%s is taken for the vendor's", host)
		}
	}
}
