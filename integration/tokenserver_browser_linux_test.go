package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// postJSON is how a script sends JSON: browsers ask first whether they may.
func postJSON(body string, more map[string]any) map[string]any {
	init := map[string]any{"method": "POST", "headers": map[string]string{"Content-Type": "application/json"}, "body": body}
	for name, value := range more {
		init[name] = value
	}
	return init
}

// minted is how many tokens a sidecar has signed.
func (s *sidecar) minted() int {
	total := 0.0
	for name, value := range s.metrics() {
		if strings.HasPrefix(name, "mints_total") && strings.Contains(name, `outcome="ok"`) {
			total += value
		}
	}
	return int(total)
}

func wantBrowserToken(t *testing.T, what string, got fetched, want string) {
	t.Helper()
	var body granted
	if got.Status != 200 || json.Unmarshal([]byte(got.Body), &body) != nil {
		t.Errorf("%s: %v, want a token", what, got)
		return
	}
	if in := contents(parseToken(t, body.Token)); in != want {
		t.Errorf("%s: %s, want %s", what, in, want)
	}
}

// A page of an origin that is listed gets a token; no other page can read one, nor
// has one made.
func TestTokenServerAnswersPagesOfListedOriginsOnly(t *testing.T) {
	o := newTour(t)
	listed, site, neighbour := o.newWebsite("127.0.0.1"), o.newWebsite("127.0.0.2"), o.newWebsite("127.0.0.1")
	s := start(t, tokenSite("", "origins "+listed.origin+" https://app.example.com", "dialects docker chat-node",
		allowRule("", "kinds rtc", "channels room-*", "accounts *"), allowRule("chat", "kinds chat-user", "accounts *"))+metricsSite, envA...)
	const body = `{"kind":"rtc","channel":"room-7","uid":42}`
	const docker = `{"channelName":"room-7","uid":"42","serviceRtc":{"enable":true}}`
	get := map[string]any{"method": "GET"}
	plain := map[string]any{"method": "POST", "body": docker} // text/plain: browsers do not ask first
	chat := s.url + "/api/token/generateUserToken?account=42"
	refusedTo := func(w *website) []visit {
		blind := map[string]any{"method": "POST", "body": docker, "mode": "no-cors"}
		return []visit{
			{site: w, url: s.url + "/token", init: postJSON(body, nil)},
			{site: w, url: s.url + "/token/generate", init: plain},
			{site: w, url: s.url + "/token/generate", init: blind},
			{site: w, url: chat, init: get},
			{site: w, url: chat, init: map[string]any{"mode": "no-cors"}},
		}
	}
	visits := []visit{
		{site: listed, url: s.url + "/token", init: postJSON(body, nil)},
		{site: listed, url: s.url + "/token", init: postJSON(`{"kind":"rtc","channel":"lobby","uid":42}`, nil)},
		{site: listed, url: s.url + "/token/generate", init: plain},
		{site: listed, url: chat, init: get},
	}
	const allowed = 4
	visits = append(append(append(visits, refusedTo(site)...), refusedTo(neighbour)...), visit{site: listed, url: s.url + "/token", init: postJSON(body, nil)})
	got := o.run(visits...)

	wantBrowserToken(t, "listed", got[0], "3600 rtc(room-7,42) 1:3600")
	if refusal := got[1]; refusal.Status != 403 || !strings.Contains(refusal.Body, "NotAllowed") || refusal.Header["x-convoai-error"] != "NotAllowed" {
		t.Errorf("the page cannot read a refusal: %v %v", refusal, refusal.Header)
	}
	for _, dialect := range got[2:allowed] {
		if dialect.Status != 200 || !holdsToken(dialect.Body) {
			t.Errorf("a dialect: %v", dialect)
		}
	}
	for i, refused := range got[allowed : len(got)-1] {
		if refused.Status != 0 || refused.Body != "" {
			t.Errorf("visit %d: a page of another origin can read %v", allowed+i, refused)
		}
	}
	wantBrowserToken(t, "listed, at the end", got[len(got)-1], "3600 rtc(room-7,42) 1:3600")
	if n := s.minted(); n != allowed {
		t.Errorf("%d tokens were made, want %d", n, allowed)
	}
	s.logged("pages of this origin may not ask")
	s.logged(site.origin)
	s.logged(neighbour.origin)
}

