package integration

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/simulator"
)

// expected is what the metrics must say, worked out from the traffic alone: what
// was sent, what was answered, and what the vendors were told to do.
type expected struct {
	mu     sync.Mutex // guards what follows
	values map[string]float64
	keys   map[string]bool // that a header token was made for
}

func newExpected() *expected {
	return &expected{values: map[string]float64{}, keys: map[string]bool{}}
}

func (e *expected) add(n float64, name string, labels ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.values[metricKey(name, labels...)] += n
}

// token notes that a call is sent with the header token of a key, which is made
// by the first that asks for it.
func (e *expected) token(key string) {
	e.mu.Lock()
	made := e.keys[key]
	e.keys[key] = true
	e.mu.Unlock()
	if made {
		e.add(1, "cache_requests_total", "result", "hit")
	} else {
		e.minted()
	}
}

// minted notes that a call has waited for a header token.
func (e *expected) minted() {
	e.add(1, "cache_requests_total", "result", "minted")
	e.add(1, "mints_total", "kind", "header", "outcome", "ok")
}

// answered notes the status of a request.
func (e *expected) answered(operation string, status int) {
	e.add(1, "requests_total", "operation", operation, "code", itoa(status))
}

// refused notes a request that the sidecar answers itself.
func (e *expected) refused(operation string, status int, reason string) {
	e.answered(operation, status)
	e.add(1, "rejected_total", "reason", reason)
}

func (e *expected) attempt(host, outcome string) {
	e.add(1, "upstream_attempts_total", "host", host, "outcome", outcome)
}

// differences compares the counters, and cache_entries, with those that are seen.
// What is not expected must be 0.
func (e *expected) differences(seen map[string]float64) (list []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	want := maps.Clone(e.values)
	want["cache_entries"] = float64(len(e.keys))
	for key, value := range want {
		if got, ok := seen[key]; got != value {
			list = append(list, fmt.Sprintf("%s is %g (there: %v), want %g", key, got, ok, value))
		}
	}
	for key, got := range seen {
		name, _, _ := strings.Cut(key, "{")
		if _, ok := want[key]; !ok && strings.HasSuffix(name, "_total") && got != 0 {
			list = append(list, fmt.Sprintf("%s is %g, want none", key, got))
		}
	}
	slices.Sort(list)
	return list
}

// A scene is a sidecar with a site for each thing that can happen, so that each
// happens as often as the test has it happen, and nothing else for it: what is
// done to the vendor of one site is nothing to the calls of another.
type scene struct {
	t       *testing.T
	s       *sidecar
	want    *expected
	vendors map[string]*simulator.Simulator // by site
	hosts   map[string]string               // by site: the label of its first upstream
	expiry  time.Time                       // of the configured token that ends first
}

// vendorsBehind is by how much this host's clock is ahead of the vendors'.
const vendorsBehind = 7 * time.Second

const appC = "c0de0123456789abcdef0123456789ab"

