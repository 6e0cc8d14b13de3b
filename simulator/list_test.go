package simulator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
)

// listed returns the IDs on a page.
func (a answer) listed() []string {
	a.t.Helper()
	entries, ok := a.get("data.list").([]any)
	if !ok || int64(len(entries)) != a.number("data.count") || a.string("status") != "ok" {
		a.t.Fatalf("not a list: %s", a.text)
	}
	ids := []string{}
	for _, entry := range entries {
		ids = append(ids, entry.(map[string]any)["agent_id"].(string))
	}
	return ids
}

func TestListFilters(t *testing.T) {
	b := newBench(t, simulator.Options{})
	b.authorization = basic(one.CustomerID, one.CustomerSecret)
	early := b.join("early", "room-1")
	b.advance(3 * time.Hour)
	gone := b.join("gone", "room-1")
	b.call("POST", agentPath(gone, "/leave"), "").want(200, "")
	other := b.join("other", "room-2")
	b.advance(time.Minute)
	late := b.join("late", "room-1")
	begin, now := start.Unix(), b.now().Unix()

	tests := []struct {
		name, query string
		want        []string
	}{
		{"running ones of two hours", "", []string{late, other}},
		{"all states", "?state=0,1,2,3,4,5,6", []string{late, other, gone}},
		{"several values", "?state=4&state=2", []string{late, other, gone}},
		{"stopped", "?state=4", []string{gone}},
		{"failed", "?state=6", []string{}},
		{"channel", "?channel=room-1", []string{late}},
		{"channel and state", "?channel=room-1&state=4,2", []string{late, gone}},
		{"other channel", "?channel=room-3", []string{}},
		{"from the beginning", fmt.Sprintf("?from_time=%d", begin), []string{late, other, early}},
		{"from behind the beginning", fmt.Sprintf("?from_time=%d", begin+1), []string{late, other}},
		{"until before now", fmt.Sprintf("?to_time=%d", now-1), []string{other}},
		{"one second", fmt.Sprintf("?from_time=%d&to_time=%d", begin, begin), []string{early}},
	}
	for _, test := range tests {
		got := b.call("GET", "/v2/projects/{appid}/agents"+test.query, "").want(200, "")
		if ids := got.listed(); !slices.Equal(ids, test.want) {
			t.Errorf("%s: %v, want %v", test.name, ids, test.want)
		}
		if total := got.number("meta.total"); int(total) != len(test.want) {
			t.Errorf("%s: total %d", test.name, total)
		}
	}
	entry := b.call("GET", "/v2/projects/{appid}/agents", "")
	if entry.number("data.list.0.start_ts") != now || entry.string("data.list.0.status") != "RUNNING" {
		t.Errorf("entry %s", entry.text)
	}
	for _, query := range []string{
		"state=7", "state=-1", "state=x", "state=2,x", "limit=0", "limit=-1", "limit=x", "from_time=x", "to_time=-1", "cursor=A42AXX",
	} {
		b.call("GET", "/v2/projects/{appid}/agents?"+query, "").want(400, api.ReasonInvalidFieldValue)
	}
}

func TestListPagesByCursor(t *testing.T) {
	b := newBench(t, simulator.Options{Quota: 50})
	var want []string
	for i := range 45 {
		want = append(want, b.join(fmt.Sprint(i), "room-1"))
	}
	slices.Reverse(want)
	var got []string
	var sizes []int
	for cursor := "start"; cursor != ""; {
		query := ""
		if cursor != "start" {
			query = "?cursor=" + cursor
		}
		page := b.call("GET", "/v2/projects/{appid}/agents"+query, "").want(200, "")
		got = append(got, page.listed()...)
		sizes = append(sizes, len(page.listed()))
		if page.number("meta.total") != 45 {
			t.Errorf("total %d", page.number("meta.total"))
		}
		cursor = page.string("meta.cursor")
		if len(sizes) > 5 {
			t.Fatal("the pages do not end")
		}
		if len(sizes) == 1 {
			// What comes meanwhile does not move the pages.
			b.call("POST", agentPath(b.join("new", "room-1"), "/leave"), "")
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(sizes, []int{20, 20, 5}) {
		t.Errorf("pages of %v, agents %v; want %v", sizes, got, want)
	}
	if ids := b.call("GET", "/v2/projects/{appid}/agents?limit=45", "").listed(); !slices.Equal(ids, want) {
		t.Errorf("one page of %d, want 45", len(ids))
	}
}
