package command

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-convoai/convoai/caddymodule"
)

// statusText returns s for people to read, in lines that are as wide as the style
// has it.
func statusText(s *caddymodule.Status, style textStyle) string {
	p := &statusPage{Status: s, style: style}
	p.head()
	p.apps()
	p.hosts()
	p.rest()
	return p.b.String()
}

// statusPage is a status that is being written.
type statusPage struct {
	*caddymodule.Status
	style textStyle
	b     strings.Builder
}

// How many apps and hosts are shown.
const (
	maxShownApps  = 20
	maxShownHosts = 32
)

func (p *statusPage) paint(colour, text string) string {
	if !p.style.colours || strings.TrimSpace(text) == "" {
		return text
	}
	return colour + text + plain
}

// head says whether it is ready, and who says so.
func (p *statusPage) head() {
	state, colour := "READY", green
	if !p.Readiness.Ready() {
		state, colour = "NOT READY", red
	}
	version := clean(p.Version)
	if version != "" {
		version = ", convoai " + version
	}
	who := fmt.Sprintf("process %d, up %s%s", p.ProcessID, words(seconds(p.UptimeSeconds)), version)
	p.b.WriteString(p.paint(bold+colour, state) + "  " + cut(who, p.style.width-len(state)-2) + "\n")
	for _, reason := range p.Readiness.Reasons {
		if !p.several() {
			reason.Site = 0
		}
		p.wrapped("  ", reasonText(reason))
	}
}

func (p *statusPage) several() bool { return len(p.Sites) > 1 }

// apps lists the apps, each with what its credential is made of.
func (p *statusPage) apps() {
	if len(p.Apps) == 0 {
		return
	}
	rows := [][]string{{"SITE", "APP", "MODE", "READY", "CREDENTIAL"}}
	paints := []string{bold}
	var notes [][]string
	shown := p.Apps[:min(len(p.Apps), maxShownApps)]
	for i := range shown {
		app := &shown[i]
		ready, colour := "yes", ""
		if !app.Ready {
			ready, colour = "no", red
		}
		rows = append(rows, []string{strconv.Itoa(app.Site), ".." + clean(app.AppIDEndsIn), clean(app.Mode), ready, p.credential(app)})
		paints = append(paints, colour)
		notes = append(notes, p.appNotes(app))
	}
	p.b.WriteString("\n")
	p.table(rows, paints, notes)
	if further := len(p.Apps) - len(shown); further > 0 {
		p.wrapped("", fmt.Sprintf("and %d more apps", further))
	}
}

// credential says what calls of an app are authorised with.
func (p *statusPage) credential(app *caddymodule.AppStatus) string {
	switch {
	case app.Problem != "":
		return clean(app.Problem)
	case app.AuthTokenExpiresAt != nil:
		return "expires " + distance(*app.AuthTokenExpiresAt, p.Time)
	case app.Certificate == nil:
		return "customer ID and secret"
	}
	text := clean(app.Certificate.InUse)
	if t := app.Tokens; t != nil && t.Count > 0 {
		text = plural(t.Count, "token")
		if t.NextRefreshAt != nil {
			text += ", refresh " + distance(*t.NextRefreshAt, p.Time)
		}
	}
	return text
}

// appNotes says what needs attention.
func (p *statusPage) appNotes(app *caddymodule.AppStatus) (notes []string) {
	if c := app.Certificate; c != nil {
		if c.Refused {
			notes = append(notes, "the vendor refuses fresh tokens of its certificate: see whether that is enabled")
		} else if c.InUse == "app_certificate_secondary" {
			notes = append(notes, "signs with app_certificate_secondary: the vendor has refused the first")
		}
	}
	if t := app.Tokens; t != nil && t.Failing > 0 {
		notes = append(notes, "the last mint has failed of "+plural(t.Failing, "token"))
	}
	for _, s := range app.Secrets {
		if !s.ReloadFailing {
			continue
		}
		note := clean(s.Name) + ": its file cannot be used, the previous value is kept"
		if s.ReloadFailedAt != nil {
			note += " (" + distance(*s.ReloadFailedAt, p.Time) + ")"
		}
		if s.ReloadError != "" {
			note += ": " + clean(s.ReloadError)
		}
		notes = append(notes, note)
	}
	return notes
}

var stateColours = map[string]string{"available": green, "resting": red, "unproven": yellow}

