package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// start runs s in this process. It returns the exit status of what went wrong.
func (s *sidecar) start() (int, error) {
	if err := checkFree(s.listen, "--listen"); err != nil {
		return exitFailed, err
	}
	if err := caddy.Run(s.config()); err != nil {
		// The gate's own words are about what the user gave; those around them
		// are about a configuration that nobody wrote.
		if _, problem, ok := strings.Cut(err.Error(), "provision http.handlers.convoai: "); ok {
			return exitUnusable, errors.New(problem)
		}
		return exitFailed, err
	}
	return exitDone, nil
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
	admin := "no admin API"
	if s.adminSocket != "" {
		admin = "admin API on unix/" + s.adminSocket
	}
	fmt.Fprintf(w, "convoai: listening on %s; %s; auth mode %s, app ID ending in %s; %s\n",
		strings.Join(s.urls(), " "), target, mode.name, mode.appID, admin)
	if len(s.settings.AllowFrom) > 0 {
		return
	}
	for _, address := range s.listen {
		if !onlyLoopback(address) {
			fmt.Fprintf(w, "convoai: %s can be reached from other hosts, but only callers on this host are served: name others with --allow-from (and the names they use with --allow-host)\n", address)
		}
	}
}

// urls returns where s can be reached, with the ports that were chosen.
func (s *sidecar) urls() []string {
	var list []string
	if app, err := caddy.ActiveContext().AppIfConfigured("http"); err == nil {
		if server := app.(*caddyhttp.App).Servers[serverName]; server != nil {
			for _, ln := range server.Listeners() {
				list = append(list, listenerURL(ln.Addr().Network(), ln.Addr().String()))
			}
		}
	}
	return list
}

func listenerURL(network, address string) string {
	if caddy.IsUnixNetwork(network) {
		return "unix/" + address
	}
	return "http://" + address
}

// removeAtExit returns a function for [caddy.OnExit] that removes a file.
func removeAtExit(file string) func(context.Context) {
	return func(context.Context) { _ = os.Remove(file) }
}
