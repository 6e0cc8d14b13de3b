//lint:file-ignore SA1019 The older token formats are deprecated, and are told from the present one all the same.

package command

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// tokenToCheck is a token of the test app that was issued some seconds before
// testNow.
func tokenToCheck(t *testing.T, certificate string, ago int64, lifetime uint32, change func(*token.Token)) string {
	t.Helper()
	made, err := token.NewConvoAI(testAppID, "room", "1", lifetime, 0)
	if err != nil {
		t.Fatal(err)
	}
	made.IssuedAt = uint32(testNow.Unix() - ago)
	if change != nil {
		change(made)
	}
	text, err := made.Sign(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const (
	okAppID = "ok : App ID ending in 1b33 (AGORA_APP_ID)"
	okMode  = "ok : auth mode app-credentials (AGORA_APP_CERTIFICATE): a token is minted for each channel and agent"
	okMint  = "ok : a token made of App ID and AGORA_APP_CERTIFICATE verifies"
	okToken = "ok : auth mode token (AGORA_AUTH_TOKEN): sent as it is until it expires"
	bare    = "warning configuration: there is no app certificate beside a pre-built token: bodies are not completed"
)

func TestCredentialsAreChecked(t *testing.T) {
	good := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
	with := func(pairs ...string) map[string]string {
		env := map[string]string{}
		for name, value := range good {
			env[name] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
		return env
	}
	const digits = "failed configuration: AGORA_APP_ID must be 32 hexadecimal digits, "
	for _, test := range []struct {
		name  string
		env   map[string]string
		appID string // of the flag
		want  []string
	}{
		{"good", good, "", []string{okAppID, okMode, okMint}},
		{"nothing", nil, "", []string{"failed configuration: no credential in the environment"}},
		{"app ID alone", with("AGORA_APP_CERTIFICATE", ""), "", []string{okAppID, "failed configuration: no credential beside the App ID"}},
		{"certificate alone", with("AGORA_APP_ID", ""), "", []string{okMode, "failed configuration: no App ID"}},
		{"app ID of the flag", with("AGORA_APP_ID", "wrong"), testAppID, []string{"ok : App ID ending in 1b33 (--app-id)", okMode, okMint}},
		{"names of the vendor's container", map[string]string{"APP_ID": testAppID, "APP_CERTIFICATE": testAppCertificate}, "", []string{
			"ok : App ID ending in 1b33 (APP_ID)", strings.ReplaceAll(okMode, "AGORA_", ""), strings.ReplaceAll(okMint, "AGORA_", ""),
		}},
		{"31 digits", with("AGORA_APP_ID", testAppID[:31]), "", []string{digits + "has 31", okMode}},
		{"many digits", with("AGORA_APP_ID", testAppID+testAppID), "", []string{digits + "has more", okMode}},
		{"in quotation marks", with("AGORA_APP_ID", `"`+testAppID+`"`), "", []string{digits + "without the quotation marks around it", okMode}},
		{"no digits", with("AGORA_APP_ID", "my-app"), "", []string{digits + "holds other characters", okMode}},
		{"certificate too short", with("AGORA_APP_CERTIFICATE", testAppCertificate[:31]), "", []string{
			okAppID, "failed configuration: AGORA_APP_CERTIFICATE must be 32 hexadecimal digits",
		}},
		{"app ID for certificate", with("AGORA_APP_CERTIFICATE", testAppID), "", []string{
			okAppID, "failed configuration: AGORA_APP_CERTIFICATE is the App ID", okMode, okMint,
		}},
		{"two certificates", with("AGORA_APP_CERTIFICATE_SECONDARY", otherCertificate), "", []string{
			okAppID, okMode, okMint, "ok : a token made of App ID and AGORA_APP_CERTIFICATE_SECONDARY verifies",
		}},
		{"the same certificate twice", with("AGORA_APP_CERTIFICATE_SECONDARY", testAppCertificate), "", []string{
			okAppID, "warning configuration: AGORA_APP_CERTIFICATE_SECONDARY is the same certificate as AGORA_APP_CERTIFICATE",
			okMode, okMint, "ok : a token made of App ID and AGORA_APP_CERTIFICATE_SECONDARY verifies",
		}},
		{"secondary certificate alone", with("AGORA_APP_CERTIFICATE", "", "AGORA_APP_CERTIFICATE_SECONDARY", otherCertificate), "", []string{
			okAppID, "failed configuration: AGORA_APP_CERTIFICATE_SECONDARY is set, and AGORA_APP_CERTIFICATE is not",
			"ok : a token made of App ID and AGORA_APP_CERTIFICATE_SECONDARY verifies",
		}},
		{"another value of another name", with("APP_CERTIFICATE", otherCertificate), "", []string{
			okAppID, "warning configuration: APP_CERTIFICATE is set as well, to another value than AGORA_APP_CERTIFICATE, and is not used", okMode, okMint,
		}},
		{"the same value of another name", with("APP_CERTIFICATE", testAppCertificate), "", []string{okAppID, okMode, okMint}},
		{"variable and twin", with("AGORA_APP_CERTIFICATE_FILE", "/dev/null"), "", []string{
			okAppID, "failed configuration: AGORA_APP_CERTIFICATE and AGORA_APP_CERTIFICATE_FILE are both set",
		}},
		{"Basic", with("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame"), "", []string{
			okAppID, "ok : auth mode basic (AGORA_CUSTOMER_ID, AGORA_CUSTOMER_SECRET)", okMint,
		}},
		{"Basic alone", with("AGORA_APP_CERTIFICATE", "", "AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame"), "", []string{
			okAppID, "ok : auth mode basic (AGORA_CUSTOMER_ID, AGORA_CUSTOMER_SECRET)",
			"warning configuration: there is no app certificate beside Basic: bodies are not completed",
		}},
		{"customer ID alone", with("AGORA_CUSTOMER_ID", "Aladdin"), "", []string{
			okAppID, "failed configuration: AGORA_CUSTOMER_ID is set, and AGORA_CUSTOMER_SECRET is not", okMint,
		}},
		{"customer secret alone", with("AGORA_CUSTOMER_SECRET", "open sesame"), "", []string{
			okAppID, "failed configuration: AGORA_CUSTOMER_SECRET is set, and AGORA_CUSTOMER_ID is not", okMint,
		}},
		{"colon in the customer ID", with("AGORA_CUSTOMER_ID", "Aladdin:open sesame", "AGORA_CUSTOMER_SECRET", "open sesame"), "", []string{
			okAppID, "failed configuration: AGORA_CUSTOMER_ID must not contain a colon", okMint,
		}},
		{"control character", with("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open\x01sesame"), "", []string{
			okAppID, "failed configuration: AGORA_CUSTOMER_SECRET must consist of printable ASCII characters", okMint,
		}},
		{"Basic and a token", with("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame", "AGORA_AUTH_TOKEN", tokenToCheck(t, testAppCertificate, 0, 86400, nil)), "", []string{
			okAppID, "failed configuration: AGORA_CUSTOMER_ID and AGORA_AUTH_TOKEN are both set",
			"ok : AGORA_AUTH_TOKEN is good until <moment>", "ok : AGORA_AUTH_TOKEN is signed with AGORA_APP_CERTIFICATE", okMint,
		}},
		{"caller token", with("CONVOAI_CALLER_TOKEN", "open sesame"), "", []string{okAppID, okMode, okMint, "ok : callers have to send X-Convoai-Caller-Token (CONVOAI_CALLER_TOKEN)"}},
		{"caller token of another script", with("CONVOAI_CALLER_TOKEN", "öffne dich"), "", []string{
			okAppID, okMode, okMint, "failed configuration: CONVOAI_CALLER_TOKEN must consist of printable ASCII characters",
		}},
	} {
		t.Run(test.name, func(t *testing.T) { checkCredentialLines(t, test.env, test.appID, test.want) })
	}
}

// checkCredentialLines checks the lines of a run, that none of them has a secret in
// it, and that run agrees about what can be used.
func checkCredentialLines(t *testing.T, env map[string]string, appID string, want []string) {
	t.Helper()
	d := newTestDiagnosis(t, doctorFlags{runFlags: runFlags{appID: appID}}, env)
	d.checkCredentials()
	for i := range d.findings.list {
		what := &d.findings.list[i].What
		if before, _, ok := strings.Cut(*what, " until 20"); ok {
			*what = before + " until <moment>"
		}
	}
	wantLines(t, d, sectionCredentials, want...)
	var secrets []string
	for name, value := range env {
		if name != "AGORA_APP_ID" && !strings.HasSuffix(name, "_FILE") {
			secrets = append(secrets, value)
		}
	}
	text := strings.ReplaceAll(report(t, d), "1b33", "")
	wantNoSecret(t, text, secrets...)
	wantNoSecret(t, text, testAppID)

	_, _, err := d.flags.sidecar()
	if refused := d.failedIn(sectionCredentials); err != nil && !refused {
		t.Errorf("doctor finds nothing, and run says: %v", err)
	}
}

func TestAuthTokenIsChecked(t *testing.T) {
	const day = 86400
	old, err := legacy.BuildTokenWithUID(testAppID, testAppCertificate, "room", 1, legacy.RolePublisher, uint32(testNow.Unix())+3600)
	if err != nil {
		t.Fatal(err)
	}
	of := func(text string, more ...string) map[string]string {
		env := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_AUTH_TOKEN": text}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	good := tokenToCheck(t, testAppCertificate, 0, day, nil)
	const until = "ok : AGORA_AUTH_TOKEN is good until <moment>"
	for _, test := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"good", of(good), []string{okAppID, okToken, bare, until}},
		{"with the scheme", of("agora token=" + good), []string{okAppID, okToken, bare, until}},
		{"its certificate beside it", of(good, "AGORA_APP_CERTIFICATE", testAppCertificate), []string{
			okAppID, okToken, until, "ok : AGORA_AUTH_TOKEN is signed with AGORA_APP_CERTIFICATE", okMint,
		}},
		{"its certificate is the secondary", of(good, "AGORA_APP_CERTIFICATE", otherCertificate, "AGORA_APP_CERTIFICATE_SECONDARY", testAppCertificate), []string{
			okAppID, okToken, until, "ok : AGORA_AUTH_TOKEN is signed with AGORA_APP_CERTIFICATE_SECONDARY",
			okMint, "ok : a token made of App ID and AGORA_APP_CERTIFICATE_SECONDARY verifies",
		}},
		{"another certificate beside it", of(good, "AGORA_APP_CERTIFICATE", otherCertificate), []string{
			okAppID, okToken, until, "failed configuration: AGORA_AUTH_TOKEN is not signed with AGORA_APP_CERTIFICATE", okMint,
		}},
		{"an hour left", of(tokenToCheck(t, testAppCertificate, 3600, 7200, nil)), []string{okAppID, okToken, bare, until}},
		{"less than an hour left", of(tokenToCheck(t, testAppCertificate, 3601, 7200, nil)), []string{
			okAppID, okToken, bare, "warning configuration: AGORA_AUTH_TOKEN expires in 59 minutes 59 seconds (" + clock(testNow.Add(3599e9)) + ")",
		}},
		{"expired now", of(tokenToCheck(t, testAppCertificate, 3600, 3600, nil)), []string{
			okAppID, okToken, bare, "failed configuration: AGORA_AUTH_TOKEN expired now (" + clock(testNow) + ")",
		}},
		{"issued in the future", of(tokenToCheck(t, testAppCertificate, -600, day, nil)), []string{
			okAppID, okToken, bare, "warning host: AGORA_AUTH_TOKEN was issued in 10 minutes",
		}},
		{"of another app", of(tokenToCheck(t, testAppCertificate, 0, day, func(k *token.Token) { k.AppID = otherCertificate })), []string{
			okAppID, okToken, bare, "failed configuration: AGORA_AUTH_TOKEN was made for another App ID than that of AGORA_APP_ID", until,
		}},
		{"without RTC", of(tokenToCheck(t, testAppCertificate, 0, day, func(k *token.Token) { k.Services = k.Services[1:] })), []string{
			okAppID, okToken, bare, "failed configuration: AGORA_AUTH_TOKEN has no RTC service, without which ConvoAI does not take it", until,
		}},
		{"without RTM", of(tokenToCheck(t, testAppCertificate, 0, day, func(k *token.Token) { k.Services = k.Services[:1] })), []string{
			okAppID, okToken, bare, "warning configuration: AGORA_AUTH_TOKEN has no RTM service", until,
		}},
		{"cut off", of(good[:len(good)-8]), []string{
			okAppID, okToken, bare, "failed configuration: AGORA_AUTH_TOKEN is no AccessToken2 (007), or not all of one",
		}},
		{"of an older format", of(old), []string{
			okAppID, okToken, bare, "failed configuration: AGORA_AUTH_TOKEN is a token of an older format: ConvoAI takes AccessToken2 (007) alone",
		}},
		{"something else", of("eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo"), []string{
			okAppID, okToken, bare, "failed configuration: AGORA_AUTH_TOKEN is no AccessToken2 (007), or not all of one",
		}},
	} {
		t.Run(test.name, func(t *testing.T) { checkCredentialLines(t, test.env, "", test.want) })
	}
}

func TestFilesOfSecretsAreChecked(t *testing.T) {
	// The folder is open to all, as are those above it, or nobody but this user could
	// read the file anyway.
	dir, err := os.MkdirTemp("", "convoai-doctor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	closed := filepath.Join(dir, "closed")
	for folder, mode := range map[string]os.FileMode{dir: 0o755, closed: 0o700} {
		if err := os.MkdirAll(folder, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
	file := func(dir, name, content string, mode os.FileMode) string {
		path := writeFile(t, dir, name, content)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const from = "AGORA_APP_CERTIFICATE_FILE"
	twin := func(s string) string { return strings.ReplaceAll(s, "AGORA_APP_CERTIFICATE", from) }
	open := file(dir, "open", testAppCertificate+"\n", 0o644)
	fine := []string{okAppID, twin(okMode), twin(okMint)}
	openOnes := fine
	if everybodyCanRead(t, open) {
		openOnes = []string{okAppID, "warning configuration: " + from + ": every user of this host can read " + open + " (mode 0644)", twin(okMode), twin(okMint)}
	}
	link := filepath.Join(closed, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	linked := append([]string(nil), openOnes...)
	if len(linked) == 4 {
		linked[1] = strings.ReplaceAll(linked[1], open, link)
	}
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"this user's alone", file(dir, "own", testAppCertificate, 0o600), fine},
		{"of a group", file(dir, "group", testAppCertificate, 0o640), fine},
		{"everybody's", open, openOnes},
		{"everybody's in a closed folder", file(closed, "open", testAppCertificate, 0o644), fine},
		{"everybody's by a link from a closed folder", link, linked},
		{"empty", file(dir, "empty", " \n", 0o600), []string{okAppID, "failed configuration: " + from + ": " + filepath.Join(dir, "empty") + ": is empty"}},
		{"malformed", file(dir, "malformed", "canary", 0o600), []string{okAppID, "failed configuration: the content of " + from + " must be 32 hexadecimal digits"}},
		{"gone", filepath.Join(dir, "gone"), []string{okAppID, "failed configuration: " + from + " names no file that is there"}},
		{"the certificate itself", testAppCertificate, []string{okAppID, "failed configuration: " + from + " names no file that is there"}},
		{"too long for a name", strings.Repeat(testAppCertificate, 200), []string{okAppID, "failed configuration: " + from + " names no file that is there"}},
		{"folder", dir, []string{okAppID, "failed configuration: " + from + ": read " + dir + ": is a directory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("no modes here")
			}
			d := newTestDiagnosis(t, doctorFlags{}, map[string]string{"AGORA_APP_ID": testAppID, from: test.path})
			d.checkCredentials()
			wantLines(t, d, sectionCredentials, test.want...)
			wantNoSecret(t, report(t, d), testAppCertificate, "canary")
		})
	}
}

// everybodyCanRead reports whether the folders above a file are open to all, which
// is not ours to decide.
func everybodyCanRead(t *testing.T, file string) bool {
	t.Helper()
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func TestFileThatThisUserMayNotRead(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	inside := writeFile(t, locked, "secret", testAppCertificate)
	secret := writeFile(t, dir, "secret", testAppCertificate)
	for path, mode := range map[string]os.FileMode{locked: 0, secret: 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
	}
	for path, want := range map[string]string{
		secret: "failed configuration: AGORA_APP_CERTIFICATE_FILE: " + secret + " may not be read by this user",
		inside: "failed configuration: AGORA_APP_CERTIFICATE_FILE names a file in a folder that this user may not enter",
	} {
		d := newTestDiagnosis(t, doctorFlags{}, map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE_FILE": path})
		d.checkCredentials()
		wantLines(t, d, sectionCredentials, okAppID, want)
	}
}
