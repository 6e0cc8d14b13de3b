package api

import "testing"

func TestAnsweredAgent(t *testing.T) {
	for answer, want := range map[string]string{
		`{"create_ts":1737111452,"agent_id":"1NT29X10YHxxxxxWJOXLYHNYB","status":"RUNNING"}`: "1NT29X10YHxxxxxWJOXLYHNYB",
		`{"agent_id":"a\u0062c"}`:              "abc",
		`{"agent_id":"one","agent_id":"two"}`:  "two",
		`{"data":{"agent_id":"inner"}}`:        "",
		`{"agent_id":1}`:                       "",
		`{"agent_id":"cut o`:                   "",
		`{"agent_id":"complete","status":"cut`: "",
		`["agent_id"]`:                         "",
		`<html>`:                               "",
		``:                                     "",
	} {
		if got := AnsweredAgent([]byte(answer)); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}
