package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tokenCommand starts `caddy convoai token-server` with flags.
func tokenCommand(t *testing.T, env []string, flags ...string) *sidecar {
	t.Helper()
	port := freePort(t)
	return boot{
		args:    append([]string{"convoai", "token-server", "--listen", "127.0.0.1:" + port}, flags...),
		env:     env,
		listens: port,
		says:    "convoai: token server listening on ",
	}.start(t)
}

// Whatever is wrong with a request, it is the caller's fault, it is said why, and
// there is no token; while the same request without the fault gets one.
func TestTokenServerRefusesMalformedRequests(t *testing.T) {
	grant := []string{"--allow-kinds", "rtc,rtm,chat-user", "--allow-channels", "*", "--allow-accounts", "*", "--allow-roles", "publisher,subscriber"}
	servers := map[string]*sidecar{}
	server := func(dialect string) *sidecar {
		name, dialects := "", "docker,rtc,chat-go,chat-node,chat-java,token-service"
		if dialect == "chat-python" {
			name, dialects = dialect, dialect
		}
		if servers[name] == nil {
			servers[name] = tokenCommand(t, vendorEnv, append([]string{"--dialect", dialects}, grant...)...)
		}
		return servers[name]
	}
	counts := map[string]int{}
	for _, e := range tokenEndpoints {
		s := server(e.dialect)
		for _, category := range tokenCategories {
			cases := category.cases(e)
			if len(cases) == 0 {
				continue
			}
			control := func() {
				t.Helper()
				if a, err := s.exchange(category.control(e)); err != nil {
					t.Errorf("%s, %s: the control: %v", e.name, category.name, err)
				} else if a.StatusCode != http.StatusOK || !holdsToken(a.body) {
					t.Errorf("%s, %s: the control is answered %d %s", e.name, category.name, a.StatusCode, excerpt(a.body))
				}
			}
			control()
			for _, c := range cases {
				if fault := s.malformed(c.request); fault != "" {
					t.Errorf("%s, %s, %s: %s", e.name, category.name, c.name, fault)
				}
			}
			control()
			counts[category.name] += len(cases)
		}
	}
	if len(counts) < 10 {
		t.Errorf("%d categories", len(counts))
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] < 25 {
			t.Errorf("%d requests of the category %s, want 25", counts[name], name)
		}
		t.Logf("%s: %d", name, counts[name])
	}
}

// malformed sends a request and says what is wrong with the answer.
func (s *sidecar) malformed(r tokenRequest) string {
	a, err := s.exchange(r)
	switch {
	case err != nil:
		return err.Error()
	case holdsToken(a.body) || holdsToken(fmt.Sprint(a.Header)):
		return fmt.Sprintf("%d with a token", a.StatusCode)
	case a.StatusCode < 400 || a.StatusCode > 499:
		return fmt.Sprintf("answered %d %s", a.StatusCode, excerpt(a.body))
	}
	// What is no HTTP, Go's server refuses in words of its own.
	words := strings.HasPrefix(a.body, fmt.Sprint(a.StatusCode, " ")) && a.Header.Get("Server") == ""
	if reason := a.Header.Values("X-Convoai-Error"); !words && (len(reason) != 1 || reason[0] == "") && a.StatusCode != http.StatusExpectationFailed {
		return fmt.Sprintf("answered %d without a reason: %s", a.StatusCode, excerpt(a.body))
	}
	return ""
}

// exchange writes a request on a connection of its own, and reads the answer.
func (s *sidecar) exchange(r tokenRequest) (answer, error) {
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	// The server may answer before it has read everything.
	go func() {
		_, _ = io.WriteString(conn, r.bytes("127.0.0.1:"+s.port))
		if r.ends {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		return answer{}, fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.ContentLength < 0 && errors.Is(err, syscall.ECONNRESET) {
		err = nil // of Go's server, which has not read the rest of what it refuses
	}
	return answer{res, string(body)}, err
}

// Each category has 25 requests for the native endpoint at least, or as many as
// are possible, and no two are the same.
func TestTokenServerCorpusIsWhatItSays(t *testing.T) {
	native := tokenEndpoints[0]
	for _, category := range tokenCategories {
		cases := category.cases(native)
		if len(cases) < 25 {
			t.Errorf("%s: %d", category.name, len(cases))
		}
		var sent []string
		for _, c := range cases {
			text := c.request.bytes("localhost")
			if text == category.control(native).bytes("localhost") || text == native.wellFormed().bytes("localhost") {
				t.Errorf("%s, %s: nothing is wrong", category.name, c.name)
			}
			if slices.Contains(sent, text) {
				t.Errorf("%s, %s is there twice", category.name, c.name)
			}
			sent = append(sent, text)
		}
	}
}