// hosts lists the hosts in the order in which calls prefer them.
func (p *statusPage) hosts() {
	if len(p.Regions) == 0 {
		return
	}
	rows := [][]string{{"SITE", "REGION", "HOST", "STATE", "CONNECT", "REACHED"}}
	paints := []string{bold}
	var notes [][]string
	shown := p.Regions[:min(len(p.Regions), maxShownHosts)]
	named := false
	for i := range shown {
		h := &shown[i]
		named = named || h.Region != h.Host
		connect, reached := "-", "-"
		if took := cmp.Or(h.LatencySeconds, h.ConnectSeconds); took > 0 {
			connect = fmt.Sprintf("%d ms", max(1, int(math.Round(took*1000))))
		}
		if h.ReachedAt != nil {
			reached = brief(p.Time.Sub(*h.ReachedAt)) + " ago"
		}
		if h.Reachable != nil && !*h.Reachable {
			reached = "no"
		}
		region := clean(h.Region)
		if h.Region == h.Host {
			region = "-" // an upstream is a region of its own
		}
		rows = append(rows, []string{strconv.Itoa(h.Site), region, clean(h.Host), clean(h.State), connect, reached})
		paints = append(paints, stateColours[h.State])
		notes = append(notes, p.hostNotes(h))
	}
	if !named {
		for i := range rows {
			rows[i] = slices.Delete(rows[i], 1, 2)
		}
	}
	p.b.WriteString("\n")
	p.table(rows, paints, notes)
	if further := len(p.Regions) - len(shown); further > 0 {
		p.wrapped("", fmt.Sprintf("and %d more hosts", further))
	}
}

func (p *statusPage) hostNotes(h *caddymodule.HostStatus) []string {
	if h.State == "available" || h.Cause == "" {
		return nil
	}
	note := clean(h.Cause)
	if h.Failures > 1 {
		note += fmt.Sprintf(", %d times in a row", h.Failures)
	}
	if h.RestsUntil != nil && h.RestsUntil.After(p.Time) {
		note += ", rests for " + brief(h.RestsUntil.Sub(p.Time))
	}
	return []string{note}
}

// rest is the clock and the counters.
func (p *statusPage) rest() {
	p.b.WriteString("\n")
	p.fact("Clock", p.clock())
	p.fact("Requests", countsText(p.Counters.Requests))
	if p.Counters.Refused.Total > 0 {
		p.fact("Refused", countsText(p.Counters.Refused))
	}
	attempts := countsText(p.Counters.Attempts)
	if p.Counters.Failovers > 0 {
		attempts += fmt.Sprintf("; %.0f went on to another host", p.Counters.Failovers)
	}
	p.fact("Attempts", attempts)
	if p.Counters.Reauthorizations.Total > 0 {
		p.fact("Sent again", countsText(p.Counters.Reauthorizations)+" with another token")
	}
	if p.Counters.Unauthorized > 0 {
		p.fact("Vendor 401", fmt.Sprintf("%.0f went to callers: the credential, or the app ID, may be wrong", p.Counters.Unauthorized))
	}
	p.fact("Minted", countsText(p.Counters.Minted))
}

func (p *statusPage) clock() string {
	text := "not compared with the vendor's yet"
	if p.Clock.SkewSeconds != nil {
		switch skew := math.Round(*p.Clock.SkewSeconds); {
		case math.Abs(skew) <= 1:
			text = "agrees with the vendor's"
		case skew > 0:
			text = words(seconds(skew)) + " ahead of the vendor's"
		default:
			text = words(seconds(-skew)) + " behind the vendor's"
		}
	}
	if p.Clock.OffsetSeconds != 0 {
		text += "; tokens are dated by the vendor's"
	}
	return text
}

func countsText(c caddymodule.CountsBy) string {
	text := fmt.Sprintf("%.0f", c.Total)
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(c.By)) {
		parts = append(parts, fmt.Sprintf("%s %.0f", clean(label), c.By[label]))
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return text
}

// fact writes a named line, which may go on below.
func (p *statusPage) fact(name, text string) {
	const indent = 12
	for i, line := range wrap(text, p.style.width-indent) {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(&p.b, "%-*s%s\n", indent, name, line)
	}
}

func (p *statusPage) wrapped(indent, text string) {
	for _, line := range wrap(text, p.style.width-len(indent)) {
		p.b.WriteString(indent + line + "\n")
	}
}

// table writes rows under a head, each with its notes below it. The column of sites
// is left out where there is one. The last column takes what is left of a line, and
// the widest of the others gives way where they do not fit.
func (p *statusPage) table(rows [][]string, paints []string, notes [][]string) {
	if !p.several() {
		for i := range rows {
			rows[i] = rows[i][1:]
		}
	}
	widths := columnWidths(rows, p.style.width)
	for i, row := range rows {
		var b strings.Builder
		for n, cell := range row {
			cell = cut(cell, widths[n])
			if n < len(row)-1 {
				cell = fmt.Sprintf("%-*s  ", widths[n], cell)
			}
			b.WriteString(cell)
		}
		line := strings.TrimRight(b.String(), " ")
		p.b.WriteString(p.paint(paints[i], line) + "\n")
		if i > 0 {
			for _, note := range notes[i-1] {
				p.wrapped("    ", note)
			}
		}
	}
}
