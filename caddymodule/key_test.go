package caddymodule

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
	"time"
	"unique"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
)

// asked is everything that tells one call's token from another's.
type asked struct {
	appID, certificate string
	channel, account   string
	lifetime           time.Duration
	quoted             bool
}

// anyAsked draws from few values that are easily confused, so that many inputs
// differ in one of them alone.
func anyAsked(r *rand.Rand) asked {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	texts := []string{"a", "b", "ab", "aa", "stop", "0", "1", "01", "10", "a\x00b", "b:c", `"`, "ä"}
	return asked{
		appID:       pick(testAppID, otherAppID, "970ca35de60c44645bbae8a215061b33"),
		certificate: pick(testCertificate, secondaryCertificate, otherAppID),
		channel:     pick(texts...),
		account:     pick(texts...),
		lifetime:    time.Duration(1+r.IntN(3)) * time.Hour,
		quoted:      r.IntN(2) == 0,
	}
}

// However inputs are alike, a token is only ever handed out for its own: two
// different ones never share an entry of the cache.
func TestDifferentInputsNeverShareAKey(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	logger, _ := observed()
	type site struct {
		appID, certificate string
		lifetime           time.Duration
		quoted             bool
	}
	projects := map[site]*project{}
	owner := map[*mintedToken]asked{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		in := anyAsked(r)
		where := site{in.appID, in.certificate, in.lifetime, in.quoted}
		p := projects[where]
		if p == nil {
			var err error
			s := Settings{ExpiresIn: caddy.Duration(in.lifetime), QuoteToken: &in.quoted}.withDefaults()
			if p, err = newProject(Credentials{AppID: in.appID, AppCertificate: in.certificate}, s, shared, logger, clock.now); err != nil {
				t.Fatal(err)
			}
			projects[where] = p
		}
		c, err := p.authorize(t.Context(), api.Join, api.Session{Channel: in.channel, Account: in.account})
		if err != nil {
			t.Fatal(err)
		}
		if first, known := owner[c.minted]; known {
			if first != in {
				t.Fatalf("%+v has the token of %+v", in, first)
			}
			continue
		}
		owner[c.minted] = in
		// The token is what was asked for, so that the inputs which were told
		// apart above are those that matter.
		got := parsed(t, c)
		rtc, _ := got.Service(token.ServiceRTC)
		rtm, _ := got.Service(token.ServiceRTM)
		if got.AppID != in.appID || got.Verify(in.certificate) != nil || rtc.Channel != in.channel || rtc.Account != in.account ||
			rtm.Account != in.account || time.Duration(got.Expire)*time.Second != in.lifetime || c.header != tokenHeader(c.secret, in.quoted) {
			t.Fatalf("not the token of %+v", in)
		}
	}
	if len(owner) < 5000 || shared.tokens.Len() != len(owner) {
		t.Errorf("%d tokens in %d entries", len(owner), shared.tokens.Len())
	}
}

// Calls that are about no channel have the same one in all apps. Their keys must
// not all end up in one chain, even if one certificate is configured for all.
func TestHashTellsAppsApart(t *testing.T) {
	const apps = 1000
	for name, signer := range map[string]func(i int) signerID{
		"certificates": func(i int) signerID { return signerID{testAppID, sha256.Sum256([]byte{byte(i), byte(i >> 8)})} },
		"app IDs":      func(i int) signerID { return signerID{fmt.Sprintf("%032x", i), [sha256.Size]byte{}} },
	} {
		seed := maphash.MakeSeed()
		seen := map[uint64]bool{}
		var signers []unique.Handle[signerID] // kept: the address of one that is not may be another's later
		for i := range apps {
			signers = append(signers, unique.Make(signer(i)))
			seen[hashTokenKey(seed, tokenKey{signer: signers[i], channel: stopChannel, account: stopAccount})%(4*apps)] = true
		}
		if len(seen) < apps*3/4 {
			t.Errorf("%s: the keys of %d apps share %d buckets of %d", name, apps, len(seen), 4*apps)
		}
	}
}