// A page signs in with a password that it knows.
func TestTokenServerAnswersPagesThatSignIn(t *testing.T) {
	o := newTour(t)
	listed, neighbour := o.newWebsite("127.0.0.1"), o.newWebsite("127.0.0.1")
	s := start(t, tokenSite("\t@asks not method OPTIONS\n"+signIn(t, "@asks", "42"), "origins "+listed.origin, ownRule)+metricsSite, envA...)
	const body = `{"kind":"rtc","channel":"room-7","account":"42","role":"publisher"}`
	with := func(password string) map[string]any {
		return map[string]any{"headers": map[string]string{"Content-Type": "application/json", "Authorization": basic("42", password)}}
	}
	got := o.run(
		visit{site: listed, url: s.url + "/token", init: postJSON(body, with("password"))},
		visit{site: listed, url: s.url + "/token", init: postJSON(body, nil)},
		visit{site: listed, url: s.url + "/token", init: postJSON(body, with("wrong"))},
		visit{site: neighbour, url: s.url + "/token", init: postJSON(body, with("password"))},
	)
	wantBrowserToken(t, "signed in", got[0], "600 rtc(room-7,42) 1:600,2:600,3:600,4:600")
	for i, refused := range got[1:] {
		if refused.Status == 200 || refused.Body != "" {
			t.Errorf("visit %d: %v", i+1, refused)
		}
	}
	if n := s.minted(); n != 1 {
		t.Errorf("%d tokens were made, want 1", n)
	}
}

// A page is signed in by a cookie, which the browser sends along for pages of other
// origins of the site too: these get nothing for it.
func TestTokenServerAnswersPagesWithCookies(t *testing.T) {
	o := newTour(t)
	listed, neighbour := o.newWebsite("127.0.0.1"), o.newWebsite("127.0.0.1")
	service := newIdentityService(t)
	cookie := session("42", time.Now().Add(time.Hour))
	auth := strings.Replace(service.forwardAuth("/session"), "forward_auth ", "forward_auth @asks ", 1)
	s := start(t, global+"http://:<PORT> {\n\tbind 127.0.0.1\n\thandle /login {\n\t\theader Set-Cookie "+cookie+";HttpOnly\n\t\trespond in\n\t}\n"+
		"\t@asks not method OPTIONS\n\troute {\n\t\trequest_header -X-User\n"+auth+"\n"+tokenDirective("origins "+listed.origin, headerRule)+"\t}\n}\n"+metricsSite, envA...)
	const body = `{"kind":"rtc","channel":"room-7","account":"42"}`
	include := postJSON(body, map[string]any{"credentials": "include"})
	got := o.run(
		visit{site: listed, url: s.url + "/token", init: include},
		visit{site: listed, url: s.url + "/token", init: include, first: s.url + "/login"},
		visit{site: listed, url: s.url + "/token", init: postJSON(body, nil)},
		visit{site: neighbour, url: s.url + "/token", init: include, first: s.url + "/login"},
		visit{site: neighbour, url: s.url + "/token", init: map[string]any{"method": "POST", "credentials": "include", "mode": "no-cors", "body": body}},
		visit{site: listed, url: s.url + "/token", init: include},
	)
	wantBrowserToken(t, "signed in", got[1], "3600 rtc(room-7,42) 1:3600")
	wantBrowserToken(t, "still signed in", got[5], "3600 rtc(room-7,42) 1:3600")
	for _, i := range []int{0, 2, 3, 4} {
		if got[i].Status == 200 || got[i].Body != "" {
			t.Errorf("visit %d: %v", i, got[i])
		}
	}
	if n := s.minted(); n != 2 {
		t.Errorf("%d tokens were made, want 2", n)
	}
	// The neighbour was refused although its user was signed in.
	s.logged("pages of this origin may not ask")
}

