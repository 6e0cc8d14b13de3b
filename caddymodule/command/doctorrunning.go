package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/caddymodule"
)

const sectionRunning = "Running sidecar"

// maxRunning is how many running sidecars are looked at.
const maxRunning = 8

// running is a sidecar that this user has started.
type running struct {
	listen    []string // for calls
	others    []string // for other things, such as its health
	area      string
	upstreams []string
	status    caddymodule.Status // of process 0 where it does not say
}

// listensOn reports whether r was started with an address to listen on.
func (r *running) listensOn(address string) bool {
	return slices.Contains(r.listen, address) || slices.Contains(r.others, address)
}

// findRunning returns the sidecars of this user that answer on their admin socket.
func findRunning(ctx context.Context) (list []*running) {
	for _, found := range findSidecars(socketDirs()) {
		if r := askRunning(ctx, found); r != nil && len(list) < maxRunning {
			list = append(list, r)
		}
	}
	return list
}

// askRunning returns what a sidecar says of itself, nil where it does not answer or
// takes no calls.
func askRunning(ctx context.Context, found foundSidecar) *running {
	asks, err := newAsker(found.address())
	if err != nil {
		return nil
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Listen []string `json:"listen"`
					Routes []struct {
						Handle []struct {
							Handler   string   `json:"handler"`
							Area      string   `json:"area"`
							Upstreams []string `json:"upstreams"`
						} `json:"handle"`
					} `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	code, body, err := asks.get(ctx, "/config/")
	if err != nil || code != http.StatusOK || json.Unmarshal(body, &config) != nil {
		return nil
	}
	r := new(running)
	for _, server := range config.Apps.HTTP.Servers {
		calls := false
		for _, route := range server.Routes {
			for _, handler := range route.Handle {
				if handler.Handler == "convoai" {
					calls = true
					r.area, r.upstreams = handler.Area, handler.Upstreams
				}
			}
		}
		if calls {
			r.listen = append(r.listen, server.Listen...)
		} else {
			r.others = append(r.others, server.Listen...)
		}
	}
	if len(r.listen) == 0 {
		return nil
	}
	slices.Sort(r.listen)
	r.status = settled(ctx, asks)
	return r
}

// settled returns the status, once a sidecar that has just started knows whether it
// can reach a host; the zero status where it has none.
func settled(ctx context.Context, asks *asker) (s caddymodule.Status) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		next, _, err := asks.status(ctx)
		if err != nil {
			return s
		}
		if s = next; !starting(s.Readiness) {
			return s
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// starting reports whether it is not known yet if a sidecar is ready.
func starting(r caddymodule.Readiness) bool {
	return slices.ContainsFunc(r.Reasons, func(reason caddymodule.Reason) bool { return reason.Reason == caddymodule.ReasonStarting })
}

// checkRunning reports what the sidecars that run say of themselves.
func (d *diagnosis) checkRunning() {
	d.in(sectionRunning)
	for _, r := range d.running {
		d.reportRunning(r)
	}
}

func (d *diagnosis) reportRunning(r *running) {
	s := r.status
	name := "a sidecar on " + strings.Join(r.listen, ", ")
	if s.ProcessID != 0 {
		name = fmt.Sprintf("process %d on %s", s.ProcessID, strings.Join(r.listen, ", "))
	}
	if !slices.ContainsFunc(d.sidecar.listen, r.listensOn) {
		d.reportOther(name, r)
		return
	}
	d.compareRunning(name, r)
	switch {
	case s.ProcessID == 0:
		d.warn(faultHost, name+" runs, and does not say how it does", "it is an older version, or is just starting or stopping")
		return
	case starting(s.Readiness):
		d.warn(faultHost, name+" has just started, and does not know yet whether it is ready", "ask again in a moment")
	case s.Readiness.Ready():
		d.ok("%s is ready, and has been running for %s", name, words(time.Duration(s.UptimeSeconds)*time.Second))
	default:
		d.fail(faultHost, name+" is not ready: "+foreign(strings.Join(reasonTexts(s.Readiness.Reasons), "; "), 200), "the lines above, and its log, say why")
	}
	for _, app := range s.Apps {
		d.reportApp(name, app)
	}
	for _, host := range s.Regions {
		if host.State == "resting" {
			d.warn(faultNetwork, fmt.Sprintf("%s: calls avoid %s, for %s now: %s", name, host.Host, words(s.Time.Sub(host.Since).Round(time.Second)), foreign(host.Cause, 60)),
				"it is used again when it can be reached again")
		}
	}
	if s.Clock.OffsetSeconds != 0 {
		offset := time.Duration(s.Clock.OffsetSeconds * float64(time.Second)).Round(time.Second)
		d.warn(faultHost, fmt.Sprintf("%s: tokens are dated by the vendor's clock, which is %s off this host's", name, words(offset.Abs())), "set this host's clock right")
	}
}

// reportOther reports a sidecar that has nothing to do with what was checked.
func (d *diagnosis) reportOther(name string, r *running) {
	if r.status.ProcessID == 0 || r.status.Readiness.Ready() {
		d.ok("%s runs as well; it was not checked", name)
		return
	}
	d.warn(faultHost, name+" runs as well, and is not ready: "+foreign(strings.Join(reasonTexts(r.status.Readiness.Reasons), "; "), 200), "to have it checked, give doctor the flags and the environment that it was started with")
}

// reportApp reports what a sidecar says of the credentials of an app.
func (d *diagnosis) reportApp(name string, app caddymodule.AppStatus) {
	if app.Certificate != nil && app.Certificate.Refused {
		d.fail(faultConfiguration, fmt.Sprintf("%s: the vendor refuses its tokens for the App ID ending in %s", name, app.AppIDEndsIn),
			"App ID and certificate do not belong together, or this host's clock is wrong: --live tells")
	}
	for _, secret := range app.Secrets {
		if secret.ReloadFailing {
			d.warn(faultConfiguration, fmt.Sprintf("%s: the file of %s holds what cannot be used, and the previous value is kept", name, secret.Name), "set it right: "+foreign(secret.ReloadError, 160))
		}
	}
}

// compareRunning says where a sidecar that listens where this one would has
// settings other than those that were checked.
func (d *diagnosis) compareRunning(name string, r *running) {
	s := d.sidecar.settings
	if d.endpoints != nil && (r.area != s.Area || !slices.Equal(r.upstreams, s.Upstreams)) {
		d.warn(faultConfiguration, name+" was started with another area or other upstreams than were checked here", "give doctor the flags and the environment that it was started with")
	}
}
