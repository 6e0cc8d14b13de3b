package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// swap replaces a file as a whole, as secret stores do.
func (s *sidecar) swap(name, content string) {
	s.t.Helper()
	temporary := filepath.Join(s.dir, name+".new")
	writeFile(s.t, temporary, content)
	if err := os.Rename(temporary, filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

func TestReplacedCertificateFileSignsTheNextCalls(t *testing.T) {
	up := newUpstream(t, nil)
	s := boot{
		caddyfile: site("app_id "+appA, "app_certificate {file.<DIR>/certificate}", to(up)),
		files:     map[string]string{"certificate": certificateA + "\n"},
	}.start(t)
	next := func() string {
		up.reset()
		if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return up.only(t).token(t)
	}
	old := next()
	checkToken(t, old, appA, certificateA, "room", "1")

	// changed sends calls until one comes with another token than before.
	changed := func(before string) string {
		t.Helper()
		began := time.Now()
		now := before
		waitFor(t, "another token", func() bool { now = next(); return now != before })
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the file, which is looked at once a second, was noticed after %s", took)
		}
		return now
	}
	s.swap("certificate", certificateB+" \r\n")
	fresh := changed(old)
	checkToken(t, fresh, appA, certificateB, "room", "1")

	// What cannot be a certificate changes nothing, and is said once.
	s.swap("certificate", "canary-garbage\n")
	waitFor(t, "the log to mention the file", func() bool {
		if next() != fresh {
			t.Fatal("garbage in the file changed the token")
		}
		return contains(s.stderr, "cannot be used")
	})
	if err := os.Remove(filepath.Join(s.dir, "certificate")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(1200 * time.Millisecond); time.Now().Before(deadline); {
		if next() != fresh {
			t.Fatal("removing the file changed the token")
		}
	}
	s.swap("certificate", certificateA)
	back := changed(fresh)
	checkToken(t, back, appA, certificateA, "room", "1")
	for _, secret := range []string{"canary", certificateA, certificateB} {
		if contains(s.stderr, secret) || contains(s.stdout, secret) {
			t.Error("the log shows a content of the file")
		}
	}
}

func TestReplacedCustomerSecretFileIsUsedNext(t *testing.T) {
	up := newUpstream(t, nil)
	s := boot{
		caddyfile: site("app_id "+appA, "customer_id me", "customer_secret {file.<DIR>/secret}", "caller_token {file.<DIR>/caller}", to(up)),
		files:     map[string]string{"secret": "old", "caller": "old-caller"},
	}.start(t)
	send := func(caller string) answer {
		up.reset()
		return s.send("GET", listA, "", "X-Convoai-Caller-Token: "+caller)
	}
	send("old-caller")
	if up.only(t).authorization(t) != basic("me", "old") {
		t.Fatal("not the secret of the file")
	}
	s.swap("secret", "new\n")
	waitFor(t, "the new secret", func() bool {
		send("old-caller")
		return up.only(t).authorization(t) == basic("me", "new")
	})
	s.swap("caller", "new-caller")
	waitFor(t, "the new caller token", func() bool { return send("new-caller").StatusCode == http.StatusOK })
	if a := send("old-caller"); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old caller token still opens: %d", a.StatusCode)
	}
}
