package corpus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Target is a sidecar with its upstream.
type Target struct {
	Dial     func(site string) (net.Conn, error) // with TLS and ALPN where the site has it
	Upstream *Upstream

	instance string
}

// Learn makes one call, of which the upstream hears the number of the sidecar.
func (t *Target) Learn() error {
	words := strings.NewReplacer(Words("")...)
	c := Case{Site: "plain", Lines: []string{words.Replace("GET $LIST HTTP/1.1"), "Host: localhost", "Connection: close", ""}, Want: []string{"200 up"}}
	t.Upstream.Take()
	got, err := t.send(c)
	if err != nil || !slices.Equal(got, c.Want) {
		return fmt.Errorf("a plain call was answered %q, %v", got, err)
	}
	for _, raw := range t.Upstream.Take() {
		r, err := ParseReached(raw)
		if err != nil {
			return err
		}
		for _, value := range r.Values("X-Convoai-Instance") {
			t.instance = value
		}
	}
	if t.instance == "" {
		return errors.New("the upstream was told no number")
	}
	return nil
}

// Run sends a case and says what is wrong with what came of it: nothing, if all
// is as it must be.
func (t *Target) Run(c Case) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	t.Upstream.Take()
	got, err := t.send(c)
	if err != nil {
		fault("%v, after the answers %q", err, got)
	}
	if !slices.Equal(got, c.Want) {
		fault("answered %q, want %q", got, c.Want)
	}
	reached := t.Upstream.Take()
	if len(reached) != c.Allowed() {
		fault("%d requests reached the upstream, want %d", len(reached), c.Allowed())
	}
	for _, raw := range reached {
		if err := Check(raw, t.Upstream.Host); err != nil {
			fault("a request reached the upstream: %v", err)
		}
	}
	words := strings.NewReplacer(Words(t.instance)...)
	for _, line := range c.Upstream {
		if want := string(Bytes(line+`\.`, words)); !strings.Contains("\r\n"+strings.Join(reached, "\r\n"), "\r\n"+want+"\r\n") {
			fault("the upstream did not get the line %q", want)
		}
	}
	return faults
}

func (t *Target) send(c Case) ([]string, error) {
	conn, err := t.Dial(c.Site)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if c.HTTP2 {
		return t.sendFrames(conn, c)
	}
	if _, err := conn.Write(c.Bytes(t.instance)); err != nil {
		return nil, err
	}
	if c.End {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	return t.answers(conn, c)
}

// answers reads what comes until the sidecar closes the connection.
func (t *Target) answers(conn io.Reader, c Case) (got []string, err error) {
	r := bufio.NewReader(conn)
	for {
		if _, err := r.Peek(1); err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				return got, errors.New("the connection stayed open")
			}
			if len(got) == 0 {
				got = []string{"closed"}
			}
			return got, nil
		}
		method := http.MethodGet
		if len(got) < len(c.Want) && strings.HasSuffix(c.Want[len(got)], " to HEAD") {
			method = http.MethodHead
		}
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return got, err
		}
		answer := describe(res.StatusCode, res.Header)
		if method == http.MethodHead {
			answer += " to HEAD"
		}
		got = append(got, answer)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			if res.ContentLength < 0 && errors.Is(err, syscall.ECONNRESET) {
				return got, nil // of net/http, which has not read the rest of what it refuses
			}
			return got, err
		}
	}
}

// describe is an answer as the cases write it.
func describe(status int, h http.Header) string {
	text := fmt.Sprint(status)
	for _, reason := range h["X-Convoai-Error"] {
		text += " " + reason
	}
	for _, mark := range h[upstreamMark] {
		text += " " + mark
	}
	return text
}
