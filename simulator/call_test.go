package simulator_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

func TestCallsRecordWhatArrived(t *testing.T) {
	b := newBench(t, simulator.Options{})
	body := joinBody("a", "room-1")
	r, err := http.NewRequest("POST", b.server.URL+api.PrefixCN+"/v2/projects/%39"+one.AppID[1:]+"/join/?x=1&x=2", io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "api-cn-east-1.sd-rtn.com"
	r.Header.Set("Authorization", `agora token="`+b.token(one, nil)+`"`)
	r.Header["X-Thing"] = []string{"a", "b"}
	r.Trailer = http.Header{"X-End": {"end"}}
	response, err := b.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	calls := b.Calls()
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	c := calls[0]
	if c.Number != 1 || !c.Time.Equal(start) || c.Method != "POST" || c.Path != api.PrefixCN+"/v2/projects/%39"+one.AppID[1:]+"/join/" ||
		c.Host != "api-cn-east-1.sd-rtn.com" || c.Proto != "HTTP/1.1" || c.ServerName != "" || len(c.Query["x"]) != 2 ||
		c.Operation != "join" || c.AppID != one.AppID || c.AgentID != "" || c.Verdict != simulator.Accepted || c.Status != 200 || c.Fault {
		t.Errorf("call %v does not have what was sent", c)
	}
	if string(c.Body) != body || len(c.Header["X-Thing"]) != 2 || c.Trailer.Get("X-End") != "end" || len(c.Header["Authorization"]) != 1 {
		t.Error("body, header or trailer is not what was sent")
	}
	if c.Credential.Scheme != "token" || !c.Credential.Quoted || c.Credential.Token == nil {
		t.Fatal("the credential is not what was sent")
	}
	if rtc, _ := c.Credential.Token.Service(token.ServiceRTC); rtc == nil || rtc.Channel != "room-1" || rtc.Account != "1001" {
		t.Error("the token is not what was sent")
	}
}

func TestCallsAreTheCallersOwn(t *testing.T) {
	b := newBench(t, simulator.Options{})
	b.join("a", "room-1")
	c := b.Calls()[0]
	c.Header.Set("Authorization", "changed")
	c.Body[0] = 'x'
	again := b.Calls()[0]
	if again.Header.Get("Authorization") == "changed" || again.Body[0] == 'x' {
		t.Error("a change of a Call changed the record")
	}
}

func TestCallsPrintWithoutSecrets(t *testing.T) {
	b := newBench(t, simulator.Options{})
	secrets := []string{strings.TrimPrefix(b.authorization, "agora token="), "canary"}
	b.call("POST", "/v2/projects/{appid}/join", strings.Replace(joinBody("a", "room-1"), `"channel"`, `"token":"canary","channel"`, 1)).want(200, "")
	b.authorization = "Basic canary"
	b.call("GET", "/v2/projects/{appid}/agents?x=canary", "").want(401, "")
	calls := b.Calls()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, text := range []string{fmt.Sprintf(format, calls), fmt.Sprintf(format, calls[0]), fmt.Sprintf(format, &calls[1])} {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%s shows a secret", format)
				}
			}
		}
	}
	if got, want := calls[1].String(), "GET "+api.PrefixGlobal+"/v2/projects/"+one.AppID+"/agents list: 401 ("+string(simulator.MalformedBasic)+")"; got != want {
		t.Errorf("call reads %q, want %q", got, want)
	}
}

func TestCallsAreBounded(t *testing.T) {
	b := newBench(t, simulator.Options{KeepCalls: 3})
	for range 5 {
		b.call("GET", "/v2/phone-numbers", "").want(200, "")
	}
	calls := b.Calls()
	if len(calls) != 3 || calls[0].Number != 3 || calls[2].Number != 5 {
		t.Errorf("calls kept: %d, the first is number %d", len(calls), calls[0].Number)
	}
	b.ResetCalls()
	if len(b.Calls()) != 0 {
		t.Error("calls are left after ResetCalls")
	}
	b.call("GET", "/v2/phone-numbers", "")
	if calls := b.Calls(); len(calls) != 1 || calls[0].Number != 6 {
		t.Errorf("calls %v", calls)
	}

	none := newBench(t, simulator.Options{KeepCalls: -1})
	none.call("GET", "/v2/phone-numbers", "").want(200, "")
	if len(none.Calls()) != 0 {
		t.Error("a call is kept")
	}
}

func TestBodiesOfCallsAreBoundedTogether(t *testing.T) {
	b := newBench(t, simulator.Options{})
	large := strings.Repeat(" ", 4<<20)
	for range 10 {
		b.call("POST", "/v2/projects/{appid}/join", large).want(400, api.ReasonInvalidRequestBody)
	}
	calls := b.Calls()
	if len(calls) != 8 || calls[0].Number != 3 {
		t.Errorf("%d calls with bodies of 4 MiB are kept, want the last 8", len(calls))
	}
	b.call("GET", "/v2/phone-numbers", "")
	if calls := b.Calls(); len(calls) != 9 {
		t.Errorf("%d calls are kept after a small one", len(calls))
	}

	few := newBench(t, simulator.Options{KeepCalls: 2})
	for range 10 {
		few.call("POST", "/v2/projects/{appid}/join", large).want(400, api.ReasonInvalidRequestBody)
	}
	if calls := few.Calls(); len(calls) != 2 {
		t.Errorf("%d calls are kept, want 2: bodies that are gone still count", len(calls))
	}
}

func TestOnCallIsToldOfEachCall(t *testing.T) {
	var mu sync.Mutex
	var told []simulator.Call
	b := newBench(t, simulator.Options{KeepCalls: -1, OnCall: func(c simulator.Call) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, c)
	}})
	b.call("GET", "/v2/phone-numbers", "").want(200, "")
	b.setFaults(simulator.Fault{Operation: "join", Action: simulator.ResetAfterBody})
	// A POST, which the client's transport does not send again by itself.
	if response, err := post(t.Context(), b, b.server.Client(), b.server.URL, joinBody("a", "room-1")); err == nil {
		response.Body.Close()
		t.Fatal("no reset")
	}
	// The client may see the reset before the call has ended.
	waitFor(t, "the second call", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 2 })
	if told[0].Operation != "phone_number_list" || told[0].Status != 200 || told[1].Operation != "join" || told[1].Status != 0 {
		t.Errorf("told of %v", told)
	}
}

func TestConcurrentUse(t *testing.T) {
	b := newBench(t, simulator.Options{Quota: -1, KeepCalls: 10, KeepStopped: 5})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 20 {
				id := b.join(fmt.Sprintf("%d-%d", worker, i), "room-1")
				b.call("POST", agentPath(id, "/speak"), `{"text":"x"}`)
				b.call("GET", "/v2/projects/{appid}/agents?state=2,4", "")
				b.call("POST", agentPath(id, "/leave"), "").want(200, "")
				_ = b.SetFaults(simulator.Fault{Operation: "call", Status: 500})
				_ = b.SetProjects(one, two)
				b.SetSkew(0)
				for _, c := range b.Calls() {
					bytes.Contains(c.Body, []byte(c.String()))
				}
			}
		})
	}
	group.Wait()
	if got := b.call("GET", "/v2/projects/{appid}/agents", "").number("meta.total"); got != 0 {
		t.Errorf("%d agents still run", got)
	}
}
