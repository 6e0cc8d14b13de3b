package tokenserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/AgoraIO-Community/go-tokenbuilder/rtctokenbuilder2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// BenchmarkTokenServer asks for RTC tokens over HTTP: this server within Caddy, with
// authentication in front and a rule to be matched, beside the vendor's guide, which
// is a net/http handler that calls the vendor's builder. Both answer the same client
// over kept connections of the loopback interface, in turns within one run; vs-vendor
// is the ratio of tokens per second.
func BenchmarkTokenServer(b *testing.B) {
	const body = `{"uid":42,"ChannelName":"room-7","role":1}`
	server := serve(b, "dialects rtc\nallow {\nchannels room-*\naccounts {user}\nroles publisher\n}")
	handlers := server.(*caddyhttp.Server).Routes[0].Handlers
	handlers[len(handlers)-1].(*Handler).logger = zap.NewNop()
	ours, theirs := httptest.NewServer(server), httptest.NewServer(http.HandlerFunc(guideServer))
	b.Cleanup(ours.Close)
	b.Cleanup(theirs.Close)

	const batch, clients = 200, 8
	var spent [2]time.Duration
	requests := 0
	for b.Loop() {
		for i, url := range []string{ours.URL, theirs.URL} {
			start := time.Now()
			if err := askMany(url+"/fetch_rtc_token", body, batch, clients); err != nil {
				b.Fatal(err)
			}
			spent[i] += time.Since(start)
		}
		requests += batch
	}
	b.ReportMetric(float64(requests)/spent[0].Seconds(), "tokens/s")
	b.ReportMetric(float64(requests)/spent[1].Seconds(), "vendor-tokens/s")
	b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "vs-vendor")
}

// client keeps as many connections as askMany uses.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// askMany sends a number of requests from several clients at once.
func askMany(url, body string, requests, clients int) error {
	errs := make(chan error, clients)
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			for range requests / clients {
				if err := askOnce(url, body); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	done.Wait()
	close(errs)
	return <-errs
}

func askOnce(url, body string) error {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signInHeader, "42")
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s, %w", res.Status, err)
	}
	return nil
}

// guideServer is the server of the vendor's guide, less its log lines and its data
// race.
func guideServer(w http.ResponseWriter, r *http.Request) {
	var request struct {
		UID         uint32 `json:"uid"`
		ChannelName string `json:"ChannelName"`
		Role        uint32 `json:"role"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, err := rtctokenbuilder2.BuildTokenWithUid(appID, certificate, request.ChannelName, request.UID, rtctokenbuilder2.Role(request.Role), 3600, 3600)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(map[string]string{"token": text, "code": "200"})
	_, _ = w.Write(body)
}

// BenchmarkGrant is what the handler itself costs, from the request's body to the
// answer's.
func BenchmarkGrant(b *testing.B) {
	h := serve(b, "allow {\nchannels room-*\naccounts {user}\nroles publisher\n}").(*caddyhttp.Server).Routes[0].Handlers[1].(*Handler)
	h.logger = zap.NewNop()
	const body = `{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher","expire":600}`
	rules := rulesOf(b, "allow {\nchannels room-*\naccounts 42\nroles publisher\n}")
	h.rules = rules
	e := &nativeEndpoints[0]
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	r.ContentLength = int64(len(body))
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		granted, refused := h.grant(e, r, nil)
		if refused != nil {
			b.Fatal(refused.detail)
		}
		e.granted(granted)
	}
}
