package command

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/region"
)

// runFlags are the flags of run. What is not given comes from the environment.
type runFlags struct {
	listen     []string
	area       string
	appID      string
	upstreams  []string
	upstreamCA string
	private    bool
	allowHost  []string
	allowFrom  []string
	accessLog  bool
}

// runCommand returns `caddy convoai run`.
func runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run [--listen <address>]... [--area us|eu|ap|cn] [--app-id <id>] [--upstream <url>]... [--upstream-ca <file>] [--upstream-private] [--allow-host <host>]... [--allow-from <cidr>]... [--access-log]",
		Short: "Runs a sidecar without a configuration file",
		Long: `
Listens on the loopback interface for ConvoAI calls without a credential, and
sends them to the hosts of the area with one. The credentials come from the
environment, never from arguments; which are set decides the mode:

	AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET   Basic
	else AGORA_AUTH_TOKEN                         this token, until it expires
	else AGORA_APP_CERTIFICATE                    minted tokens

beside AGORA_APP_ID in each case. AGORA_APP_CERTIFICATE_SECONDARY is the app's
other certificate, for when the vendor refuses the first. Each of them can be in
a file: AGORA_APP_ID_FILE and so on name it. CONVOAI_CALLER_TOKEN (or _FILE) is
what callers must then send in X-Convoai-Caller-Token. The flags can be given in
the environment too:
AGORA_AREA, CONVOAI_LISTEN, CONVOAI_UPSTREAM, CONVOAI_UPSTREAM_CA,
CONVOAI_UPSTREAM_PRIVATE, CONVOAI_ALLOW_HOST, CONVOAI_ALLOW_FROM,
CONVOAI_ACCESS_LOG. Lists are separated
by commas or white space. A flag counts before its variable.

The admin API is on a Unix socket that only this user can open. Nothing is
written to disk but that.`,
		Args: noArguments,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(os.Stderr)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.listen, "listen", "l", nil, "Where to listen: host:port, or unix//path; repeatable (default 127.0.0.1:8080, and [::1]:8080 where there is IPv6)")
	f.StringVar(&flags.area, "area", "", "us, eu, ap or cn: whose hosts the calls go to (default us)")
	f.StringVar(&flags.appID, "app-id", "", "The app ID, instead of the one in AGORA_APP_ID")
	f.StringArrayVar(&flags.upstreams, "upstream", nil, "https://host[:port] to send to, instead of the area's hosts; repeatable")
	f.StringVar(&flags.upstreamCA, "upstream-ca", "", "PEM file with the CAs to trust for upstreams, instead of the system's")
	f.BoolVar(&flags.private, "upstream-private", false, "Allow upstream names that resolve to loopback, private or link-local addresses")
	f.StringArrayVar(&flags.allowHost, "allow-host", nil, "A Host that callers may use; repeatable (default localhost, loopback addresses and the vendor's hosts)")
	f.StringArrayVar(&flags.allowFrom, "allow-from", nil, "An address or CIDR range that may call; repeatable (default loopback)")
	f.BoolVar(&flags.accessLog, "access-log", false, "Log each call")
	return cmd
}

// run starts the sidecar. It returns only if that fails; a signal ends the
// process with status 0.
func (f *runFlags) run(stderr io.Writer) (int, error) {
	s, mode, err := f.sidecar()
	if err != nil {
		return exitUnusable, err
	}
	caddy.TrapSignals()
	if s.adminSocket, err = newAdminSocket(socketDirs()); err != nil {
		caddy.Log().Warn("no admin API: there is no folder for its socket", zap.Error(err))
	} else {
		caddy.OnExit(removeAtExit(s.adminSocket))
	}
	if status, err := s.start(); err != nil {
		if s.adminSocket != "" {
			_ = os.Remove(s.adminSocket)
		}
		return status, err
	}
	s.announce(stderr, mode)
	select {}
}

