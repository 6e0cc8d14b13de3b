package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/caddy-convoai/convoai/token"
)

const sectionCredentials = "Credentials"

// Remedies that several findings share.
const (
	remedyConsole = "copy it again from the project's page in the Agora Console (Shengwang Console): all of it, without quotation marks"
	remedyREST    = "copy ID and secret again from the page RESTful API of the Agora Console (Shengwang Console)"
)

// checkCredentials checks what can be checked of the credentials without anybody
// else, and keeps those that can be used.
func (d *diagnosis) checkCredentials() {
	d.in(sectionCredentials)
	c := &d.credentials
	c.appID = d.checkAppID()
	c.appCertificate = d.checkCertificate(envAppCertificate)
	c.appCertificateSecondary = d.checkCertificate(envAppCertificateSecondary)
	c.customerID, c.customerSecret = d.readSecret(envCustomerID), d.readSecret(envCustomerSecret)
	c.authToken = d.readSecret(envAuthToken)
	d.callerToken = d.readSecret(envCallerToken)

	d.checkCertificates()
	d.checkCustomer()
	d.checkMode()
	d.checkAuthToken()
	for _, certificate := range []setting{c.appCertificate, c.appCertificateSecondary} {
		d.checkMinting(certificate)
	}
	d.checkCallerToken()
}

// checkAppID returns the app ID of the flag or the environment, if it is one.
func (d *diagnosis) checkAppID() setting {
	id := setting{value: strings.TrimSpace(d.flags.appID), from: "--app-id"}
	if !id.isSet() {
		id = d.readSecret(envAppID)
	}
	switch {
	case token.ValidID(id.value):
		d.ok("App ID ending in %s (%s)", ending(id.value), id.from)
		return id
	case id.isSet():
		d.fail(faultConfiguration, subject(id)+" must be 32 hexadecimal digits, "+insteadOfID(id.value), remedyConsole)
	case !d.broken[envAppID[0]]:
		d.noAppID = true // whether that is all that is missing will be seen
	}
	return setting{}
}

// insteadOfID says what is wrong with an app ID, which is no secret. Who knows what
// it is instead, though.
func insteadOfID(value string) string {
	const longest = 40
	digits := strings.Trim(value, "0123456789abcdefABCDEF") == ""
	switch {
	case digits && len(value) <= longest:
		return fmt.Sprintf("has %d", len(value))
	case digits:
		return "has more"
	case len(value) > 2 && strings.ContainsAny(value[:1], `"'`) && value[0] == value[len(value)-1]:
		return "without the quotation marks around it"
	}
	return "holds other characters"
}

// checkCertificate returns a certificate, if it has the form of one.
func (d *diagnosis) checkCertificate(names []string) setting {
	certificate := d.readSecret(names)
	if !certificate.isSet() || token.ValidID(certificate.value) {
		return certificate
	}
	d.fail(faultConfiguration, subject(certificate)+" must be 32 hexadecimal digits", remedyConsole)
	d.broken[names[0]] = true
	return setting{}
}

// checkCertificates checks what the app ID and the certificates are to each other.
func (d *diagnosis) checkCertificates() {
	c := &d.credentials
	for _, certificate := range []setting{c.appCertificate, c.appCertificateSecondary} {
		if certificate.isSet() && strings.EqualFold(certificate.value, c.appID.value) {
			d.fail(faultConfiguration, subject(certificate)+" is the App ID", "the App Certificate stands below the App ID on the project's page in the console; it may have to be enabled there")
		}
	}
	switch {
	case !c.appCertificateSecondary.isSet():
	case !c.appCertificate.isSet() && !d.broken[envAppCertificate[0]]:
		d.fail(faultConfiguration, c.appCertificateSecondary.from+" is set, and AGORA_APP_CERTIFICATE is not", "set the primary certificate as well, or this one in its place")
	case c.appCertificate.value == c.appCertificateSecondary.value:
		d.warn(faultConfiguration, c.appCertificateSecondary.from+" is the same certificate as "+c.appCertificate.from, "unset it, or set it to the app's other certificate: there is nothing to fall back on")
	}
}

// checkCustomer checks ID and secret of Basic, and forgets them where they cannot
// be used.
func (d *diagnosis) checkCustomer() {
	c := &d.credentials
	for _, s := range []*setting{&c.customerID, &c.customerSecret} {
		if !printable(s.value) {
			d.fail(faultConfiguration, subject(*s)+" must consist of printable ASCII characters", remedyREST)
			d.broken[baseName(s.from)] = true
			*s = setting{}
		}
	}
	if strings.Contains(c.customerID.value, ":") {
		d.fail(faultConfiguration, subject(c.customerID)+" must not contain a colon", "it is the customer ID alone; the customer secret goes into AGORA_CUSTOMER_SECRET")
		d.broken[envCustomerID[0]], c.customerID = true, setting{}
	}
	id, secret := c.customerID.isSet(), c.customerSecret.isSet()
	switch {
	case id && secret, !id && !secret:
		return
	case id && !d.broken[envCustomerSecret[0]]:
		d.fail(faultConfiguration, c.customerID.from+" is set, and AGORA_CUSTOMER_SECRET is not", "set both for Basic, or neither")
	case secret && !d.broken[envCustomerID[0]]:
		d.fail(faultConfiguration, c.customerSecret.from+" is set, and AGORA_CUSTOMER_ID is not", "set both for Basic, or neither")
	}
	c.customerID, c.customerSecret, d.broken[envCustomerID[0]] = setting{}, setting{}, true
}

