package caddymodule

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A caller who waits to be asked for the body hears that it is not wanted.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	server := httptest.NewServer(serverOf(t, "", siteFor(t, "app_certificate {env.CERTIFICATE}", "max_body 10")))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /v2/projects/_/join HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // Caddy gives the body a minute
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("answered %s", res.Status)
	}
}
