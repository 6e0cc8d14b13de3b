package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/integration/corpus"
)

// clientCA is a CA for the certificates of callers.
type clientCA struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newClientCA(t *testing.T) *clientCA {
	t.Helper()
	ca := &clientCA{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "callers"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	ca.key, der = ca.sign(template, nil)
	var err error
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writeFile(t, ca.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return ca
}

// sign makes a certificate of a new key; without a parent it signs itself.
func (ca *clientCA) sign(template, parent *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	signer := ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	return key, der
}

// issue makes a caller's certificate, whose name is a DNS name of it.
func (ca *clientCA) issue(name string, change func(*x509.Certificate)) tls.Certificate {
	ca.t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{name},
	}
	if change != nil {
		change(template)
	}
	key, der := ca.sign(template, ca.cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTokenServerBehindClientCertificates(t *testing.T) {
	shown, err := corpus.WriteCertificate(t.TempDir(), "site", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	ca, another := newClientCA(t), newClientCA(t)
	known := ca.issue("42", nil)
	forged := another.issue("42", nil)
	expired := ca.issue("42", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = c.NotBefore.Add(-time.Hour), c.NotBefore })
	servers := ca.issue("42", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	nameless := ca.issue("42", func(c *x509.Certificate) { c.DNSNames = nil })
	none := tls.Certificate{}

	const noConnection = 0
	rule := allowRule("own", "identity {http.request.tls.client.san.dns_names.0}", "users *", "channels room-*", "accounts {user}")
	for _, test := range []struct {
		mode, pool string
		statuses   map[string]int
	}{
		{"require_and_verify", "trust_pool file " + ca.file, map[string]int{
			"known": 200, "another's": 403, "nameless": 403, "none": noConnection, "forged": noConnection, "expired": noConnection, "a server's": noConnection,
		}},
		{"verify_if_given", "trust_pool file " + ca.file, map[string]int{
			"known": 200, "another's": 403, "nameless": 403, "none": 403, "forged": noConnection, "expired": noConnection, "a server's": noConnection,
		}},
		// These take any certificate: nobody is signed in by one.
		{"request", "", map[string]int{"known": 403, "another's": 403, "nameless": 403, "none": 403, "forged": 403, "expired": 403, "a server's": 403}},
		{"require", "", map[string]int{"known": 403, "another's": 403, "nameless": 403, "none": noConnection, "forged": 403, "expired": 403, "a server's": 403}},
	} {
		t.Run(test.mode, func(t *testing.T) {
			s := start(t, strings.Replace(global, "{", "{\nauto_https off", 1)+"https://localhost:<PORT> {\nbind 127.0.0.1\n"+
				"tls "+shown.File+" "+shown.Key+" {\nclient_auth {\nmode "+test.mode+"\n"+test.pool+"\n}\n}\n"+tokenDirective(rule)+"}\n", envA...)
			for name, want := range test.statuses {
				certificate := map[string]tls.Certificate{"known": known, "another's": known, "nameless": nameless, "none": none, "forged": forged, "expired": expired, "a server's": servers}[name]
				account := "42"
				if name == "another's" {
					account = "43"
				}
				a, err := s.askOverTLS(shown.Roots, certificate, `{"kind":"rtc","channel":"room-7","account":"`+account+`"}`)
				switch {
				case want == noConnection:
					if err == nil {
						t.Errorf("%s: answered %d, want no connection", name, a.StatusCode)
					}
				case err != nil:
					t.Errorf("%s: %v", name, err)
				case want == http.StatusOK:
					wantGranted(t, a)
				default:
					wantNotGranted(t, a)
				}
			}
		})
	}
}

func (s *sidecar) askOverTLS(roots *x509.CertPool, certificate tls.Certificate, body string) (answer, error) {
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if len(certificate.Certificate) > 0 {
		// Whatever CAs the server names.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: config}}
	r, err := http.NewRequest("POST", "https://127.0.0.1:"+s.port+"/token", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Host = "localhost:" + s.port
	r.Header.Set("Content-Type", "application/json")
	res, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return answer{res, string(read)}, err
}