// checkMode says how calls are authorised.
func (d *diagnosis) checkMode() {
	c := d.credentials
	fallsBack := ""
	switch {
	case c.customerID.isSet() && c.authToken.isSet():
		d.fail(faultConfiguration, c.customerID.from+" and "+c.authToken.from+" are both set", "one call cannot be authorised in two ways: unset one of them")
	case c.customerID.isSet():
		d.mode = modeBasic
		d.ok("auth mode basic (%s, %s)", c.customerID.from, c.customerSecret.from)
		fallsBack = "Basic"
	case d.broken[envCustomerID[0]], d.broken[envCustomerSecret[0]]:
	case c.authToken.isSet():
		d.mode = modeToken
		d.ok("auth mode token (%s): sent as it is until it expires", c.authToken.from)
		fallsBack = "a pre-built token"
	case d.broken[envAuthToken[0]]:
	case c.appCertificate.isSet():
		d.mode = modeApp
		d.ok("auth mode app-credentials (%s): a token is minted for each channel and agent", c.appCertificate.from)
	case d.broken[envAppCertificate[0]]:
	case d.noAppID && d.count(verdictFailed) == 0:
		d.fail(faultConfiguration, "no credential in the environment",
			"set AGORA_APP_ID and AGORA_APP_CERTIFICATE (or AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET, or AGORA_AUTH_TOKEN)",
			"or the same names with _FILE added, each with the path of a file that holds the value",
			"to try the sidecar without an account: caddy convoai demo")
		return
	default:
		if d.count(verdictFailed) == 0 {
			d.fail(faultConfiguration, "no credential beside the App ID", "set AGORA_APP_CERTIFICATE (or AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET, or AGORA_AUTH_TOKEN)")
		}
	}
	if d.noAppID {
		d.fail(faultConfiguration, "no App ID", "set AGORA_APP_ID or --app-id")
	}
	if fallsBack != "" && !c.appCertificate.isSet() && !d.broken[envAppCertificate[0]] {
		d.warn(faultConfiguration, "there is no app certificate beside "+fallsBack+": bodies are not completed", "set AGORA_APP_CERTIFICATE as well, or have the application put properties.token into each join")
	}
}

func (d *diagnosis) checkCallerToken() {
	switch {
	case !d.callerToken.isSet():
	case !printable(d.callerToken.value):
		d.fail(faultConfiguration, subject(d.callerToken)+" must consist of printable ASCII characters", "callers have to send it in a header")
	default:
		d.ok("callers have to send X-Convoai-Caller-Token (%s)", d.callerToken.from)
	}
}

// readSecret is lookUp, with a finding in the place of an error, and one for a file
// that others can read. What cannot be had is noted as broken.
func (d *diagnosis) readSecret(names []string) (found setting) {
	for _, name := range names {
		value, file := trimEnd(os.Getenv(name)), os.Getenv(name+"_FILE")
		if value == "" && file == "" {
			continue
		}
		if found.isSet() || d.broken[names[0]] {
			if value != found.value && file == "" {
				d.warn(faultConfiguration, name+" is set as well, to another value than "+found.from+", and is not used", "unset one of them")
			}
			continue
		}
		switch {
		case value != "" && file != "":
			d.fail(faultConfiguration, fmt.Sprintf("%s and %s_FILE are both set", name, name), "unset one of them: which one was meant cannot be known")
			d.broken[names[0]] = true
		case file != "":
			if found = d.readSecretFile(name+"_FILE", file); !found.isSet() {
				d.broken[names[0]] = true
			}
		default:
			found = setting{value: value, from: name}
		}
	}
	return found
}

// readSecretFile returns the content of a file that a variable names. The name is
// shown only where there is such a file: it may be the secret itself.
func (d *diagnosis) readSecretFile(from, file string) setting {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), err != nil && !errors.Is(err, fs.ErrPermission):
		d.fail(faultConfiguration, from+" names no file that is there", "it takes the path of a file; the value itself goes into "+baseName(from),
			"a relative path begins in the folder that the sidecar is started in; in a container the file has to be mounted")
		return setting{}
	case err != nil:
		d.fail(faultConfiguration, from+" names a file in a folder that this user may not enter", "run the sidecar (and doctor) as a user who may")
		return setting{}
	}
	value, err := readSecretFile(file)
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.fail(faultConfiguration, fmt.Sprintf("%s: %s may not be read by this user", from, file), "give the user of the sidecar the right to read it, and nobody else: chown, chmod 0400")
		return setting{}
	case err != nil:
		d.fail(faultConfiguration, fmt.Sprintf("%s: %v", from, err), "the file has to hold the value and nothing else")
		return setting{}
	}
	if readableByAll(file, info) {
		d.warn(faultConfiguration, fmt.Sprintf("%s: every user of this host can read %s (mode %04o)", from, file, info.Mode().Perm()),
			"chmod 0400 for the user of the sidecar; a secret that is mounted into a container can be given a mode, too")
	}
	return setting{value: value, from: from}
}

// readableByAll reports whether a file can be read by every user: it and all the
// folders above it are open.
func readableByAll(file string, info fs.FileInfo) bool {
	path, err := filepath.Abs(file)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o004 == 0 {
		return false
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		folder, err := os.Stat(dir)
		if err != nil || folder.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// subject names a setting in a sentence about its value.
func subject(s setting) string {
	if strings.HasSuffix(s.from, "_FILE") {
		return "the content of " + s.from
	}
	return s.from
}

// baseName is the variable whose twin name may be.
func baseName(name string) string { return strings.TrimSuffix(name, "_FILE") }

// ending is what is shown of an app ID.
func ending(appID string) string { return appID[len(appID)-4:] }
