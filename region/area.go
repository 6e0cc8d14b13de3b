package region

import (
	"fmt"
	"slices"
)

// Area is a part of the world whose regions serve an application's calls.
type Area string

// The areas. Source: the Area type of the vendor's agent SDKs.
const (
	US Area = "us" // United States: west, east
	EU Area = "eu" // Europe: west, central
	AP Area = "ap" // Asia-Pacific: southeast, northeast
	CN Area = "cn" // mainland China: east, north
)

// ParseArea returns the area that s names.
func ParseArea(s string) (Area, error) {
	if _, ok := areas[Area(s)]; !ok {
		return "", fmt.Errorf("area must be us, eu, ap or cn")
	}
	return Area(s), nil
}

// PathPrefix returns the path under which the hosts of a serve the ConvoAI API.
func (a Area) PathPrefix() string {
	if a == CN {
		return "/cn/api/conversational-ai-agent"
	}
	return "/api/conversational-ai-agent"
}

// Endpoints returns the hosts of a in the vendor's order: each region under each
// domain suffix, and the global name last. Mainland China has the suffixes in
// the opposite order.
//
// Source: agora-agents-go core/request_option_custom.go and the vendor's page
// "switch domain name", as of 2026.
func (a Area) Endpoints() []Endpoint {
	def := areas[a]
	var list []Endpoint
	for _, name := range def.regions {
		for _, suffix := range def.suffixes {
			list = append(list, Endpoint{
				Scheme: "https",
				Host:   "api-" + name + "." + suffix,
				Port:   "443",
				Region: name,
			})
		}
	}
	return append(list, Endpoint{Scheme: "https", Host: def.global, Port: "443", Region: "global"})
}

// VendorHost reports whether host, in lower case and without a port, is one of
// the vendor's names for the API, in whichever area.
func VendorHost(host string) bool {
	return slices.Contains(vendorHosts, host)
}

type definition struct {
	regions  []string
	suffixes []string
	global   string
}

const (
	suffixAgora = "agora.io"
	suffixSDRTN = "sd-rtn.com"
)

var areas = map[Area]definition{
	US: {[]string{"us-west-1", "us-east-1"}, []string{suffixAgora, suffixSDRTN}, "api." + suffixAgora},
	EU: {[]string{"eu-west-1", "eu-central-1"}, []string{suffixAgora, suffixSDRTN}, "api." + suffixAgora},
	AP: {[]string{"ap-southeast-1", "ap-northeast-1"}, []string{suffixAgora, suffixSDRTN}, "api." + suffixAgora},
	CN: {[]string{"cn-east-1", "cn-north-1"}, []string{suffixSDRTN, suffixAgora}, "api." + suffixSDRTN},
}

var vendorHosts = func() []string {
	var hosts []string
	for _, area := range []Area{US, EU, AP, CN} {
		for _, e := range area.Endpoints() {
			if !slices.Contains(hosts, e.Host) {
				hosts = append(hosts, e.Host)
			}
		}
	}
	return hosts
}()
