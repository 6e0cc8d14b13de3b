package command

import (
	"fmt"
	"io"
	"strings"
)

// start runs s in this process. It returns the exit status of what went wrong.
func (s *sidecar) start() (int, error) {
	status, err := s.server.start(s.config(), "http.handlers.convoai")
	if problem, ok := errIntercept(err); ok {
		return exitFailed, problem
	}
	return status, err
}

// authMode is how the calls of an app are authorised, for people to read.
type authMode struct {
	name  string
	appID string // its last four characters
}

// announce tells people what has been started.
func (s *sidecar) announce(w io.Writer, mode authMode) {
	target := "area " + s.settings.Area
	if len(s.settings.Upstreams) > 0 {
		target += ", upstream " + strings.Join(s.settings.Upstreams, " ")
	}
	health := ""
	if len(s.healthListen) > 0 {
		health = "; health on " + strings.Join(urlsOf(healthName), " ")
	}
	fmt.Fprintf(w, "convoai: listening on %s; %s; auth mode %s, app ID ending in %s; %s%s\n",
		strings.Join(s.urls(), " "), target, mode.name, mode.appID, s.adminText(), health)
	s.announceIntercept(w)
	if len(s.settings.AllowFrom) > 0 {
		return
	}
	for _, address := range s.listen {
		if !onlyLoopback(address) {
			fmt.Fprintf(w, "convoai: %s can be reached from other hosts, but only callers on this host are served: name others with --allow-from (and the names they use with --allow-host)\n", address)
		}
	}
}