// sidecar reads flags and environment. Errors name the flag or variable, and
// never the value of a secret.
func (f *runFlags) sidecar() (*sidecar, authMode, error) {
	var none authMode
	credentials, err := lookUpAppCredentials(f.appID)
	if err != nil {
		return nil, none, err
	}
	mode, err := credentials.mode()
	if err != nil {
		return nil, none, err
	}
	if !credentials.appID.isSet() {
		return nil, none, errors.New("no app ID: set AGORA_APP_ID or --app-id")
	}
	callerToken, err := lookUp(envCallerToken...)
	if err != nil {
		return nil, none, err
	}
	if !printable(callerToken.value) {
		return nil, none, fmt.Errorf("%s must consist of printable ASCII characters", callerToken.from)
	}

	s := new(sidecar)
	s.settings.Credentials = credentials.forConfig()
	s.settings.CallerToken = callerToken.placeholder
	if err := f.readSettings(s); err != nil {
		return nil, none, err
	}
	if s.listen, err = listenAddresses(flagOrList("listen", f.listen, envListen), defaultPort); err != nil {
		return nil, none, err
	}
	appID := credentials.appID.value
	return s, authMode{name: mode, appID: appID[len(appID)-4:]}, nil
}

// readSettings reads what is no credential.
func (f *runFlags) readSettings(s *sidecar) error {
	area := flagOr("area", f.area, envArea)
	if s.settings.Area = strings.ToLower(area.value); s.settings.Area == "" {
		s.settings.Area = string(region.US)
	}
	if _, err := region.ParseArea(s.settings.Area); err != nil {
		return fmt.Errorf("%s: %w", area.from, err)
	}

	private, err := flagOrBool(f.private, envUpstreamPrivate)
	if err != nil {
		return err
	}
	if private {
		s.settings.UpstreamPrivate = &private
	}
	upstreams := flagOrList("upstream", f.upstreams, envUpstream)
	for _, upstream := range upstreams.values {
		if _, err := region.ParseUpstream(upstream, private); err != nil {
			return fmt.Errorf("%s: %w", upstreams.from, err)
		}
	}
	if len(upstreams.values) > region.MaxEndpoints {
		return fmt.Errorf("%s: at most %d upstreams are possible", upstreams.from, region.MaxEndpoints)
	}
	s.settings.Upstreams = upstreams.values

	hosts := flagOrList("allow-host", f.allowHost, envAllowHost)
	for _, host := range hosts.values {
		if _, port, _ := net.SplitHostPort(host); port != "" || strings.ContainsAny(host, "*/@{}") {
			return fmt.Errorf("%s: %q is no host name or address without a port", hosts.from, host)
		}
	}
	s.settings.AllowHost = hosts.values

	peers := flagOrList("allow-from", f.allowFrom, envAllowFrom)
	for _, peer := range peers.values {
		if !isRange(peer) {
			return fmt.Errorf("%s: %q is no IP address or CIDR range", peers.from, peer)
		}
	}
	s.settings.AllowFrom = peers.values

	ca := flagOr("upstream-ca", f.upstreamCA, envUpstreamCA)
	if s.upstreamCA, err = caFile(ca.value); err != nil {
		return fmt.Errorf("%s: %w", ca.from, err)
	}
	s.accessLog, err = flagOrBool(f.accessLog, envAccessLog)
	return err
}

// flagOrBool returns a switch that is on by its flag or by its variable.
func flagOrBool(flag bool, name string) (bool, error) {
	value := strings.TrimSpace(os.Getenv(name))
	if flag || value == "" {
		return flag, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s must be true or false", name)
	}
	return on, nil
}

func isRange(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "/") { // "fe80::1%eth0/64" parses
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// caFile returns the absolute path of a PEM file with CAs, "" for "".
func caFile(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return "", fmt.Errorf("%s: holds no certificate in PEM", name)
	}
	return configPath(name)
}