// newScene starts the vendors and the sidecar.
func newScene(t *testing.T) *scene {
	t.Helper()
	c := &scene{t: t, want: newExpected(), vendors: map[string]*simulator.Simulator{}, hosts: map[string]string{}}
	c.expiry = time.Unix(time.Now().Unix()-60, 0)
	const patient = "dial_timeout 30s\n\ttls_timeout 30s\n\ttransport http {\n\t\ttls_trust_pool file <CA>\n\t}"
	sites := ""
	add := func(name, credentials string, upstreams ...string) {
		text := siteAt("<PORT>", credentials, "upstream "+strings.Join(upstreams, " "), patient)
		if name != "main" {
			text = strings.Replace(text, "http://:", "http://"+name+".test:", 1)
		}
		sites += text
	}
	dead := func(name string) string {
		c.hosts[name] = "127.0.0.1:" + freePort(t)
		return "https://" + c.hosts[name]
	}
	appB := "app_id " + appB + "\n\tapp_certificate {env.B_CERT}"
	down := dead("down")
	add("main", credentialsA+"\n\tmax_body 64KiB", down, c.vendor("main"))
	first, second := c.vendor("spare"), c.vendor("second")
	_, c.hosts["second"], _ = strings.Cut(second, "://")
	slow := newGate(t, c.hosts["second"])
	slow.delay.Store(int64(200 * time.Millisecond)) // so that the order of the two is certain
	c.hosts["second"] = "127.0.0.1:" + slow.port
	add("spare", credentialsA, first, slow.url())
	add("renewed", appB, c.vendor("renewed"))
	add("lost", credentialsA, c.vendor("lost"))
	add("slow", credentialsA+"\n\tresponse_timeout 3s", c.vendor("slow"))
	add("wrong", "app_id "+appC+"\n\tapp_certificate {env.A_CERT}", c.vendor("wrong"))
	add("token", "app_id {env.A_ID}\n\tauth_token {env.TOKEN}", c.vendor("token"))
	add("expired", "app_id {env.A_ID}\n\tauth_token {env.EXPIRED}", c.vendor("expired"))
	add("basic", "app_id {env.A_ID}\n\tcustomer_id me\n\tcustomer_secret {env.SECRET}", c.vendor("basic"))
	add("guarded", credentialsA+"\n\tcaller_token {file.<DIR>/caller}", c.vendor("guarded"))
	add("narrow", credentialsA+"\n\tallow_from 192.0.2.0/24", c.vendor("narrow"))
	add("dead", credentialsA, dead("dead"))
	add("loop", credentialsA, "http://127.0.0.1:<PORT>")
	config := global + sites + metricsSite + `http://tokens.test:<PORT> {
	bind 127.0.0.1
	convoai_token_server {
		app_id {env.A_ID}
		app_certificate {env.A_CERT}
		allow {
			channels room-*
			accounts *
		}
	}
}
`
	c.s = boot{
		caddyfile: config,
		env: append(envA, "B_CERT="+certificateB, "SECRET=mine",
			"TOKEN="+preBuilt(t, time.Now().Add(time.Hour)), "EXPIRED="+preBuilt(t, c.expiry)),
		files: map[string]string{"caller": "first"},
	}.start(t)
	c.hosts["loop"] = "127.0.0.1:" + c.s.port
	return c
}

// vendor starts the vendor of a site and returns its URL.
func (c *scene) vendor(name string) string {
	c.t.Helper()
	vendor, url := newSimulator(c.t, simulator.Options{
		Projects: []simulator.Project{
			{AppID: appA, AppCertificate: certificateA, CustomerID: "me", CustomerSecret: "not mine"},
			{AppID: appB, AppCertificate: certificateB},
			{AppID: appC, AppCertificate: certificateB},
		},
		Quota: -1, Skew: -vendorsBehind, KeepCalls: 1,
	})
	c.vendors[name] = vendor
	_, c.hosts[name], _ = strings.Cut(url, "://")
	return url
}