// sdkStub stands in for agora-rtc-sdk-ng: it says what it is told, and that the
// token will end as soon as it has one.
const sdkStub = `
const tell = (what, ...told) => fetch("/told", {method: "POST", body: JSON.stringify([what, ...told])});
export default {
	createClient() {
		const handlers = {};
		return {
			on(name, handler) { handlers[name] = handler; },
			async join(appId, channel, token, uid) {
				await tell("join", appId, channel, token, String(uid));
			},
			async publish() {
				await tell("publish");
				await handlers["token-privilege-will-expire"]();
				await handlers["token-privilege-did-expire"]();
			},
			async renewToken(token) { await tell("renew", token); },
			async subscribe() {},
		};
	},
	async createMicrophoneAudioTrack() { return {}; },
};
`

// The page of the documentation joins and renews, with the configuration that the
// documentation has for it.
func TestTokenServerPageOfTheDocumentationJoinsAndRenews(t *testing.T) {
	o := newTour(t)
	page := tokenServerPage(t)
	_, scripts := blocks(page, "js")
	headings, examples := blocks(page, "caddyfile")
	at := slices.Index(headings, "Users of your application")
	if len(scripts) != 1 || at < 0 {
		t.Fatalf("%d scripts, and no configuration for them", len(scripts))
	}

	told := make(chan []string, 16)
	l := listen(t)
	origin := "http://" + l.Addr().String()
	service := newIdentityService(t)
	config := exampleFiles(t).Replace(examples[at])
	for old, replacement := range map[string]string{
		"https://token.example.com {": "{\n\tauto_https off\n}\nhttp://:<PORT> {\n\tbind 127.0.0.1\n\thandle /login {\n\t\theader Set-Cookie " + session("42", time.Now().Add(time.Hour)) + "\n\t\trespond in\n\t}\n",
		"https://app.example.com":     origin,
		"identity:9091":               strings.TrimPrefix(service.URL, "http://"),
	} {
		if strings.Count(config, old) != 1 {
			t.Fatalf("the configuration does not have %s once", old)
		}
		config = strings.Replace(config, old, replacement, 1)
	}
	s := start(t, config, vendorEnv...)
	script := strings.Replace(scripts[0], "https://token.example.com", s.url, 1)

	mux := http.NewServeMux()
	serve := func(path, media, text string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			_, _ = io.WriteString(w, text)
		})
	}
	serve("/sdk.js", "text/javascript", sdkStub)
	serve("/page.js", "text/javascript", script)
	serve("/", "text/html; charset=utf-8", `<!doctype html><title>page</title>
<script type="importmap">{"imports": {"agora-rtc-sdk-ng": "/sdk.js"}}</script>
<script type="module">
	await fetch("`+s.url+`/login", {mode: "no-cors", credentials: "include"});
	try {
		await import("/page.js");
		await fetch("/told", {method: "POST", body: JSON.stringify(["end"])});
	} catch (error) {
		await fetch("/told", {method: "POST", body: JSON.stringify(["error", String(error)])});
	}
</script>`)
	mux.HandleFunc("POST /told", func(w http.ResponseWriter, r *http.Request) {
		var words []string
		if json.NewDecoder(r.Body).Decode(&words) == nil {
			told <- words
		}
	})
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	server.Start()
	t.Cleanup(server.Close)

	ended := o.browse(origin + "/")
	var steps []string
	var tokens []string
	for deadline := time.After(browsing); len(steps) == 0 || steps[len(steps)-1] != "end"; {
		select {
		case words := <-told:
			steps = append(steps, words[0])
			switch words[0] {
			case "error":
				t.Fatalf("the page ends with %s", excerpt(words[1]))
			case "join":
				if words[1] != appA || words[2] != "room-7" || words[4] != "42" {
					t.Errorf("the page joins as %s", words[4])
				}
				tokens = append(tokens, words[3])
			case "renew":
				tokens = append(tokens, words[1])
			}
		case log := <-ended:
			t.Fatalf("the browser ended:\n%s", log)
		case <-deadline:
			t.Fatalf("waited %s; the page did %v", browsing, steps)
		}
	}
	if got := strings.Join(steps, " "); got != "join publish renew join end" {
		t.Errorf("the page does: %s", got)
	}
	for i, token := range tokens {
		if got := contents(parseToken(t, token)); got != "900 rtc(room-7,42) 1:900,2:900,3:900,4:900" {
			t.Errorf("token %d: %s", i, got)
		}
		if i > 0 && token == tokens[i-1] {
			t.Errorf("token %d is the one before", i)
		}
	}
}
