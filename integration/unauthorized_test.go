package integration

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// picky is an upstream handler that refuses tokens for as long as refuse says,
// with the vendor's body.
func picky(refuse func(authorization string) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if refuse(r.Header.Get("Authorization")) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, vendorUnauthorized)
			return
		}
		_, _ = io.WriteString(w, okBody)
	}
}

const vendorUnauthorized = `{"message":"Invalid authentication credentials"}`

func TestRefusedTokenIsReplacedAndTheCallSentOnceMore(t *testing.T) {
	for _, protocol := range []string{"1.1", "2"} {
		t.Run("HTTP "+protocol, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			refused := ""
			up := newUpstream(t, picky(func(value string) bool {
				mu.Lock()
				defer mu.Unlock()
				if refused == "" {
					refused = value
				}
				return value == refused
			}))
			s := start(t, site(credentialsA, strings.Replace(to(up), "http {", "http {\n versions "+protocol, 1)), envA...)
			body := strings.Replace(joinBody("room", "1"), "given", strings.Repeat("x", 70_000), 1)
			if a := s.send("POST", joinA, body); a.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			sent := up.received()
			if len(sent) != 2 {
				t.Fatalf("sent %d times, want 2", len(sent))
			}
			for i, r := range sent {
				if r.body != body || r.uri != joinA {
					t.Errorf("attempt %d did not carry the whole call", i+1)
				}
			}
			if sent[0].token(t) == sent[1].token(t) {
				t.Error("the refused token was sent again")
			}
			checkToken(t, sent[1].token(t), appA, certificateA, "room", "1")

			up.reset()
			s.send("POST", joinA, body)
			if up.only(t).token(t) != sent[1].token(t) {
				t.Error("the next call did not use the token that was accepted")
			}
		})
	}
}

// A credential that is refused every time is not made anew for every call.
func TestLastingRefusalIsTheCallersToSee(t *testing.T) {
	up := newUpstream(t, picky(func(string) bool { return true }))
	s := start(t, site(credentialsA, to(up)), envA...)
	const n = 20
	for i := range n {
		before := len(up.received())
		a := s.send("POST", joinA, joinBody("room", "1"))
		if a.StatusCode != http.StatusUnauthorized || a.body != vendorUnauthorized || a.Header.Get("X-Convoai-Error") != "" {
			t.Fatalf("%d %s, want the vendor's 401", a.StatusCode, a.body)
		}
		if sends := len(up.received()) - before; sends < 1 || sends > 2 {
			t.Errorf("call %d was sent %d times, want at most 2", i, sends)
		}
	}
	tokens := map[string]bool{}
	for _, r := range up.received() {
		tokens[r.token(t)] = true
	}
	if len(tokens) > n/2 {
		t.Errorf("%d tokens were made for %d calls that were all refused", len(tokens), n)
	}
}

// What was not minted cannot be replaced.
func TestRefusedStaticCredentialsAreSentOnce(t *testing.T) {
	for _, test := range []struct{ name, settings string }{
		{"Basic", "app_id {env.A_ID}\ncustomer_id me\ncustomer_secret {env.SECRET}"},
		{"Basic beside a certificate", credentialsA + "\ncustomer_id me\ncustomer_secret {env.SECRET}"},
		{"pre-built token", "app_id {env.A_ID}\nauth_token {env.TOKEN}"},
		{"pre-built token beside a certificate", credentialsA + "\nauth_token {env.TOKEN}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, picky(func(string) bool { return true }))
			s := start(t, site(test.settings, to(up)), append(envA, "SECRET=mine", "TOKEN="+preBuilt(t, time.Now().Add(time.Hour)))...)
			if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusUnauthorized || a.body != vendorUnauthorized {
				t.Errorf("%d %s, want the vendor's 401", a.StatusCode, a.body)
			}
			up.only(t)
		})
	}
}

// The second attempt after a 401 is no excuse to send a join a third time.
func TestResendAfterA401ThatBreaksIsNotRepeated(t *testing.T) {
	n := 0
	first := newPlainUpstream(t, nil)
	first.handler = func(w http.ResponseWriter, r *http.Request) {
		if n++; n > 1 {
			resetConnection(w, r)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}
	second := newPlainUpstream(t, nil)
	s := start(t, site(credentialsA, toPlain(first.URL, second.URL)), envA...)
	a := s.send("POST", joinA, joinBody("room", "1"))
	if a.StatusCode == http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if len(first.received()) != 2 || len(second.received()) != 0 {
		t.Errorf("sent %d and %d times", len(first.received()), len(second.received()))
	}
}

// A refused token of a filled body is replaced once: the body is whole both times.
func TestRefusedTokenOfAFilledBodyIsReplacedOnce(t *testing.T) {
	var first atomic.Value
	up := newUpstream(t, picky(func(value string) bool {
		first.CompareAndSwap(nil, value)
		return value == first.Load()
	}))
	s := start(t, site(credentialsA, to(up)), envA...)
	if a := s.send("POST", joinA, bareJoin("room")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	sent := up.received()
	if len(sent) != 2 || sent[0].body != sent[1].body || !strings.Contains(sent[0].body, `"token":"007`) {
		t.Fatalf("sent %d times, not with one whole body", len(sent))
	}
	if sent[0].token(t) == sent[1].token(t) {
		t.Error("the refused token was sent again")
	}
}

// Under load, too, a vendor that refuses everything gets two sends of a call at
// most, and few tokens are made.
func TestLastingRefusalUnderLoadMakesFewTokens(t *testing.T) {
	up := newUpstream(t, picky(func(string) bool { return true }))
	s := start(t, site(credentialsA, "app_certificate_secondary {env.SECOND}", to(up)), append(envA, "SECOND="+certificateB)...)
	const channels, n = 4, 600
	began := time.Now()
	refused := s.many(n, func(i int) (string, string, string) { return "POST", joinA, joinBody("room-"+itoa(i%channels), "1") })
	took := time.Since(began)
	if refused != n {
		t.Errorf("%d of %d calls were answered otherwise than by 401", n-refused, n)
	}
	tokens, sends := map[string]bool{}, len(up.received())
	for _, r := range up.received() {
		tokens[r.token(t)] = true
	}
	if sends > 2*n {
		t.Errorf("%d calls were sent %d times", n, sends)
	}
	// A rest lasts a second at least, but calls that are under way as one begins
	// have passed the check: one round of them for each rest, at most.
	rests := 1 + int(took/time.Second)
	if most := 3 * channels * rests; len(tokens) > most {
		t.Errorf("%d tokens for %d channels in %s, want %d at most", len(tokens), channels, took, most)
	}
	if most := n + rests*2*16; sends > most {
		t.Errorf("%d sends of %d calls, want %d at most", sends, n, most)
	}
}