// faults has the vendor of a site misbehave.
func (c *scene) faults(name string, list ...simulator.Fault) {
	c.t.Helper()
	if err := c.vendors[name].SetFaults(list...); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a request to a site, which must be answered with a status.
func (c *scene) ask(site string, status int, method, path, body string, headers ...string) answer {
	c.t.Helper()
	if site != "main" {
		headers = append(headers, "Host: "+site+".test")
	}
	a, err := c.s.try(method, path, body, headers...)
	if err != nil {
		c.t.Fatalf("%s %s of site %s: %v", method, path, site, err)
	}
	if a.StatusCode != status {
		c.t.Fatalf("%s %s of site %s: %d %s, want %d", method, path, site, a.StatusCode, a.body, status)
	}
	return a
}

// stop is the key of the token for calls that are about no channel.
func stop(app string) string { return app + " stop 0" }

// steady are the calls of an application that makes no mistakes, in one channel
// after another, until over says so.
func (c *scene) steady(worker int, over func() bool) {
	for i := 0; !over(); i++ {
		channel := fmt.Sprintf("steady-%d-%d", worker, i)
		call := func(operation, method, path, body, key string) answer {
			a, err := c.s.try(method, path, body)
			if err != nil {
				c.t.Errorf("%s: %v", operation, err)
				return a
			}
			if a.StatusCode >= 300 && a.StatusCode != http.StatusNotFound {
				c.t.Errorf("%s: %d %s", operation, a.StatusCode, a.body)
			}
			c.want.answered(operation, a.StatusCode)
			c.want.attempt(c.hosts["main"], "answered")
			c.want.token(key)
			return a
		}
		join := call("join", "POST", joinA, joinBody(channel, "1"), appA+" "+channel+" 1")
		id := agentOf(join)
		call("join", "POST", joinA, strings.Replace(joinBody(channel, "1"), "agent of", "another agent of", 1), appA+" "+channel+" 1")
		call("join", "POST", joinA, bareJoin(channel+"-bare"), appA+" "+channel+"-bare 1001")
		c.want.add(1, "mints_total", "kind", "body", "outcome", "ok")
		agents := prefix + projectA + "/agents/" + id
		for _, one := range [][4]string{
			{"query", "GET", agents},
			{"update", "POST", agents + "/update", `{"properties":{}}`},
			{"speak", "POST", agents + "/speak", `{"text":"hello"}`},
			{"interrupt", "POST", agents + "/interrupt", `{}`},
			{"think", "POST", agents + "/think", `{"text":"well"}`},
			{"history", "GET", agents + "/history"},
			{"leave", "POST", agents + "/leave"},
			{"turns", "GET", agents + "/turns"},
			{"list", "GET", listA},
		} {
			call(one[0], one[1], one[2], one[3], stop(appA))
		}
		if i%4 == 0 {
			c.phone(worker, i, call)
		}
		select {
		case <-c.t.Context().Done():
			return
		case <-time.After(300 * time.Millisecond): // the pace, not a wait for anything
		}
	}
}

// phone are the calls about telephones.
func (c *scene) phone(worker, i int, call func(operation, method, path, body, key string) answer) {
	channel := fmt.Sprintf("phone-%d-%d", worker, i)
	body := fmt.Sprintf(`{"name":%q,"sip":{"to_number":"+15550100","from_number":"+15550101","rtc_uid":"7"},"properties":{"channel":%q,"agent_rtc_uid":"1","remote_rtc_uids":["7"]}}`, channel, channel)
	id := agentOf(call("call", "POST", callA, body, appA+" "+channel+" 1"))
	c.want.add(2, "mints_total", "kind", "body", "outcome", "ok") // the agent's and the telephone's
	number := fmt.Sprintf("+1555%d%05d", worker, i)
	path := prefix + "/v2/phone-numbers"
	for _, one := range [][4]string{
		{"call_query", "GET", prefix + projectA + "/calls/" + id},
		{"call_list", "GET", callA},
		{"hangup", "POST", prefix + projectA + "/calls/" + id + "/hangup"},
		{"phone_number_add", "POST", path, fmt.Sprintf(`{"provider":"byo","phone_number":%q,"label":"test","outbound_config":{"address":"sip.example.com","transport":"tls","user":"u","password":"p"}}`, number)},
		{"phone_number_list", "GET", path},
		{"phone_number_query", "GET", path + "/" + number},
		{"phone_number_update", "PATCH", path + "/" + number, `{"inbound_config":{"pipeline_id":"p1"}}`},
		{"phone_number_delete", "DELETE", path + "/" + number},
	} {
		call(one[0], one[1], one[2], one[3], stop(appA))
	}
}

// agentOf is the agent_id of an answer.
func agentOf(a answer) string {
	_, id, _ := strings.Cut(a.body, `"agent_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	return id
}

// gauges are those that the traffic implies, within bounds.
func (c *scene) gauges() map[string][2]float64 {
	is := func(v float64) [2]float64 { return [2]float64{v, v} }
	want := map[string][2]float64{
		"token_expiry_timestamp_seconds":      is(float64(c.expiry.Unix())),
		"auth_token_expiry_timestamp_seconds": is(float64(c.expiry.Unix())),
		"token_refresh_overdue_seconds":       is(0),
		"secrets_unusable":                    is(1),
		// An answer takes its time, and has whole seconds.
		"clock_skew_seconds": {vendorsBehind.Seconds() - 0.6, vendorsBehind.Seconds() + 20},
	}
	for _, name := range []string{"main", "spare", "second", "renewed", "lost", "slow", "wrong", "token", "basic", "guarded", "loop"} {
		want[metricKey("upstream_healthy", "host", c.hosts[name])] = is(1)
	}
	for _, name := range []string{"down", "dead"} {
		want[metricKey("upstream_healthy", "host", c.hosts[name])] = is(0)
	}
	if prometheusTime() >= time.Minute { // two rounds of measuring, half a minute apart
		for _, name := range []string{"main", "spare", "second"} {
			low := math.SmallestNonzeroFloat64
			if name == "second" {
				low = 0.2
			}
			want[metricKey("upstream_connect_seconds", "host", c.hosts[name])] = [2]float64{low, 30}
		}
	}
	return want
}
