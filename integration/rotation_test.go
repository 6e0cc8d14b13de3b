package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
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
	t.Parallel()
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
		if took := time.Since(began); took > prompt {
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
	t.Parallel()
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

// signedBy returns which of certificates a token was signed with.
func signedBy(text string, certificates ...string) int {
	parsed, err := token.Parse(text)
	if err != nil {
		return -1
	}
	for i, certificate := range certificates {
		if parsed.Verify(certificate) == nil {
			return i
		}
	}
	return -1
}

// load is callers that send joins until they are stopped.
type load struct {
	stop    chan struct{}
	callers sync.WaitGroup
	calls   atomic.Int64

	mu     sync.Mutex // guards failed
	failed []string
}

func (s *sidecar) load(callers int) *load {
	l := &load{stop: make(chan struct{})}
	for i := range callers {
		l.callers.Go(func() {
			body := joinBody(fmt.Sprintf("room-%d", i), "1")
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				a, err := s.try("POST", joinA, body)
				l.calls.Add(1)
				if err == nil && a.StatusCode == http.StatusOK {
					continue
				}
				l.mu.Lock()
				if err != nil {
					l.failed = append(l.failed, err.Error())
				} else {
					l.failed = append(l.failed, a.Status+" "+a.body)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

// end stops the callers and returns what has failed.
func (l *load) end() []string {
	close(l.stop)
	l.callers.Wait()
	return l.failed
}

// However a file is replaced, and while calls go on: none fails, and within
// seconds all tokens are signed with the new certificate.
func TestCertificateIsReplacedUnderLoad(t *testing.T) {
	symlink := func(t *testing.T, s *sidecar, to string) {
		t.Helper()
		temporary := filepath.Join(s.dir, "..data.new")
		if err := os.Symlink(to, temporary); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(s.dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		file    string
		replace func(t *testing.T, s *sidecar, certificate string)
	}{
		{"another file moved over it", "certificate", func(t *testing.T, s *sidecar, certificate string) { s.swap("certificate", certificate) }},
		{"rewritten in place", "certificate", func(t *testing.T, s *sidecar, certificate string) {
			writeFile(t, filepath.Join(s.dir, "certificate"), certificate)
		}},
		{"a link to its folder swapped", "..data/certificate", func(t *testing.T, s *sidecar, certificate string) {
			dir := fmt.Sprintf("..%d", time.Now().UnixNano())
			if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(s.dir, dir, "certificate"), certificate)
			symlink(t, s, dir)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil)
			dir := t.TempDir()
			files := &sidecar{t: t, dir: dir}
			test.replace(t, files, certificateA)
			s := boot{caddyfile: site("app_id "+appA, "app_certificate {file."+filepath.Join(dir, test.file)+"}", to(up))}.start(t)
			certificates := []string{certificateA, certificateB}
			calls := s.load(8)
			for i, certificate := range []string{certificateB, certificateA} {
				waitFor(t, "calls with the certificate of before", func() bool {
					all := up.received()
					return len(all) > 0 && signedBy(all[len(all)-1].token(t), certificates...) == i
				})
				test.replace(t, files, certificate)
				replaced := time.Now()
				waitFor(t, "calls with the new certificate alone", func() bool {
					up.reset()
					before := calls.calls.Load()
					waitFor(t, "some calls", func() bool { return calls.calls.Load() > before+16 })
					for _, r := range up.received() {
						if signedBy(r.token(t), certificates...) != 1-i {
							return false
						}
					}
					return true
				})
				if took := time.Since(replaced); took > prompt {
					t.Errorf("the file, which is looked at once a second, was noticed after %s", took)
				}
			}
			if failed := calls.end(); len(failed) > 0 {
				t.Errorf("%d of %d calls failed: %s", len(failed), calls.calls.Load(), failed[0])
			}
		})
	}
}

// What cannot be a certificate fails no call and is said once, however long it
// stays, and also where nothing is called.
func TestCertificateIsReplacedByGarbageUnderLoad(t *testing.T) {
	up := newUpstream(t, nil)
	s := boot{
		caddyfile: site("app_id "+appA, "app_certificate {file.<DIR>/certificate}", to(up)),
		files:     map[string]string{"certificate": certificateA},
	}.start(t)
	const line = "cannot be used"
	s.swap("certificate", "canary-garbage")
	s.logged(line) // nobody has called yet
	calls := s.load(4)
	began := time.Now()
	for _, content := range []string{"canary", "", strings.Repeat("canary", 1000)} {
		s.swap("certificate", content)
		waitFor(t, "the file to be looked at", func() bool { return time.Since(began) > 1200*time.Millisecond })
		began = time.Now()
	}
	if failed := calls.end(); len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %s", len(failed), calls.calls.Load(), failed[0])
	}
	if n := strings.Count(s.stderr.String(), line); n != 1 {
		t.Errorf("%d lines of the log, want 1", n)
	}
	tokens := map[string]bool{}
	for _, r := range up.received() {
		tokens[r.token(t)] = true
		if signedBy(r.token(t), certificateA) != 0 {
			t.Fatal("signed with something else")
		}
	}
	if len(tokens) != 4 {
		t.Errorf("%d tokens for 4 channels", len(tokens))
	}
	if contains(s.stderr, "canary") {
		t.Error("the log shows the content of the file")
	}
}
