package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-convoai/convoai/token"
)

// Names of the environment variables that carry credentials, in the order in
// which they count: ours, then those of the vendor's token container. Each has
// a twin with the suffix _FILE that names a file with the value.
var (
	envAppID          = []string{"AGORA_APP_ID", "APP_ID"}
	envAppCertificate = []string{"AGORA_APP_CERTIFICATE", "APP_CERTIFICATE"}
	envCustomerID     = []string{"AGORA_CUSTOMER_ID"}
	envCustomerSecret = []string{"AGORA_CUSTOMER_SECRET"}
	envAuthToken      = []string{"AGORA_AUTH_TOKEN"}

	envAppCertificateSecondary = []string{"AGORA_APP_CERTIFICATE_SECONDARY"}
)

// maxSecretFile bounds what is read from a file that should hold one secret.
const maxSecretFile = 64 << 10

// readSecretFile returns the contents of a file without white space at its
// end. Its errors name the file if its path is absolute.
func readSecretFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil && !filepath.IsAbs(name) {
		// Somebody may have given the secret itself in the place of its file.
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = fmt.Errorf("the file, whose name is shown only where it is absolute: %w", failed.Err)
		}
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("%s: larger than a secret can be", name)
	}
	secret := trimEnd(string(data))
	if secret == "" {
		return "", fmt.Errorf("%s: is empty", name)
	}
	return secret, nil
}

// appIDFrom returns the app ID of a flag or, if that is empty, of the
// environment. The setting is not set if it is in neither.
func appIDFrom(flag string) (setting, error) {
	id := setting{value: trimEnd(flag), from: "--app-id"}
	if !id.isSet() {
		var err error
		if id, err = lookUp(envAppID...); err != nil {
			return setting{}, err
		}
	}
	return id, id.checkID()
}

// flagOrEnvAppID is the value of appIDFrom.
func flagOrEnvAppID(flag string) (string, error) {
	id, err := appIDFrom(flag)
	return id.value, err
}

// appCertificateFrom returns the app certificate of a flag (VALUE, or @FILE)
// or, if that is empty, of the environment. The setting is not set if it is in
// neither. Values on a command line can be seen by other users of the machine:
// they are for test data.
func appCertificateFrom(flag string) (setting, error) {
	const from = "--app-certificate"
	if file, ok := strings.CutPrefix(flag, "@"); ok {
		if file == "" {
			return setting{}, errors.New(from + ": no file name behind the @")
		}
		value, err := readSecretFile(file)
		if err != nil {
			return setting{}, fmt.Errorf("%s: %w", from, err)
		}
		certificate := setting{value: value, from: from + " @" + file}
		return certificate, certificate.checkID()
	}
	certificate := setting{value: trimEnd(flag), from: from}
	if !certificate.isSet() {
		var err error
		if certificate, err = lookUp(envAppCertificate...); err != nil {
			return setting{}, err
		}
	}
	return certificate, certificate.checkID()
}

// checkID checks a setting that is an app ID or certificate, if it is set.
func (s setting) checkID() error {
	if s.isSet() && !token.ValidID(s.value) {
		return fmt.Errorf("%s must be 32 hexadecimal digits", s.from)
	}
	return nil
}

func trimEnd(s string) string { return strings.TrimRight(s, " \t\r\n") }
