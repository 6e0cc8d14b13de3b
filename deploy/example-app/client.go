package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A client makes ConvoAI calls in the way of an application that was written long
// ago: no credential, no region, no SDK.
type client struct {
	projectURL string
	http       *http.Client
}

// Calls that find nobody are made again for as long as a sidecar takes to restart,
// and then some.
const (
	patience = 5 * time.Second
	between  = 100 * time.Millisecond
)

func newClient(baseURL, appID string) *client {
	return &client{
		projectURL: strings.TrimRight(baseURL, "/") + "/api/conversational-ai-agent/v2/projects/" + appID,
		http: &http.Client{
			// Longer than the sidecar takes at most, which knows more about what happened.
			Timeout: 90 * time.Second,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment,
				// The sidecar is near, and what is sent to it while it restarts is lost.
				DialContext: (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext,
			},
		},
	}
}

// outcome is what has come of a call.
type outcome struct {
	Status  int    `json:"status"` // 0: no answer
	AgentID string `json:"agent_id,omitempty"`
	State   string `json:"state,omitempty"`  // of the agent
	Reason  string `json:"reason,omitempty"` // of an error
	Tries   int    `json:"tries"`
	Millis  int64  `json:"ms"`
}

func (o *outcome) ok() bool { return o.Status == http.StatusOK }

// start has an agent join the channel of its name.
func (c *client) start(name string) outcome {
	body, err := json.Marshal(map[string]any{
		"name": name,
		"properties": map[string]any{
			"channel": name, "agent_rtc_uid": "1001", "remote_rtc_uids": []string{"1002"},
		},
	})
	if err != nil {
		panic(err) // of plain values
	}
	return c.call(http.MethodPost, "/join", body, neverSent)
}

func (c *client) query(agentID string) outcome {
	return c.call(http.MethodGet, "/agents/"+agentID, nil, anyFailure)
}

// stop may be repeated: an agent that is gone cannot be stopped twice.
func (c *client) stop(agentID string) outcome {
	return c.call(http.MethodPost, "/agents/"+agentID+"/leave", nil, anyFailure)
}

// anyFailure and neverSent say whether a call that got no answer may be made again.
// A second join is a second agent.
func anyFailure(error) bool { return true }

func neverSent(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}

// call makes a call, again after errors of the connection for which again says so.
func (c *client) call(method, path string, body []byte, again func(error) bool) (o outcome) {
	began := time.Now()
	for {
		o.Tries++
		err := c.once(method, path, body, &o)
		o.Millis = time.Since(began).Milliseconds()
		switch {
		case err == nil:
			return o
		case !again(err) || time.Since(began) > patience:
			o.Reason = err.Error()
			return o
		}
		time.Sleep(between)
	}
}

func (c *client) once(method, path string, body []byte, o *outcome) error {
	r, err := http.NewRequest(method, c.projectURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	var fields struct {
		AgentID string `json:"agent_id"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
	}
	_ = json.Unmarshal(answer, &fields) // what is no JSON has no fields
	o.Status, o.AgentID, o.State, o.Reason = res.StatusCode, fields.AgentID, fields.Status, fields.Reason
	return nil
}
