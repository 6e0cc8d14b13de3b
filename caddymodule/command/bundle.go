package command

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
)

// systemBundles are where systems keep the CAs that they trust in one file. Source:
// crypto/x509 of Go, root_linux.go and its like.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Alpine
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL
	"/etc/ssl/cert.pem",                                 // Alpine, macOS, OpenBSD
	"/usr/local/etc/ssl/cert.pem",                       // FreeBSD
	"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD
	"/opt/homebrew/etc/ca-certificates/cert.pem",        // Homebrew
}

// errNoBundle is why there are no CAs to put ours beside.
var errNoBundle = errors.New("no file with the CAs that this system trusts was found: name one in SSL_CERT_FILE")

// readBundle returns the contents of a file with CAs; ok is false for one that
// cannot be read or has none.
func readBundle(file string) (pem []byte, ok bool) {
	if file == "" {
		return nil, false
	}
	pem, err := os.ReadFile(file)
	return pem, err == nil && x509.NewCertPool().AppendCertsFromPEM(pem)
}

// systemBundle returns the CAs that programs of this system trust: those in
// SSL_CERT_FILE, as OpenSSL and Go have it, else the system's.
func systemBundle() ([]byte, error) {
	for _, file := range append([]string{os.Getenv("SSL_CERT_FILE")}, systemBundles...) {
		if pem, ok := readBundle(file); ok {
			return pem, nil
		}
	}
	return nil, errNoBundle
}

// withCA returns bundle with one CA more. Variables such as SSL_CERT_FILE replace
// the CAs that a program trusts, and do not add to them.
func withCA(bundle, ca []byte) []byte {
	if bytes.Contains(bundle, ca) {
		return bundle
	}
	if len(bundle) > 0 && !bytes.HasSuffix(bundle, []byte("\n")) {
		bundle = append(bytes.Clone(bundle), '\n')
	}
	return append(bytes.Clone(bundle), ca...)
}
