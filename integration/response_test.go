package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// counted is a handler that is told how many requests came before, from 1.
func counted(handle func(w http.ResponseWriter, r *http.Request, n int)) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mine := n
		mu.Unlock()
		handle(w, r, mine)
	}
}

// halfBody answers with a body of which only the beginning comes, until the
// other end has had enough.
func halfBody(w http.ResponseWriter, r *http.Request, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "100")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "{")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// What the caller is told after a 401 is how the second sending went, once there
// was one.
func TestAnswerAfterA401IsThatOfTheResend(t *testing.T) {
	unauthorized := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, vendorUnauthorized)
	}
	for _, test := range []struct {
		name    string
		resend  http.HandlerFunc // nil: the resend finds nobody
		status  int
		reason  string // of the sidecar; "" for the vendor's answer
		body    string
		sendsTo int
	}{
		{"closed", closeConnection, http.StatusBadGateway, "UpstreamConnectionLost", "", 2},
		{"reset", resetConnection, http.StatusBadGateway, "UpstreamConnectionLost", "", 2},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, http.StatusGatewayTimeout, "UpstreamTimeout", "", 2},
		{"another status", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "{}")
		}, http.StatusConflict, "", "{}", 2},
		{"out of reach", nil, http.StatusUnauthorized, "", vendorUnauthorized, 1},
	} {
		for _, call := range []struct{ method, path, body string }{{"POST", joinA, joinBody("room", "1")}, {"POST", speakA, "{}"}} {
			t.Run(test.name+" "+call.path[strings.LastIndex(call.path, "/"):], func(t *testing.T) {
				t.Parallel()
				up := newPlainUpstream(t, nil)
				up.handler = counted(func(w http.ResponseWriter, r *http.Request, n int) {
					switch {
					case n > 1:
						test.resend(w, r)
						return
					case test.resend == nil:
						w.Header().Set("Connection", "close")
						_ = up.Listener.Close()
					}
					unauthorized(w)
				})
				second := newPlainUpstream(t, nil)
				timeout := "response_timeout 30s"
				if test.reason == "UpstreamTimeout" {
					timeout = "response_timeout 2s"
				}
				s := start(t, site(credentialsA, timeout, toPlain(up.URL, second.URL)), envA...)
				a := s.send(call.method, call.path, call.body)
				if test.reason != "" {
					wantError(t, a, test.status, test.reason)
				} else if a.StatusCode != test.status || a.body != test.body || a.Header.Get("X-Convoai-Error") != "" {
					t.Errorf("%d %s, want the vendor's %d", a.StatusCode, a.body, test.status)
				}
				if n := len(up.received()); n != test.sendsTo {
					t.Errorf("sent %d times, want %d", n, test.sendsTo)
				}
				second.unasked(t)
			})
		}
	}
}

