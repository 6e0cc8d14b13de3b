package corpus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience bounds what is waited for. It is no pause.
const patience = 20 * time.Second

// Upstream is a server that keeps the bytes of all that comes, and answers 200.
type Upstream struct {
	URL, Host string

	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	requests []string
	conns    map[net.Conn]bool
}

// NewUpstream serves on l until it is closed.
func NewUpstream(l net.Listener) *Upstream {
	host, _, _ := net.SplitHostPort(l.Addr().String())
	u := &Upstream{URL: "http://" + l.Addr().String(), Host: host, listener: l, conns: make(map[net.Conn]bool)}
	u.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.conns[conn] = true
			u.mu.Unlock()
			u.serving.Go(func() { u.serve(conn) })
		}
	})
	return u
}

// Close ends all connections and waits for that.
func (u *Upstream) Close() {
	_ = u.listener.Close()
	u.mu.Lock()
	for conn := range u.conns {
		_ = conn.Close()
	}
	u.mu.Unlock()
	u.serving.Wait()
}

// Take returns what has come since it was last called: the bytes of each
// request, and of anything that is none.
func (u *Upstream) Take() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.requests
	u.requests = nil
	return taken
}

const (
	upstreamBody  = `{"agent_id":"agent"}`
	upstreamMark  = "X-Upstream"
	upstreamReply = "HTTP/1.1 200 OK\r\n" + upstreamMark + ": up\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + upstreamBody
)

func (u *Upstream) serve(conn net.Conn) {
	defer func() {
		u.mu.Lock()
		delete(u.conns, conn)
		u.mu.Unlock()
		_ = conn.Close()
	}()
	r := bufio.NewReader(conn)
	for {
		request, err := readRequest(r)
		if request != "" {
			u.mu.Lock()
			u.requests = append(u.requests, request)
			u.mu.Unlock()
		}
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, upstreamReply); err != nil {
			return
		}
	}
}

// readRequest reads one request as it is, with the body that its Content-Length
// speaks of. What is between requests counts as the beginning of the next.
func readRequest(r *bufio.Reader) (string, error) {
	var text strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		text.WriteString(line)
		if err != nil {
			return text.String(), err
		}
		if line == "\r\n" {
			break
		}
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(strings.TrimSpace(name), "content-length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	_, err := io.CopyN(&text, r, int64(length))
	return text.String(), err
}

// A Reached is a request that has come to an upstream, taken apart without
// lenience.
type Reached struct {
	Method, Target string
	Fields         []Field
	Body           string
}

// Field is a header field.
type Field struct{ Name, Value string }

// Values are those of a field, whatever the case of its name.
func (r Reached) Values(name string) (values []string) {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Take apart a request of Take.
func ParseReached(raw string) (r Reached, err error) {
	head, body, found := strings.Cut(raw, "\r\n\r\n")
	if !found {
		return r, errors.New("it has no end of its header")
	}
	lines := strings.Split(head, "\r\n")
	for n, line := range lines {
		for i := range len(line) {
			// In values, tabs and bytes above ASCII are what they are.
			if c := line[i]; c < ' ' && c != '\t' || c == 0x7f || n == 0 && (c > '~' || c == '\t') {
				return r, fmt.Errorf("its header has the byte %#x", c)
			}
		}
	}
	first := strings.Split(lines[0], " ")
	if len(first) != 3 || first[2] != "HTTP/1.1" {
		return r, fmt.Errorf("its first line has %d words", len(first))
	}
	r.Method, r.Target, r.Body = first[0], first[1], body
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || !fieldName.MatchString(name) || value != strings.Trim(value, " \t") {
			return r, errors.New("a header line of it is malformed")
		}
		r.Fields = append(r.Fields, Field{name, value})
	}
	return r, nil
}
