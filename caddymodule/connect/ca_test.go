package connect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

func mustCA(t *testing.T, now func() time.Time) *CA {
	t.Helper()
	ca, err := newCA(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// verify checks a chain of one certificate as clients do.
func verify(ca *CA, der []byte, name string, now time.Time) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
	return err
}

func TestCertificatesAreGoodForTheirHost(t *testing.T) {
	now := time.Now()
	ca := mustCA(t, time.Now)
	for _, host := range []string{"api.agora.io", "api-cn-east-1.sd-rtn.com"} {
		made, err := ca.forHost(host)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(ca, made.Certificate[0], host, now); err != nil {
			t.Error(err)
		}
		if err := verify(ca, made.Certificate[0], "api-eu-west-1.agora.io", now); err == nil {
			t.Error("a certificate is good for another host")
		}
		if len(made.Leaf.DNSNames) != 1 || len(made.Leaf.IPAddresses) != 0 || made.Leaf.IsCA {
			t.Errorf("%+v", made.Leaf.DNSNames)
		}
	}
	if other := mustCA(t, time.Now); other.certificate.Subject.CommonName == ca.certificate.Subject.CommonName {
		t.Error("two CAs have the same name")
	}
}

// Whoever has the CA's key can make no certificate that is accepted for anything but
// the two domains.
func TestForgedCertificatesAreRefused(t *testing.T) {
	ca := mustCA(t, time.Now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(change func(*x509.Certificate)) []byte {
		t.Helper()
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		change(template)
		der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, &key.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	named := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames = names }
	}
	if err := verify(ca, forge(named("api.agora.io")), "api.agora.io", time.Now()); err != nil {
		t.Fatalf("the test's own certificate: %v", err)
	}
	for name, test := range map[string]struct {
		change func(*x509.Certificate)
		verify string
	}{
		"another name":             {named("example.com"), "example.com"},
		"another name beside ours": {named("api.agora.io", "example.com"), "api.agora.io"},
		"a name that ends alike":   {named("evilagora.io"), "evilagora.io"},
		"a name that begins alike": {named("api.agora.io.evil.test"), "api.agora.io.evil.test"},
		"all names":                {named("*"), ""},
		"the domain above":         {named("*.io"), "agora.io"},
		"an IPv4 address":          {func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }, "127.0.0.1"},
		"an IPv6 address":          {func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv6loopback} }, "::1"},
		"a mail address":           {func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.com"} }, ""},
		"a URI":                    {func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "example.com"}} }, ""},
		"a client's certificate": {func(c *x509.Certificate) {
			c.DNSNames, c.ExtKeyUsage = []string{"api.agora.io"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, "api.agora.io"},
		"a signature on a program":  {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, ""},
		"a name in no extension":    {func(c *x509.Certificate) { c.Subject.CommonName = "example.com" }, "example.com"},
		"our name in no extension":  {func(c *x509.Certificate) { c.Subject.CommonName = "api.agora.io" }, "api.agora.io"},
		"a wildcard of the domains": {named("*.agora.io", "example.com"), "api.agora.io"},
	} {
		if err := verify(ca, forge(test.change), test.verify, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}

	// Nor can it hand the right on.
	below := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "below"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, below, ca.certificate, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if below, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(3), DNSNames: []string{"api.agora.io"}, NotBefore: below.NotBefore, NotAfter: below.NotAfter}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, below, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.certificate)
	between.AddCert(below)
	if _, err := parsed.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "api.agora.io"}); err == nil {
		t.Error("a CA below it is accepted")
	}
}

func TestCertificatesAreMadeAnewInTime(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := mustCA(t, func() time.Time { return now })
	of := func() *x509.Certificate {
		t.Helper()
		made, err := ca.forHost("api.agora.io")
		if err != nil {
			t.Fatal(err)
		}
		if now.Before(made.Leaf.NotBefore.Add(time.Hour)) || now.After(made.Leaf.NotAfter.Add(-time.Hour)) {
			t.Fatalf("at %s a certificate of %s to %s", now, made.Leaf.NotBefore, made.Leaf.NotAfter)
		}
		return made.Leaf
	}
	first := of()
	now = now.Add(hostLifetime/2 - time.Second)
	if of() != first {
		t.Error("a certificate was made anew too early")
	}
	now = now.Add(2 * time.Second)
	second := of()
	if second == first {
		t.Error("a certificate was not made anew")
	}
	now = now.Add(-30 * 24 * time.Hour / 30 * 2) // a clock that is set back by two days
	if of() == second {
		t.Error("a certificate of the future is used")
	}
	now = ca.certificate.NotAfter.Add(-2 * time.Hour)
	if end := of().NotAfter; !end.Equal(ca.certificate.NotAfter) {
		t.Errorf("a certificate ends at %s, its CA at %s", end, ca.certificate.NotAfter)
	}
}

func TestKeyAndCertificateOfAnotherCAAreNotTaken(t *testing.T) {
	ca, other := mustCA(t, time.Now), mustCA(t, time.Now)
	certificate, key, err := ca.encode()
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, _ := other.encode()
	unconstrained := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, unconstrained, unconstrained, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	// One that is like ours, but for more names.
	wide := *ca.certificate
	wide.PermittedDNSDomains = append([]string{"example.com"}, domains...)
	wideDER, err := x509.CreateCertificate(rand.Reader, &wide, &wide, &ca.key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ certificate, key []byte }{
		"one for more names":        {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: wideDER}), key},
		"the key of another":        {certificate, otherKey},
		"no key":                    {certificate, nil},
		"a key that is none":        {certificate, certificate},
		"no certificate":            {nil, key},
		"a certificate that is one": {key, key},
		"one without constraints":   {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key},
	} {
		if _, err := parseCA(test.certificate, test.key, time.Now); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error shows it", name)
		}
	}
	again, err := parseCA(certificate, key, time.Now)
	if err != nil || !again.certificate.Equal(ca.certificate) || !again.key.Equal(ca.key) {
		t.Errorf("it is not what it was: %v", err)
	}
}