// A body that does not come, of an answer that nobody is to see, is not waited
// for.
func TestAnswersThatAreNotPassedOnDoNotHoldTheCall(t *testing.T) {
	for _, protocol := range []struct {
		name  string
		start func(*testing.T, http.HandlerFunc) *upstream
	}{{"HTTP 1.1", newPlainUpstream}, {"HTTP 2", newUpstream}} {
		t.Run("401 of "+protocol.name, func(t *testing.T) {
			t.Parallel()
			up := protocol.start(t, counted(func(w http.ResponseWriter, r *http.Request, n int) {
				if n == 1 {
					halfBody(w, r, http.StatusUnauthorized)
					return
				}
				_, _ = io.WriteString(w, okBody)
			}))
			s := start(t, site(credentialsA, "upstream "+up.URL, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
			began := time.Now()
			if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK || a.body != okBody {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if took := time.Since(began); took > prompt {
				t.Errorf("took %s", took)
			}
		})
		t.Run("503 of "+protocol.name, func(t *testing.T) {
			t.Parallel()
			first := protocol.start(t, func(w http.ResponseWriter, r *http.Request) { halfBody(w, r, http.StatusServiceUnavailable) })
			second := protocol.start(t, nil)
			s := start(t, site(credentialsA, "upstream "+first.URL+" "+second.URL, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
			began := time.Now()
			if a := s.send("GET", listA, ""); a.StatusCode != http.StatusOK || a.body != okBody {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if took := time.Since(began); took > prompt {
				t.Errorf("took %s", took)
			}
			first.only(t)
			second.only(t)
		})
	}
}

// encodings are the ways in which an upstream could write a token.
func encodings(token string) []string {
	lower := strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d")
	return []string{token, url.QueryEscape(token), url.PathEscape(token), lower.Replace(url.QueryEscape(token))}
}

// wantNoEcho fails if an answer as it came repeats a token or claims to be ours.
func wantNoEcho(t *testing.T, name, answer string, tokens ...string) {
	t.Helper()
	for i, token := range tokens {
		for form, text := range encodings(token) {
			if strings.Contains(answer, text) {
				t.Errorf("%s repeats token %d in form %d", name, i+1, form)
			}
		}
	}
	if strings.Contains(strings.ToLower(answer), "x-convoai-") || strings.Contains(answer, "Spoof") {
		t.Errorf("%s has a header that is ours", name)
	}
	if !strings.Contains(answer, "200 OK") || !strings.Contains(answer, "the body") || !strings.Contains(answer, "X-Fine: yes") {
		t.Errorf("%s lacks what is the caller's", name)
	}
}

// rawJoin is a join on a connection of its own, answered as the bytes that came.
func (s *sidecar) rawJoin() string {
	s.t.Helper()
	body := joinBody("room", "1")
	return s.raw(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nTe: trailers\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", joinA, len(body), body))
}

// echoing repeats what it was sent wherever HTTP has room for it.
func echoing(w http.ResponseWriter, r *http.Request, tokens []string) {
	h := w.Header()
	for _, token := range tokens {
		h.Add("X-Early", token)
	}
	h.Set("X-Convoai-Error", "Spoof103")
	w.WriteHeader(http.StatusEarlyHints)
	h.Del("X-Early")
	h.Set("X-Convoai-Error", "Spoof")
	h.Set("X-Convoai-Instance", "Spoof")
	h.Set("X-Fine", "yes")
	for i, token := range tokens {
		for j, text := range encodings(token) {
			h.Set(fmt.Sprintf("X-Echo-%d-%d", i, j), "you sent "+text)
			h.Add("Location", "https://elsewhere.test/?token="+text)
		}
	}
	h.Set("Trailer", "X-Announced, X-Convoai-Error")
	h.Del("X-Convoai-Error")
	_, _ = io.WriteString(w, "the body")
	_ = http.NewResponseController(w).Flush()
	h.Set("X-Convoai-Error", "SpoofTrailer")
	for i, token := range tokens {
		h.Set("X-Announced", token)
		h.Set(http.TrailerPrefix+fmt.Sprintf("X-Not-Announced-%d", i), token)
	}
	h.Set(http.TrailerPrefix+"X-Convoai-Error", "SpoofTrailer")
}

func TestNoPartOfAnAnswerRepeatsACredential(t *testing.T) {
	for _, test := range []struct {
		name  string
		start func(*testing.T, http.HandlerFunc) *upstream
	}{{"HTTP 1.1", newPlainUpstream}, {"HTTP 2", newUpstream}} {
		for _, refusing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, with a 401 first: %t", test.name, refusing), func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				var sent []string
				up := test.start(t, counted(func(w http.ResponseWriter, r *http.Request, n int) {
					mu.Lock()
					sent = append(sent, strings.TrimPrefix(r.Header.Get("Authorization"), "agora token="))
					tokens := append([]string(nil), sent...)
					mu.Unlock()
					if n == 1 && refusing {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					echoing(w, r, tokens)
				}))
				s := start(t, site(credentialsA, "upstream "+up.URL, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
				got := s.rawJoin()
				wantNoEcho(t, "the answer", got, sent...)
				if want := map[bool]int{false: 1, true: 2}[refusing]; len(sent) != want || sent[0] == "" {
					t.Errorf("sent %d times, want %d", len(sent), want)
				}
			})
		}
	}
}

// The same by hand: net/http's server does not send what is not allowed, such as
// a name with a space in it, which its client takes.
func TestNoPartOfARawAnswerRepeatsACredential(t *testing.T) {
	token := ""
	var w *wire
	w = newWire(t, func(conn net.Conn) {
		_, token, _ = strings.Cut(w.received()[0], "agora token=")
		token, _, _ = strings.Cut(token, "\r\n")
		early := "HTTP/1.1 103 Early Hints\r\nX-Echo: " + token + "\r\nX-Convoai-Error: Spoof\r\n\r\n"
		_, _ = io.WriteString(conn, early+strings.Replace(early, "103 Early Hints", "100 Continue", 1)+strings.Replace(early, "103 Early Hints", "102 Processing", 1)+
			"HTTP/1.1 200 OK\r\nX-Fine: yes\r\nX-Convoai-Error: Spoof\r\nX-Echo: "+token+"\r\n"+url.QueryEscape(token)+" x: y\r\nTrailer: X-Convoai-Error, X-Announced\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"8\r\nthe body\r\n0\r\nX-Convoai-Error: Spoof\r\nX-Announced: "+token+"\r\nX-Not-Announced: "+token+"\r\n\r\n")
	})
	s := start(t, strings.Replace(site(credentialsA, toPlain(w.url)), "{", "{\n\tdebug", 1), envA...)
	wantNoEcho(t, "the answer", s.rawJoin(), token)
	s.stop()
	if !strings.HasPrefix(token, "007") || !contains(s.stderr, "upstream roundtrip") {
		t.Error("the upstream did not get a token, or nothing was logged: the test proves nothing")
	}
	for form, text := range encodings(token) {
		if contains(s.stderr, text) {
			t.Errorf("the log repeats the token in form %d", form)
		}
	}
}

// An answer that net/http cannot read is quoted in its error, which goes into
// logs and to error routes.
func TestAnswerThatCannotBeReadIsNotQuotedWithACredential(t *testing.T) {
	for name, answer := range map[string]string{
		"header line": "HTTP/1.1 200 OK\r\nEcho agora token=<TOKEN>\r\n\r\n",
		"header name": "HTTP/1.1 200 OK\r\n<TOKEN>/ x: y\r\n\r\n",
		"first line":  "HTTP <TOKEN>\r\n\r\n",
		"status":      "HTTP/1.1 <TOKEN>\r\n\r\n",
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: <TOKEN>\r\n\r\n",
		"encoding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: <TOKEN>\r\n\r\n",
		"no HTTP":     "<TOKEN>\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := ""
			var w *wire
			w = newWire(t, func(conn net.Conn) {
				_, token, _ = strings.Cut(w.received()[0], "agora token=")
				token, _, _ = strings.Cut(token, "\r\n")
				_, _ = io.WriteString(conn, strings.ReplaceAll(answer, "<TOKEN>", token))
			})
			config := strings.Replace(global, "{", "{\n\tdebug", 1) + "http://:<PORT> {\nbind 127.0.0.1\nconvoai {\n" + credentialsA + "\n" + toPlain(w.url) +
				"\n}\nhandle_errors {\nrespond \"{err.message} {err.trace} {http.convoai.error.detail} {http.vars.convoai.call}\"\n}\n}\n"
			s := start(t, config, envA...)
			a := s.send("POST", joinA, joinBody("room", "1"))
			s.stop()
			if !strings.HasPrefix(token, "007") {
				t.Fatal("the upstream did not get a token")
			}
			var head strings.Builder
			_ = a.Header.Write(&head)
			wantNowhere(t, []sink{{"the log", s.stderr.String()}, {"standard output", s.stdout.String()}, {"the answer", head.String() + a.body}},
				map[string]string{"token": token})
			if a.StatusCode != http.StatusBadGateway || !strings.Contains(a.body, "UpstreamConnectionLost") {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if !contains(s.stderr, `"debug"`) && !contains(s.stderr, "DEBUG") {
				t.Error("nothing was logged at debug level: the test proves nothing")
			}
		})
	}
}
