package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"testing"
)

// TestMain lets the test binary be what a measurement starts: the upstream, as the
// command itself would be, and a proxy in the place of Caddy.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case upstreamArgument:
			main()
			return
		case "run":
			fmt.Fprintln(os.Stderr, standIn(os.Args[3]))
			os.Exit(1)
		case "version":
			fmt.Println("v0.0.0 stand-in")
			return
		}
	}
	os.Exit(m.Run())
}

// standIn serves the first site of a Caddyfile, after a fashion: it passes requests
// on to the address that is in it, with an Authorization header.
func standIn(config string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?s)http://(:\d+).*?(127\.0\.0\.1:\d+)`).FindSubmatch(text)
	if found == nil {
		return fmt.Errorf("no address in %s", text)
	}
	upstream := &url.URL{Scheme: "http", Host: string(found[2])}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", authorization)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return http.ListenAndServe("127.0.0.1"+string(found[1]), proxy)
}
