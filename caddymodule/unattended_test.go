package caddymodule

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// attended is an attempt that may outlive its caller, which goes by leave.
func attended(unattended *atomic.Int32) (a *attempt, leave func()) {
	caller, cancel := context.WithCancel(context.Background())
	a = &attempt{timeout: unattendedTime}
	a.Context, a.cancel = context.WithCancelCause(context.WithoutCancel(caller))
	a.attend(caller, unattended)
	return a, func() {
		cancel()
		synctest.Wait()
	}
}

func TestUnattendedCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unattended atomic.Int32
		var kept []*attempt
		for range maxUnattended {
			a, leave := attended(&unattended)
			a.enters(sent)
			leave()
			if a.Err() != nil {
				t.Fatalf("attempt %d was cancelled", len(kept))
			}
			kept = append(kept, a)
		}
		one, leave := attended(&unattended)
		one.enters(sent)
		leave()
		if cause := context.Cause(one); !errors.Is(cause, errTooManyUnattended) {
			t.Errorf("one too many ends by %v", cause)
		}
		for _, a := range append(kept, one) {
			a.enters(answered)
		}
		if n := unattended.Load(); n != 0 {
			t.Errorf("%d are left when all have ended", n)
		}
	})
}

func TestAttemptWithoutCallerByPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unattended atomic.Int32
		early, leave := attended(&unattended)
		leave()
		if !errors.Is(context.Cause(early), errCallerGone) {
			t.Error("what was not sent goes on")
		}
		late := new(attempt)
		late.Context, late.cancel = context.WithCancelCause(context.Background())
		late.attend(early.caller, &unattended)
		if !errors.Is(context.Cause(late), errCallerGone) {
			t.Error("an attempt begins for a caller that has gone")
		}
		ended, leave := attended(&unattended)
		ended.enters(sent)
		ended.unattend()
		leave()
		if ended.Err() != nil || unattended.Load() != 0 {
			t.Error("the end of a request counts as its caller's departure")
		}
	})
}

func TestAgentIDOfAnAnswer(t *testing.T) {
	gzipped := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.String()
	}
	const id = "1NT29X10YHxxxxxWJOXLYHNYB"
	for _, test := range []struct{ name, encoding, head, want string }{
		{"plain", "", `{"create_ts":1,"agent_id":"` + id + `"}`, id},
		{"gzip", "gzip", gzipped(`{"agent_id":"` + id + `"}`), id},
		{"gzip that is none", "gzip", `{"agent_id":"` + id + `"}`, ""},
		{"another encoding", "br", "\x0b\x02\x80{}", ""},
		{"cut off", "", `{"agent_id":"` + id, ""},
		{"none", "", `{}`, ""},
		{"no string", "", `{"agent_id":1}`, ""},
		{"nothing", "", "", ""},
		{"the credential", "", `{"agent_id":"007secret"}`, ""},
		{"the refused one", "", `{"agent_id":"x-007refused-x"}`, ""},
		{"percent-encoded", "", `{"agent_id":"%30%30%37secret"}`, ""},
		{"not printable", "", `{"agent_id":"a\u001bb"}`, ""},
	} {
		call := &Call{credential: credential{secret: "007secret"}, refused: "007refused"}
		if got := call.agentID(test.encoding, []byte(test.head)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// cancelled is a connection that breaks with another call's cancellation.
type cancelled struct{ net.Conn }

func (cancelled) Read([]byte) (int, error) { return 0, context.Canceled }

// The end of one call is not taken for the departure of another one's caller,
// which would get no answer.
func TestAnotherCallsEndIsNotTheCallersDeparture(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	for _, path := range []string{joinPath, "/v2/projects/" + p.appID + "/agents/1/leave"} {
		carrier := carriedBy(t, func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return &addressed{cancelled{ours}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}, nil
		})
		g := testGate(t, clock, p)
		g.endpoints = endpoints(t, "http://127.0.0.1:1", "http://127.0.0.1:2")
		carry(t, g, carrier, "POST", path, bareJoin, func(call *Call, _ *http.Response, err error) {
			if err == nil || errors.Is(err, context.Canceled) || call.outcome != sent || !call.maybeReceived {
				t.Errorf("%s: %v, outcome %d", path, err, call.outcome)
			}
		})
	}
}
