package command

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
)

const sectionLive = "Vendor"

// answerLimit bounds what is read of an answer, in bytes.
const answerLimit = 64 << 10

// proof is a credential that the vendor can be asked about.
type proof struct {
	from   string // the variables
	header func(at time.Time) (string, error)
	minted bool

	forCalls  bool // as their header; certificates also make the tokens of bodies
	secondary bool // certificate
}

// answer is what the vendor has said to a call.
type answer struct {
	host    string
	status  int
	said    string // detail and reason, fit to be shown; may be empty
	list    bool   // the body is a list of agents
	took    time.Duration
	request string // the request's ID
	sidecar bool   // a sidecar has given it, not the vendor
	problem string // why there is no answer; "" where there is one
}

// checkLive has the vendor list the app's agents, once for each credential.
func (d *diagnosis) checkLive(ctx context.Context) {
	d.in(sectionLive)
	proofs := d.proofs()
	switch {
	case len(proofs) == 0 || !d.credentials.appID.isSet():
		d.warn(faultConfiguration, "not asked: there is no credential that can be used", "correct the credentials first")
		return
	case !d.anyUp():
		d.warn(faultNetwork, "not asked: no upstream can be reached", "see Network above")
		return
	}
	var results []liveResult
	for _, p := range proofs {
		r := d.prove(ctx, p)
		results = append(results, r)
		if !r.accepted() && r.status != http.StatusUnauthorized {
			break // it is not about the credential
		}
	}
	for i := range results {
		d.reportLive(&results[i], results)
	}
}

func (d *diagnosis) anyUp() bool {
	for i := range d.trials {
		if d.trials[i].up() {
			return true
		}
	}
	return false
}

// proofs are the credentials that can be used: that of calls first.
func (d *diagnosis) proofs() []proof {
	c := d.credentials
	var list []proof
	static := func(from, header string) {
		list = append(list, proof{from: from, forCalls: true, header: func(time.Time) (string, error) { return header, nil }})
	}
	switch d.mode {
	case modeBasic:
		static(c.customerID.from+" and "+c.customerSecret.from, "Basic "+base64.StdEncoding.EncodeToString([]byte(c.customerID.value+":"+c.customerSecret.value)))
	case modeToken:
		if c.authToken.isSet() {
			static(c.authToken.from, "agora token="+bareToken(c.authToken.value))
		}
	}
	for i, certificate := range []setting{c.appCertificate, c.appCertificateSecondary} {
		if !certificate.isSet() || i == 1 && c.appCertificate.value == certificate.value {
			continue
		}
		list = append(list, proof{
			from: certificate.from, minted: true, forCalls: d.mode == modeApp, secondary: i == 1,
			header: func(at time.Time) (string, error) {
				signed, err := mintUnbound(c.appID.value, certificate.value, at)
				return "agora token=" + signed, err
			},
		})
	}
	return list
}

// liveResult is what came of asking about one credential.
type liveResult struct {
	proof
	answer
	byTheirClock bool // accepted when it was dated by the vendor's clock only
}

func (r *liveResult) accepted() bool { return r.status/100 == 2 }

// prove asks about one credential, and where a token may have been refused for its
// date, once more with one that is dated by the vendor's clock.
func (d *diagnosis) prove(ctx context.Context, p proof) liveResult {
	r := liveResult{proof: p, answer: d.listAgents(ctx, p, d.now())}
	if r.status == http.StatusUnauthorized && p.minted && d.clock.datesTokens() {
		// The least that the vendor's clock can show, so that the token does not come
		// from its future.
		if again := d.listAgents(ctx, p, d.now().Add(d.clock.low)); again.problem == "" && again.status != http.StatusUnauthorized {
			r.answer, r.byTheirClock = again, true
		}
	}
	return r
}

// listAgents lists the app's agents at the first upstream that is up. One that is not
// available now has the next one asked, as a call would be.
func (d *diagnosis) listAgents(ctx context.Context, p proof, at time.Time) (last answer) {
	header, err := p.header(at)
	if err != nil {
		return answer{problem: err.Error()}
	}
	for i := range d.trials {
		t := &d.trials[i]
		if !t.up() {
			continue
		}
		last = d.listAt(ctx, t, header)
		if last.problem == "" && !last.movesOn() {
			break
		}
	}
	return last
}

func (d *diagnosis) listAt(ctx context.Context, t *trial, header string) answer {
	ctx, cancel := context.WithTimeout(ctx, liveTime)
	defer cancel()
	a := answer{host: t.URLHost()}
	veil := d.veil(header)
	failed := func(err error) answer {
		a.problem = veil.show(err.Error(), 160)
		return a
	}
	path := region.Area(d.sidecar.settings.Area).PathPrefix() + strings.Replace(api.List.Template, "{appid}", d.credentials.appID.value, 1)
	r, err := http.NewRequestWithContext(ctx, api.List.Method, t.Endpoint.String()+path+"?limit=1", nil)
	if err != nil {
		return failed(err)
	}
	r.Header.Set("Authorization", header)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent)
	began := time.Now()
	res, err := d.client.RoundTrip(r, t.Endpoint)
	if err != nil {
		return failed(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	a.took = time.Since(began)
	if err != nil {
		return failed(err)
	}
	a.status = res.StatusCode
	a.sidecar = res.Header.Get("X-Convoai-Error") != ""
	a.request = veil.show(res.Header.Get("X-Request-Id"), 64)
	a.read(body, veil)
	return a
}

// movesOn reports whether another upstream may do better.
func (a *answer) movesOn() bool {
	return a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout
}

// read takes out of a body what the vendor says in it.
func (a *answer) read(body []byte, veil veil) {
	var said struct {
		Detail  string          `json:"detail"`
		Reason  string          `json:"reason"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		if len(body) > 0 {
			a.said = "not in JSON"
		}
		return
	}
	a.list = len(said.Data) > 0 && said.Data[0] == '{'
	var parts []string
	for _, text := range []string{said.Reason, said.Detail, said.Message} {
		if text = veil.show(text, 160); text != "" {
			parts = append(parts, text)
		}
	}
	a.said = strings.Join(parts, ": ")
}

// text is an answer in a sentence.
func (a *answer) text() string {
	text := fmt.Sprintf("%s answers %d", a.host, a.status)
	if a.said != "" {
		text += " (" + a.said + ")"
	}
	return text
}
