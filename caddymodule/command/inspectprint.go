package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// serviceLines are a service and what it grants.
type serviceLines struct {
	head string
	rows [][2]string
}

// describe adds the token's services.
func (in *inspection) describe(t *token.Token, now time.Time) {
	for i := range t.Services {
		s := &t.Services[i]
		lines := serviceLines{head: serviceHead(s)}
		for _, p := range s.Privileges {
			lines.rows = append(lines.rows, [2]string{token.PrivilegeName(s.Type, p.ID), until(t, p.Expire, now)})
		}
		for _, r := range s.Permissions {
			for _, p := range r.Permissions {
				lines.rows = append(lines.rows, [2]string{fmt.Sprintf("%s %s", p.Type, r.Resource), quoted(p.Names)})
			}
		}
		in.services = append(in.services, lines)
	}
}

func serviceHead(s *token.Service) string {
	parts := []string{s.Type.String()}
	switch s.Type {
	case token.ServiceRTC, token.ServiceStreaming, token.ServiceFCDN:
		parts = append(parts, fmt.Sprintf("channel %q", s.Channel))
	case token.ServiceEducation:
		parts = append(parts, fmt.Sprintf("room %q, role %d", s.Room, s.Role))
	}
	if s.Type != token.ServiceFPA {
		parts = append(parts, fmt.Sprintf("account %q", s.Account))
	}
	return parts[0] + "  " + strings.Join(parts[1:], ", ")
}

// until says when a privilege ends: with the token at the latest.
func until(t *token.Token, expire uint32, now time.Time) string {
	end := moment(t.After(expire), now)
	switch {
	case expire == 0:
		return "lifetime 0"
	case expire > t.Expire:
		return "until " + end + ", but the token ends earlier"
	}
	return "until " + end
}

// maxNames is how many names of a permission are shown.
const maxNames = 20

func quoted(names []string) string {
	var parts []string
	for i, name := range names {
		if i == maxNames {
			parts = append(parts, fmt.Sprintf("and %d more", len(names)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%q", name))
	}
	return strings.Join(parts, ", ")
}

// Terminal colours.
const (
	red, green, yellow, bold, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[1m", "\x1b[0m"
)

// print writes the verdict in the first line, then the facts.
func (in *inspection) print(w io.Writer, now time.Time, colours bool) error {
	paint := func(colour, s string) string {
		if !colours {
			return s
		}
		return colour + s + plain
	}
	colour := green
	switch {
	case in.status != exitDone:
		colour = red
	case in.soft || len(in.warnings) > 0:
		colour = yellow
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", paint(colour, in.verdict))
	for _, f := range in.facts {
		fmt.Fprintf(&b, "  %-10s %s\n", f[0], f[1])
	}
	if len(in.services) > 0 {
		fmt.Fprintf(&b, "  %s\n", "Services")
	}
	for _, s := range in.services {
		fmt.Fprintf(&b, "    %s\n", paint(bold, s.head))
		for _, r := range s.rows {
			fmt.Fprintf(&b, "      %-28s %s\n", r[0], r[1])
		}
	}
	for _, warning := range in.warnings {
		fmt.Fprintf(&b, "%s %s\n", paint(yellow, "warning:"), warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// clock is a moment in local time.
func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// moment is a moment in local time and in words.
func moment(t, now time.Time) string { return clock(t) + " (" + distance(t, now) + ")" }

// distance is how far a moment is from now, in words.
func distance(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	switch {
	case d > 0:
		return "in " + words(d)
	case d < 0:
		return words(-d) + " ago"
	}
	return "now"
}

// words is a duration in its two largest units.
func words(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		name string
		size time.Duration
	}{{"year", 365 * day}, {"day", day}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	var parts []string
	for _, u := range units {
		if n := d / u.size; n > 0 {
			d -= n * u.size
			s := fmt.Sprintf("%d %s", n, u.name)
			if n > 1 {
				s += "s"
			}
			parts = append(parts, s)
		} else if len(parts) > 0 {
			break
		}
		if len(parts) == 2 {
			break
		}
	}
	if len(parts) == 0 {
		return "0 seconds"
	}
	return strings.Join(parts, " ")
}

// length is a lifetime in seconds and in words.
func length(seconds uint32) string {
	return fmt.Sprintf("%d s (%s)", seconds, words(time.Duration(seconds)*time.Second))
}
