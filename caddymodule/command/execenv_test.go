package command

import (
	"slices"
	"strings"
	"testing"
)

func TestSecretsAreTakenOutByNameAndValue(t *testing.T) {
	file := writeFile(t, t.TempDir(), "secret", "file-secret-1\n")
	setEnv(t, map[string]string{
		"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate, "AGORA_CUSTOMER_ID": "id", "AGORA_CUSTOMER_SECRET": "short",
		"CONVOAI_CALLER_TOKEN_FILE": file, "AGORA_AUTH_TOKEN": `agora token="007canary-token"`,
	})
	given := []string{
		"AGORA_APP_ID=" + testAppID, "AGORA_APP_CERTIFICATE=" + testAppCertificate, "AGORA_APP_CERTIFICATE_FILE=x", "APP_CERTIFICATE=x", "APP_CERTIFICATE_FILE=x",
		"AGORA_APP_CERTIFICATE_SECONDARY=x", "AGORA_CUSTOMER_ID=id", "AGORA_CUSTOMER_SECRET=short", "AGORA_CUSTOMER_SECRET_FILE=x", "AGORA_AUTH_TOKEN=x", "AGORA_AUTH_TOKEN_FILE=x",
		"CONVOAI_CALLER_TOKEN=x", "CONVOAI_CALLER_TOKEN_FILE=" + file, envExecToken + "=x", envDemoAppCertificate + "=x",
		"SAME=" + testAppCertificate, "PART=a" + strings.ToUpper(testAppCertificate) + "b", "SHORT_SAME=short", "SHORT_PART=shorter", "OF_FILE=x/file-secret-1/x", "TOKEN=007canary-token",
		"BASIC=Basic aWQ6c2hvcnQ=", "ID=id", "PATH=/bin", "EMPTY=", "NOTHING", "AGORA_APP_CERTIFICATE_HELP=see the console",
	}
	want := []string{"AGORA_APP_ID=" + testAppID, "SHORT_PART=shorter", "ID=id", "PATH=/bin", "EMPTY=", "NOTHING", "AGORA_APP_CERTIFICATE_HELP=see the console"}
	if got := withoutSecrets(given); !slices.Equal(got, want) {
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], "=")
		}
		t.Errorf("what is left: %v", got)
	}
}

func TestVariablesLeadToTheProxy(t *testing.T) {
	of := func(environment []string) map[string]string {
		got := map[string]string{}
		for _, variable := range environment {
			name, value, _ := strings.Cut(variable, "=")
			if _, twice := got[name]; twice {
				t.Errorf("%s is there twice", name)
			}
			got[name] = value
		}
		return got
	}
	got := of(proxied([]string{"A=1", "https_proxy=old", "HTTPS_PROXY=old", "NO_PROXY=a.test b.test,::1"}, "http://p"))
	for name, want := range map[string]string{
		"A": "1", "HTTPS_PROXY": "http://p", "https_proxy": "http://p", "http_proxy": "http://p",
		"NO_PROXY": "a.test,b.test,::1,localhost,127.0.0.1", "no_proxy": "a.test,b.test,::1,localhost,127.0.0.1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["HTTP_PROXY"]; there {
		t.Error("HTTP_PROXY is set, which CGI programs take from a request")
	}
	if got := of(proxied([]string{"HTTP_PROXY=old"}, "http://p")); got["HTTP_PROXY"] != "http://p" {
		t.Error("HTTP_PROXY leads elsewhere")
	}
	for entry, kept := range map[string]bool{
		"*": false, "agora.io": false, ".agora.io": false, "*.agora.io": false, "API.agora.io": false, "api.agora.io:443": false, "sd-rtn.com": false, "io": false, ".com": false, "api-us-west-1.agora.io": false,
		"other.agora.io": true, "example.com": true, "10.0.0.0/8": true, "notagora.io": true,
	} {
		if got := strings.HasPrefix(exceptions(entry), entry+","); got != kept {
			t.Errorf("%s: kept %t, want %t", entry, got, kept)
		}
	}
}
