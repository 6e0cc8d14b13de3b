package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddy-convoai/convoai/simulator"
)

// A vendor is the simulated ConvoAI API that all binaries call, and the files that
// they need for it.
type vendor struct {
	server  *simulator.Server
	project simulator.Project
	dir     string // ca.pem and the secret
}

func startVendor() (v *vendor, err error) {
	v = &vendor{project: simulator.RandomProject()}
	api, err := simulator.New(simulator.Options{Projects: []simulator.Project{v.project}, Quota: -1, KeepCalls: -1})
	if err != nil {
		return nil, err
	}
	certificate, ca, err := simulator.Certificate("127.0.0.1")
	if err != nil {
		return nil, err
	}
	if v.dir, err = os.MkdirTemp("", "convoai-measure-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(v.dir)
		}
	}()
	for name, content := range map[string]string{"ca.pem": string(ca), "certificate": v.project.AppCertificate} {
		if err := os.WriteFile(filepath.Join(v.dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	v.server, err = api.Listen("127.0.0.1:0", &tls.Certificate{Certificate: certificate.Certificate, PrivateKey: certificate.PrivateKey})
	return v, err
}

func (v *vendor) stop() {
	_ = v.server.Close()
	_ = os.RemoveAll(v.dir)
}

func (v *vendor) file(name string) string { return filepath.Join(v.dir, name) }

// caddyfile has stock Caddy do what comes nearest: the same hop, with a header that
// never changes.
func (v *vendor) caddyfile(address string) string {
	return fmt.Sprintf(`{
	admin off
	persist_config off
	auto_https off
}

http://%s {
	reverse_proxy %s {
		header_up Authorization "Basic %s"
		header_up Host {upstream_hostport}
		transport http {
			tls_trust_pool file %s
		}
	}
}
`, address, v.server.URL(), basic(v.project.CustomerID, v.project.CustomerSecret), v.file("ca.pem"))
}
