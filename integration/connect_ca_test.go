package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// forge makes a certificate with the key of the sidecar's CA, and writes it and its
// key into a file.
func (s *sidecar) forge(names []string, addresses ...net.IP) (tls.Certificate, string) {
	s.t.Helper()
	pair, err := tls.LoadX509KeyPair(s.caFile(), strings.TrimSuffix(s.caFile(), ".crt")+".key")
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "forged"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: names, IPAddresses: addresses,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, pair.Leaf, &key.PublicKey, pair.PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "forged.pem")
	writeFile(s.t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return tls.Certificate{Certificate: [][]byte{der, pair.Certificate[0]}, PrivateKey: key}, file
}

// Whoever steals the CA's key can be nobody but the vendor, to those who trust it.
func TestForgedCertificatesForOtherNamesAreRefused(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	client := goClient(t)
	for _, test := range []struct {
		name      string // that the client wants
		names     []string
		addresses []net.IP
		good      bool
	}{
		{name: "api.agora.io", names: []string{"api.agora.io"}, good: true},
		{name: "anything.sd-rtn.com", names: []string{"anything.sd-rtn.com"}, good: true},
		{name: "example.com", names: []string{"example.com"}},
		{name: "evilagora.io", names: []string{"evilagora.io"}},
		{name: "api.agora.io.evil.test", names: []string{"api.agora.io.evil.test"}},
		{name: "api.agora.io", names: []string{"api.agora.io", "example.com"}},
		{name: "127.0.0.1", addresses: []net.IP{net.IPv4(127, 0, 0, 1)}},
		{name: "::1", addresses: []net.IP{net.IPv6loopback}},
	} {
		t.Run(test.name, func(t *testing.T) {
			forged, file := s.forge(test.names, test.addresses...)
			stdout, stderr, status := runProgram(t, nil, "openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", s.caFile(), file)
			if good := status == 0; good != test.good {
				t.Errorf("openssl verify: status %d: %s%s", status, stdout, stderr)
			} else if !good && !strings.Contains(stderr, "subtree violation") {
				t.Errorf("openssl refuses it for another reason: %s", stderr)
			}

			// Clients whose connection somebody leads to a server with it.
			l := listen(t)
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(okBody)) }), ErrorLog: silent}
			go func() { _ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{forged}})) }()
			defer server.Close()
			url := "https://" + bracketed(test.name) + "/"
			for name, args := range map[string][]string{
				"curl": {"curl", "-sS", "--connect-to", "::" + l.Addr().String(), url},
				"Go":   {client, url},
			} {
				env := []string{"SSL_CERT_FILE=" + s.caFile(), "CURL_CA_BUNDLE=" + s.caFile(), "SSL_CERT_DIR=/dev/null"}
				if name == "Go" {
					env = append(env, "HTTPS_PROXY="+leadTo(t, l.Addr().String()))
				}
				stdout, stderr, status := runProgram(t, env, args[0], args[1:]...)
				if good := status == 0 && strings.Contains(stdout, okBody); good != test.good && !(name == "Go" && strings.Contains(test.name, ":")) {
					t.Errorf("%s: status %d: %s%s", name, status, stdout, stderr)
				}
			}
		})
	}
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// leadTo is a proxy that leads every CONNECT to address: an attacker on the way.
func leadTo(t *testing.T, address string) string {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go lead(near, address)
		}
	}()
	return "http://" + l.Addr().String()
}

func TestTrustPrintsTheCA(t *testing.T) {
	up := newUpstream(t, nil)
	s := intercepting(t, up)
	want, err := os.ReadFile(s.caFile())
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := s.exec(nil, "convoai", "trust")
	if status != 0 || stdout != string(want) {
		t.Errorf("status %d: %s", status, stdout)
	}
	for _, tool := range []string{"CURL_CA_BUNDLE", "curl", "Python", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "keytool", "openssl.cafile"} {
		if !strings.Contains(stderr, tool) {
			t.Errorf("%s is not explained", tool)
		}
	}
	file := filepath.Join(s.dir, "it's a ca.pem")
	if stdout, stderr, status = s.exec(nil, "convoai", "trust", "--out", file); status != 0 || stdout != "" || !strings.Contains(stderr, `it'\''s a ca.pem'`) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if written, err := os.ReadFile(file); err != nil || string(written) != string(want) {
		t.Errorf("written: %s, %v", written, err)
	}

	// The bundle is good for the rest of the world as well, and does not grow.
	system := []string{"SSL_CERT_FILE=" + authority}
	bundle := filepath.Join(s.dir, "bundle.pem")
	for range 2 {
		if _, stderr, status := s.exec(system, "convoai", "trust", "--bundle", "--out", bundle); status != 0 {
			t.Fatal(stderr)
		}
		written, err := os.ReadFile(bundle)
		other, _ := os.ReadFile(authority)
		if err != nil || string(written) != string(other)+string(want) {
			t.Errorf("%d bytes, %v", len(written), err)
		}
		system = []string{"SSL_CERT_FILE=" + bundle}
	}
	env := []string{"SSL_CERT_FILE=" + bundle, "CURL_CA_BUNDLE=" + bundle, "NO_PROXY=127.0.0.1", "HTTPS_PROXY=" + s.url}
	for _, url := range []string{vendorURL + listA, "https://127.0.0.1:" + up.port + listA} {
		if stdout, stderr, status := runProgram(t, env, "curl", "-sS", url); status != 0 || stdout != okBody {
			t.Errorf("%s: status %d: %s%s", url, status, stdout, stderr)
		}
	}

	// Another storage is that of its configuration.
	writeFile(t, s.config, "{\nstorage file_system "+filepath.Join(s.dir, "data", "caddy")+"\n}\n")
	elsewhere := []string{"XDG_DATA_HOME=" + t.TempDir()}
	if stdout, _, status = s.exec(elsewhere, "convoai", "trust", "--config", s.config, "--adapter", "caddyfile"); status != 0 || stdout != string(want) {
		t.Errorf("with --config: status %d: %s", status, stdout)
	}
	if stdout, stderr, status = s.exec(elsewhere, "convoai", "trust"); status != 1 || stdout != "" || !strings.Contains(stderr, "there is no CA in ") {
		t.Errorf("without a CA: status %d: %s%s", status, stdout, stderr)
	}
}

// A CA that somebody else has put there is not used: it might be good for any name.
func TestUnconstrainedCAIsNotUsed(t *testing.T) {
	up := newUpstream(t, nil)
	s := boot{caddyfile: frontSite("", credentialsA, to(up)), env: envA}.prepare(t)
	folder := filepath.Dir(s.caFile())
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, filepath.Join(folder, "ca.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	if _, stderr, status := s.exec(envA, "validate", "--adapter", "caddyfile", "--config", s.config); status == 0 || !strings.Contains(stderr, "no CA that caddy-convoai has made") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
