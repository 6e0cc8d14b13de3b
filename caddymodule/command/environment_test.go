package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Test credentials that the vendor publishes.
const (
	testAppID          = "970CA35de60c44645bbae8a215061b33"
	testAppCertificate = "5CFd2fd1755d40ecb72977518be15d3b"
)

// setEnv sets variables and unsets all others that the commands look at.
func setEnv(t *testing.T, variables map[string]string) {
	t.Helper()
	names := slices.Concat(envAppID, envAppCertificate, envAppCertificateSecondary, envCustomerID, envCustomerSecret, envAuthToken, envCallerToken,
		[]string{envArea, envListen, envUpstream, envUpstreamCA, envAllowHost, envAllowFrom, envAccessLog, envHealthListen, envSimulatorListen,
			envDialects, envOrigins, envAllowChannels, envAllowAccounts, envAllowKinds, envAllowRoles, envMaxExpire, envAllowAll,
			envIntercept, envTunnel, envTunnelPrivate, envOtherPaths, envExecToken, envDemoAppCertificate})
	for _, name := range names {
		t.Setenv(name, "")
		t.Setenv(name+"_FILE", "")
	}
	for name, value := range variables {
		if !slices.Contains(names, strings.TrimSuffix(name, "_FILE")) {
			t.Fatalf("%s is no variable that is looked at", name)
		}
		t.Setenv(name, value)
	}
}

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVariableAndFileTwin(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, dir, "secret", "from-file\n")
	empty := writeFile(t, dir, "empty", "\n")
	braces := writeFile(t, dir, "a{b}", "from-file")
	for _, test := range []struct {
		name string
		env  map[string]string
		want setting
		err  string
	}{
		{"not set", nil, setting{}, ""},
		{"white space only", map[string]string{"AGORA_APP_CERTIFICATE": " \n"}, setting{}, ""},
		{
			"variable", map[string]string{"AGORA_APP_CERTIFICATE": "value \n"},
			setting{"value", "AGORA_APP_CERTIFICATE", "{env.AGORA_APP_CERTIFICATE}"}, "",
		},
		{
			"the vendor's name", map[string]string{"APP_CERTIFICATE": "value"},
			setting{"value", "APP_CERTIFICATE", "{env.APP_CERTIFICATE}"}, "",
		},
		{
			"our name counts first", map[string]string{"APP_CERTIFICATE": "vendor", "AGORA_APP_CERTIFICATE": "ours"},
			setting{"ours", "AGORA_APP_CERTIFICATE", "{env.AGORA_APP_CERTIFICATE}"}, "",
		},
		{
			"file", map[string]string{"AGORA_APP_CERTIFICATE_FILE": file},
			setting{"from-file", "AGORA_APP_CERTIFICATE_FILE", "{file." + file + "}"}, "",
		},
		{
			"both", map[string]string{"AGORA_APP_CERTIFICATE": "canary", "AGORA_APP_CERTIFICATE_FILE": file},
			setting{}, "AGORA_APP_CERTIFICATE and AGORA_APP_CERTIFICATE_FILE are both set",
		},
		{
			"missing file", map[string]string{"AGORA_APP_CERTIFICATE_FILE": filepath.Join(dir, "none")},
			setting{}, "AGORA_APP_CERTIFICATE_FILE: ",
		},
		{"empty file", map[string]string{"AGORA_APP_CERTIFICATE_FILE": empty}, setting{}, "is empty"},
		{"braces", map[string]string{"AGORA_APP_CERTIFICATE_FILE": braces}, setting{}, "braces"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.env)
			got, err := lookUp(envAppCertificate...)
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			checkError(t, err, test.err)
		})
	}
}

// A relative path must still be right when the working directory is another one.
func TestFilePlaceholderIsAbsolute(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "secret", "value")
	t.Chdir(dir)
	setEnv(t, map[string]string{"AGORA_AUTH_TOKEN_FILE": "secret"})
	got, err := lookUp(envAuthToken...)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSuffix(strings.TrimPrefix(got.placeholder, "{file."), "}")
	if !filepath.IsAbs(path) || filepath.Base(path) != "secret" {
		t.Errorf("placeholder is %s", got.placeholder)
	}
}

func TestListsFromFlagOrVariable(t *testing.T) {
	setEnv(t, map[string]string{envAllowFrom: " 10.0.0.0/8,\t192.168.0.0/16\n127.0.0.1 ,"})
	got := flagOrList("allow-from", nil, envAllowFrom)
	if want := []string{"10.0.0.0/8", "192.168.0.0/16", "127.0.0.1"}; !slices.Equal(got.values, want) || got.from != envAllowFrom {
		t.Errorf("from the variable: %q of %s, want %q", got.values, got.from, want)
	}
	got = flagOrList("allow-from", []string{"::1", "fd00::/8, 10.0.0.1"}, envAllowFrom)
	if want := []string{"::1", "fd00::/8", "10.0.0.1"}; !slices.Equal(got.values, want) || got.from != "--allow-from" {
		t.Errorf("from the flag: %q of %s, want %q", got.values, got.from, want)
	}
}

// checkError checks that err contains want, or is nil where want is "", and
// that it has none of the canary values that tests use as secrets.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %q, want none", err)
	case want != "" && err == nil:
		t.Errorf("no error, want one with %q", want)
	case err == nil:
	case !strings.Contains(err.Error(), want):
		t.Errorf("error %q, want one with %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("the error shows a secret")
	}
}

func TestSecretInThePlaceOfItsFileIsNotRepeated(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	t.Setenv("AGORA_APP_CERTIFICATE", "")
	t.Setenv("AGORA_APP_CERTIFICATE_FILE", secret)
	_, err := lookUp("AGORA_APP_CERTIFICATE")
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "AGORA_APP_CERTIFICATE_FILE") {
		t.Errorf("error %v: want one that names the variable and not its value", err != nil)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	t.Setenv("AGORA_APP_CERTIFICATE_FILE", absent)
	if _, err := lookUp("AGORA_APP_CERTIFICATE"); err == nil || !strings.Contains(err.Error(), absent) {
		t.Errorf("error %v: want the path", err)
	}
}
