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

// Caddy's own means in front of the directive decide who may call.

// The user and the password that basic_auth asks for are none of the vendor's
// business, although they come in the header that is ours.
func TestBehindBasicAuthThePasswordDoesNotGoUpstream(t *testing.T) {
	hash, stderr, status := boot{args: []string{"hash-password", "--bcrypt-cost", "4", "--plaintext", "canary-password"}}.run(t)
	if status != 0 {
		t.Fatal(stderr)
	}
	w := newWire(t, nil)
	s := start(t, global+"http://:<PORT> {\nbind 127.0.0.1\nbasic_auth {\ncanary-user "+strings.TrimSpace(hash)+"\n}\nconvoai {\n"+credentialsA+"\n"+toPlain(w.url)+"\n}\n}\n", envA...)
	for _, given := range [][]string{
		nil,
		{"Authorization: " + basic("canary-user", "wrong")},
		{"Authorization: " + basic("other", "canary-password")},
		{"Authorization: " + basic("", "")},
		{"Authorization: Bearer canary-password"},
		{"Authorization: agora token=canary"},
		{"Authorization: " + basic("canary-user", "wrong"), "Authorization: " + basic("canary-user", "canary-password")},
		{"X-Convoai-Caller-Token: canary-password"},
	} {
		if a := s.send("POST", joinA, joinBody("room", "1"), given...); a.StatusCode != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("with %d headers: %d, want Caddy's 401", len(given), a.StatusCode)
		}
	}
	if got := w.received(); len(got) != 0 {
		t.Fatalf("%d calls of those who may not call were sent", len(got))
	}
	for range 2 {
		if a := s.send("POST", joinA, joinBody("room", "1"), "Authorization: "+basic("canary-user", "canary-password")); a.StatusCode != http.StatusOK || a.body != okBody {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	got := w.received()
	if len(got) != 2 {
		t.Fatalf("%d calls were sent, want 2", len(got))
	}
	for _, raw := range got {
		if strings.Contains(raw, "canary") || strings.Contains(raw, strings.TrimPrefix(basic("canary-user", "canary-password"), "Basic ")) {
			t.Error("the user or the password went upstream")
		}
		if strings.Count(strings.ToLower(raw), "\r\nauthorization:") != 1 || !strings.Contains(raw, "\r\nAuthorization: agora token=007") {
			t.Error("Authorization is not our token alone")
		}
	}
	if strings.Contains(s.stderr.String(), "canary-password") {
		t.Error("the password is in the log")
	}
}

// clientCertificate makes a certificate for clients, and writes the CA that
// signed it into a file.
func clientCertificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	made := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return key, der
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + " CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, caDER := made(ca, nil, nil)
	key, der := made(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, caKey)
	file := filepath.Join(t.TempDir(), "client-ca.pem")
	writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestBehindClientCertificatesStrangersAreRefused(t *testing.T) {
	up := newPlainUpstream(t, nil)
	shown, err := corpus.WriteCertificate(t.TempDir(), "site", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	known, trusted := clientCertificate(t, "known")
	stranger, _ := clientCertificate(t, "stranger")
	s := start(t, strings.Replace(global, "{", "{\nauto_https off", 1)+"https://localhost:<PORT> {\nbind 127.0.0.1\n"+
		"tls "+shown.File+" "+shown.Key+" {\nclient_auth {\nmode require_and_verify\ntrust_pool file "+trusted+"\n}\n}\n"+
		"convoai {\n"+credentialsA+"\n"+toPlain(up.URL)+"\n}\n}\n", envA...)
	call := func(certificates ...tls.Certificate) (int, string, error) {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{RootCAs: shown.Roots, ServerName: "localhost", Certificates: certificates}}}
		r, err := http.NewRequest("POST", "https://127.0.0.1:"+s.port+joinA, strings.NewReader(joinBody("room", "1")))
		if err != nil {
			return 0, "", err
		}
		r.Host = "localhost:" + s.port
		res, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return res.StatusCode, string(body), err
	}
	for name, certificates := range map[string][]tls.Certificate{"no certificate": nil, "a certificate of another CA": {stranger}} {
		if status, _, err := call(certificates...); err == nil {
			t.Errorf("with %s: answered %d, want no connection", name, status)
		}
	}
	up.untouched(t)
	if status, body, err := call(known); err != nil || status != http.StatusOK || body != okBody {
		t.Fatalf("with a certificate that is trusted: %d %s %v", status, body, err)
	}
	got := up.only(t)
	checkToken(t, got.token(t), appA, certificateA, "room", "1")
}

// Of addresses, Caddy's remote_ip in front decides, and no header does.
func TestBehindRemoteIPOthersAreRefused(t *testing.T) {
	up := newPlainUpstream(t, nil)
	s := start(t, global+"http://:<PORT> {\nbind 127.0.0.1\n@known remote_ip 127.0.0.2\nhandle @known {\nconvoai {\n"+credentialsA+"\n"+toPlain(up.URL)+"\n}\n}\n"+
		"handle {\nrespond \"not for you\" 403\n}\n}\n", envA...)
	for _, from := range []string{"127.0.0.1", "127.0.0.3"} {
		s.client = clientFrom(from)
		for _, header := range []string{"Accept: */*", "X-Forwarded-For: 127.0.0.2", "Forwarded: for=127.0.0.2", "X-Real-Ip: 127.0.0.2", "Client-Ip: 127.0.0.2"} {
			if a := s.send("GET", listA, "", header); a.StatusCode != http.StatusForbidden || a.body != "not for you" {
				t.Errorf("from %s with %s: %d %s", from, header, a.StatusCode, a.body)
			}
		}
	}
	up.untouched(t)
	s.client = clientFrom("127.0.0.2")
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK || a.body != okBody {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	checkToken(t, up.only(t).token(t), appA, certificateA, "room", "1")
}
