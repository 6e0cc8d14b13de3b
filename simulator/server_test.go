package simulator_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
)

func TestListenServesPlainAndTLS(t *testing.T) {
	each(t, func(t *testing.T, b *bench, client *http.Client, url string) {
		response, err := post(t.Context(), b, client, url, joinBody("a", "room-1"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("join answered %s", response.Status)
		}
		wantProto := map[string]string{"plain": "HTTP/1.1", "TLS": "HTTP/1.1", "HTTP2": "HTTP/2.0"}[t.Name()[strings.LastIndex(t.Name(), "/")+1:]]
		if got := b.Calls()[0].Proto; got != wantProto {
			t.Errorf("served by %s, want %s", got, wantProto)
		}
		if secure := strings.HasPrefix(url, "https://"); secure != (wantProto == "HTTP/2.0" || response.TLS != nil) {
			t.Errorf("URL %s", url)
		}
	})
}

func TestOneSimulatorServesSeveralAddresses(t *testing.T) {
	b := newBench(t, simulator.Options{})
	_, west := serve(t, b, false, false)
	client, east := serve(t, b, true, true)
	response, err := post(t.Context(), b, http.DefaultClient, west.URL(), joinBody("a", "room-1"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	response, err = post(t.Context(), b, client, east.URL(), joinBody("a", "room-1"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusConflict {
		t.Errorf("the agent of the other address is not known: %s", response.Status)
	}
}

func TestListenFailsOnATakenAddress(t *testing.T) {
	b := newBench(t, simulator.Options{})
	_, server := serve(t, b, false, false)
	if second, err := b.Listen(server.Addr().String(), nil); err == nil {
		second.Close()
		t.Error("no error")
	}
}

func TestServerReportsAFailingListener(t *testing.T) {
	b := newBench(t, simulator.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := b.Serve(listener, nil)
	if server.Err() != nil {
		t.Error("an error from the start")
	}
	listener.Close()
	select {
	case <-server.Done():
	case <-time.After(time.Minute):
		t.Fatal("the server goes on without a listener")
	}
	if server.Err() == nil {
		t.Error("no error")
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestShutdownAnswersWhatIsUnderWayAndEndsStalls(t *testing.T) {
	b := newBench(t, simulator.Options{})
	client, server := serve(t, b, false, false)
	b.setFaults(
		simulator.Fault{Operation: "join", Times: 1, Delay: time.Hour},
		simulator.Fault{Operation: "join", Times: 1, Action: simulator.Stall},
	)
	type outcome struct {
		status int
		err    error
	}
	outcomes := make(chan outcome, 2)
	for i := range 2 {
		go func() {
			response, err := post(context.Background(), b, client, server.URL(), joinBody(string(rune('a'+i)), "room-1"))
			if err != nil {
				outcomes <- outcome{0, err}
				return
			}
			response.Body.Close()
			outcomes <- outcome{response.StatusCode, nil}
		}()
	}
	waitFor(t, "both calls", func() bool {
		calls := b.Calls()
		return len(calls) == 2 && len(calls[0].Body) > 0 && len(calls[1].Body) > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	answered, broken := 0, 0
	for range 2 {
		if o := <-outcomes; o.err != nil {
			broken++
		} else if o.status == 200 {
			answered++
		}
	}
	if answered != 1 || broken != 1 {
		t.Errorf("%d answered, %d broken off; want the delayed one answered and the stalled one broken off", answered, broken)
	}
	if server.Err() != nil {
		t.Error(server.Err())
	}
	// Somebody else may have the port by now, so a connection would say nothing.
	before := len(b.Calls())
	if response, err := post(ctx, b, client, server.URL(), joinBody("c", "room-1")); err == nil {
		response.Body.Close()
	}
	if len(b.Calls()) != before {
		t.Error("still takes calls")
	}
}

func TestCertificateIsForItsHostsAndSignedByItsCA(t *testing.T) {
	made, ca, err := simulator.Certificate("api.agora.io", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(ca)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Fatal("the CA is not one certificate in PEM")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for host, good := range map[string]bool{"api.agora.io": true, "127.0.0.1": true, "::1": true, "evil.test": false, "127.0.0.2": false} {
		if _, err := made.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, ok := made.PrivateKey.(*ecdsa.PrivateKey); !ok {
		t.Errorf("key %T", made.PrivateKey)
	}
	if life := made.Leaf.NotAfter.Sub(made.Leaf.NotBefore); life > 8*24*time.Hour {
		t.Errorf("valid for %s", life)
	}
	other, _, err := simulator.Certificate("api.agora.io")
	if err != nil {
		t.Fatal(err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := other.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "api.agora.io"}); !errors.As(err, &unknown) {
		t.Errorf("a certificate of another run: %v", err)
	}
	if _, _, err := simulator.Certificate(); err == nil {
		t.Error("a certificate for nobody")
	}
}

func TestRandomProjectsAreUsableAndDiffer(t *testing.T) {
	p, q := simulator.RandomProject(), simulator.RandomProject()
	if p.AppID == q.AppID || p.AppCertificate == q.AppCertificate || p.CustomerSecret == q.CustomerSecret || p.AppID == p.AppCertificate {
		t.Error("projects share what should be random")
	}
	b := newBench(t, simulator.Options{Projects: []simulator.Project{p, q}})
	path := api.PrefixGlobal + "/v2/projects/" + p.AppID + "/agents"
	b.send("GET", path, "", "agora token="+b.token(p, nil)).want(200, "")
	b.send("GET", path, "", basic(p.CustomerID, p.CustomerSecret)).want(200, "")
	b.send("GET", path, "", basic(q.CustomerID, q.CustomerSecret)).want(403, api.ReasonInvalidPermission)
}
