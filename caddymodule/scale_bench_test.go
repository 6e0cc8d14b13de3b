package caddymodule

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// BenchmarkScale is a join whose token is filled, through a whole server as in
// BenchmarkCall, of one app with many channels and of many apps. Every header token
// is in the cache. What prepares a request is the same work for any number.
//
// That a call costs the same is seen from the least of many short runs, one after
// another:
//
//	go test -c -o scale.test ./caddymodule
//	for i in {1..40}; do ./scale.test -test.run '^$' -test.bench Scale -test.cpu 1 -test.benchtime 20ms; done
func BenchmarkScale(b *testing.B) {
	upstream := benchUpstream(b)
	for _, channels := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) { benchScale(b, upstream, 1, channels) })
	}
	for _, apps := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("apps=%d", apps), func(b *testing.B) { benchScale(b, upstream, apps, 1) })
	}
}

// benchScale joins the channels of the apps in random order.
func benchScale(b *testing.B, upstream string, apps, channels int) {
	server := serverOf(b, "", scaleDirective(upstream, apps))
	app, err := AppOf(caddy.ActiveContext())
	if err != nil {
		b.Fatal(err)
	}
	join := newScaleJoin(apps, channels)
	serve := func(i int) {
		ctx, cancel := context.WithCancel(b.Context()) // as net/http makes one for each request
		defer cancel()
		w := &benchWriter{header: make(http.Header)}
		if server.ServeHTTP(w, join.request(i).WithContext(ctx)); w.status != http.StatusOK {
			b.Fatalf("answered %d", w.status)
		}
	}
	for i := range apps * channels {
		serve(i)
	}
	minted := app.state.tokens.Mints()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		serve(join.order[i%len(join.order)])
		i++
	}
	if tokens := app.state.tokens; tokens.Mints() != minted || tokens.Len() != apps*channels {
		b.Errorf("%d tokens are in the cache and %d were minted meanwhile, want %d and none", tokens.Len(), tokens.Mints()-minted, apps*channels)
	}
}

// scaleDirective has a number of apps, each with a certificate of its own.
func scaleDirective(upstream string, apps int) string {
	var directive strings.Builder
	fmt.Fprintf(&directive, "convoai {\n upstream http://%s\n", upstream)
	for i := range apps {
		fmt.Fprintf(&directive, " app %s {\n  app_certificate %032x\n }\n", scaleApp(i), 1000+i)
	}
	return directive.String() + "}"
}

func scaleApp(i int) string { return fmt.Sprintf("%032x", i+1) }

// scaleJoin makes joins. They share one request and one body, in which the name of
// the channel is overwritten, so that their number is no matter of the processor's
// caches.
type scaleJoin struct {
	r        *http.Request
	urls     []*url.URL // by app
	channels [][]byte   // their names
	body     []byte
	name     []byte // of the channel, within the body
	order    []int
}

func newScaleJoin(apps, channels int) *scaleJoin {
	j := &scaleJoin{r: &http.Request{
		Method: http.MethodPost, Host: "localhost", RemoteAddr: "127.0.0.1:9", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}, "Accept": {"*/*"}},
	}}
	for i := range apps {
		j.urls = append(j.urls, &url.URL{Path: "/v2/projects/" + scaleApp(i) + "/join"})
	}
	for i := range channels {
		j.channels = append(j.channels, fmt.Appendf(nil, "room-%05d", i))
	}
	j.body = []byte(`{"name":"agent","properties":{"channel":"room-00000","token":"","agent_rtc_uid":"1001","llm":{"system_messages":[{"content":"` + strings.Repeat("x", 850) + `"}]}}}`)
	j.name = j.body[bytes.Index(j.body, j.channels[0]):][:len(j.channels[0])]
	j.r.ContentLength = int64(len(j.body))
	// As long for one as for many.
	j.order = make([]int, 1<<14)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range j.order {
		j.order[i] = random.IntN(apps * channels)
	}
	return j
}

// request returns the join of one of the channels of one of the apps.
func (j *scaleJoin) request(i int) *http.Request {
	j.r.URL = j.urls[i%len(j.urls)]
	j.r.RequestURI = j.r.URL.Path
	copy(j.name, j.channels[i/len(j.urls)])
	j.r.Body = io.NopCloser(bytes.NewReader(j.body))
	return j.r
}
