package connect

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// How long certificates are good for. Those of hosts are made anew when half of the
// time is over, which clients do not notice.
const (
	caLifetime   = 10 * 365 * 24 * time.Hour
	hostLifetime = 24 * time.Hour

	// backdated is for clients whose clock is behind.
	backdated = 24 * time.Hour
)

// domains are all that certificates of the CA can be for, with what is below them.
var domains = []string{"agora.io", "sd-rtn.com"}

// A CA makes the certificates for the hosts that are intercepted. It has a P-256
// key, and critical name constraints: agora.io, sd-rtn.com and what is below them,
// and no IP address, whoever has its key. It is safe for concurrent use.
type CA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	now         func() time.Time

	mu    sync.Mutex // guards hosts
	hosts map[string]*tls.Certificate
}

// newCA makes a CA.
func newCA(now func() time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(public)
	template := &x509.Certificate{
		// Clients look for a CA by its name: two of them must not share one.
		Subject:   pkix.Name{Organization: []string{"caddy-convoai"}, CommonName: "caddy-convoai intercept CA " + hex.EncodeToString(id[:4])},
		NotBefore: now().Add(-backdated),
		NotAfter:  now().Add(caLifetime),

		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		// A kind of name that has no constraint is not constrained.
		PermittedEmailAddresses: domains,
		PermittedURIDomains:     domains,
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{certificate: certificate, key: key, now: now}, nil
}

// errOfTwo is why a certificate and a key are no CA. It may be so for a moment only,
// while another sidecar replaces the CA.
var errOfTwo = errors.New("certificate and key do not belong together")

// parseCA reads what encode has written. It takes no CA that can do more than ours.
func parseCA(certificate, key []byte, now func() time.Time) (*CA, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	if !c.IsCA || !c.MaxPathLenZero || !c.PermittedDNSDomainsCritical || !slices.Equal(c.PermittedDNSDomains, domains) || len(c.ExcludedIPRanges) != 2 {
		return nil, errors.New("it is no CA that caddy-convoai has made")
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("the key is not in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !private.PublicKey.Equal(c.PublicKey) {
		return nil, errOfTwo
	}
	return &CA{certificate: c, key: private, now: now}, nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the certificate is not in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// encode returns the certificate, and the key, which is a secret.
func (c *CA) encode() (certificate, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, nil, err
	}
	return c.PEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// PEM returns the certificate that clients have to trust.
func (c *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw})
}

// Certificate returns the certificate that clients have to trust. It must not be
// changed.
func (c *CA) Certificate() *x509.Certificate { return c.certificate }

// forHost returns a certificate for one of the vendor's hosts.
func (c *CA) forHost(host string) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if made := c.hosts[host]; made != nil && !now.Before(made.Leaf.NotBefore.Add(backdated/2)) && now.Before(made.Leaf.NotAfter.Add(-hostLifetime/2)) {
		return made, nil
	}
	made, err := c.issue(host, now)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", host, err)
	}
	if c.hosts == nil {
		c.hosts = make(map[string]*tls.Certificate) // as many as the vendor has hosts
	}
	c.hosts[host] = made
	return made, nil
}

func (c *CA) issue(host string, now time.Time) (*tls.Certificate, error) {
	end := now.Add(hostLifetime)
	if end.After(c.certificate.NotAfter) {
		end = c.certificate.NotAfter
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: host},
		DNSNames:              []string{host},
		NotBefore:             now.Add(-backdated),
		NotAfter:              end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.certificate, &key.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
