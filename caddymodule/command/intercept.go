package command

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/caddy-convoai/convoai/caddymodule/connect"
)

// Names of the environment variables that stand for the flags below.
const (
	envIntercept     = "CONVOAI_INTERCEPT"
	envTunnel        = "CONVOAI_TUNNEL"
	envTunnelPrivate = "CONVOAI_TUNNEL_PRIVATE"
	envOtherPaths    = "CONVOAI_OTHER_PATHS"
)

// interceptFlags are the flags of run and exec that are about calls to the vendor's
// own names.
type interceptFlags struct {
	on            bool
	tunnels       []string
	tunnelPrivate bool
	otherPaths    string
}

// addTo defines the flags.
func (f *interceptFlags) addTo(set *pflag.FlagSet) {
	set.BoolVar(&f.on, "intercept", false, "Be a forward proxy as well, for HTTPS_PROXY: connections to ConvoAI hosts end here, with a certificate of a CA that clients have to trust (see caddy convoai trust); all others are refused")
	set.StringArrayVar(&f.tunnels, "tunnel", nil, "With --intercept: a further host that may be connected to, on port 443; repeatable")
	set.BoolVar(&f.tunnelPrivate, "tunnel-private", false, "Allow hosts of --tunnel that resolve to loopback, private or link-local addresses")
	set.StringVar(&f.otherPaths, "other-paths", "", "With --intercept: refuse or forward requests to ConvoAI hosts that are no ConvoAI calls, such as those of other Agora APIs (default refuse)")
}

func (f *runFlags) readIntercept(s *sidecar) error {
	on, err := flagOrBool(f.intercept.on, envIntercept)
	if err != nil {
		return err
	}
	tunnels := flagOrList("tunnel", f.intercept.tunnels, envTunnel)
	otherPaths := flagOr("other-paths", f.intercept.otherPaths, envOtherPaths)
	if !on {
		for _, given := range []struct {
			set  bool
			from string
		}{{len(tunnels.values) > 0, tunnels.from}, {otherPaths.isSet(), otherPaths.from}} {
			if given.set {
				return fmt.Errorf("%s is of use with --intercept alone", given.from)
			}
		}
		return nil
	}
	for _, name := range tunnels.values {
		if _, err := connect.ParseTunnel(name); err != nil {
			return fmt.Errorf("%s: %w", tunnels.from, err)
		}
	}
	if v := otherPaths.value; v != "" && v != "refuse" && v != "forward" {
		return fmt.Errorf("%s must be refuse or forward", otherPaths.from)
	}
	private, err := flagOrBool(f.intercept.tunnelPrivate, envTunnelPrivate)
	if err != nil {
		return err
	}
	s.connect = &connect.Handler{Tunnel: tunnels.values, TunnelPrivate: private, OtherPaths: otherPaths.value}
	return nil
}

// errIntercept is an error of the module behind --intercept in its own words.
func errIntercept(err error) (error, bool) {
	if err == nil {
		return nil, false
	}
	_, problem, ok := strings.Cut(err.Error(), "provision http.handlers.convoai_connect: ")
	return errors.New("--intercept: " + problem), ok
}

// announceIntercept says how to use s as a forward proxy.
func (s *sidecar) announceIntercept(w io.Writer) {
	if s.connect == nil {
		return
	}
	for _, url := range s.urls() {
		if strings.HasPrefix(url, "http://") {
			fmt.Fprintf(w, "convoai: also a forward proxy for ConvoAI hosts: HTTPS_PROXY=%s, for clients that trust the CA which caddy convoai trust prints\n", url)
			return
		}
	}
}
