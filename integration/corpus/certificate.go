package corpus

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"

	"github.com/caddy-convoai/convoai/simulator"
)

// Certificate is the certificate that sites with TLS show, in files.
type Certificate struct {
	File, Key string
	Roots     *x509.CertPool // what a client has to trust
	Authority string         // the same in a file
}

// WriteCertificate makes one for names, and writes it into dir with name in front
// of the files' names.
func WriteCertificate(dir, name string, names ...string) (c Certificate, err error) {
	pair, authority, err := simulator.Certificate(names...)
	if err != nil {
		return c, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return c, err
	}
	c = Certificate{
		File: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key"),
		Authority: filepath.Join(dir, name+"-ca.pem"), Roots: x509.NewCertPool(),
	}
	c.Roots.AppendCertsFromPEM(authority)
	return c, errors.Join(
		os.WriteFile(c.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600),
		os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
		os.WriteFile(c.Authority, authority, 0o600),
	)
}
