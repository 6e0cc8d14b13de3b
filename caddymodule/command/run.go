package command

import (
	"errors"
	"fmt"
	"io"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

	healthListen []string
	intercept    interceptFlags
}

// runCommand returns `caddy convoai run`.
func runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run [--listen <address>]... [--area us|eu|ap|cn] [--app-id <id>] [--upstream <url>]... [--upstream-ca <file>] [--upstream-private] [--allow-host <host>]... [--allow-from <cidr>]... [--access-log] [--health-listen <address>] [--intercept [--tunnel <host>]... [--tunnel-private] [--other-paths refuse|forward]]",
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
CONVOAI_ACCESS_LOG, CONVOAI_HEALTH_LISTEN, CONVOAI_INTERCEPT, CONVOAI_TUNNEL,
CONVOAI_TUNNEL_PRIVATE, CONVOAI_OTHER_PATHS. Lists are separated by commas or white
space. A flag counts before its variable.

With --intercept, programs that have HTTPS_PROXY=http://127.0.0.1:8080 and trust
the CA of this sidecar call https://api.agora.io/... as ever. A caller token is the
password of the proxy then: http://user:TOKEN@127.0.0.1:8080.

The admin API is on a Unix socket that only this user can open. Nothing is
written to disk but that and, with --intercept, the CA, in Caddy's storage.`,
		Args: noArguments,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(os.Stderr)
		}),
	}
	flags.addTo(cmd.Flags())
	return cmd
}

// addTo defines the flags.
func (f *runFlags) addTo(set *pflag.FlagSet) {
	set.StringArrayVarP(&f.listen, "listen", "l", nil, "Where to listen: host:port, or unix//path; repeatable (default 127.0.0.1:8080, and [::1]:8080 where there is IPv6)")
	set.StringVar(&f.area, "area", "", "us, eu, ap or cn: whose hosts the calls go to (default us)")
	set.StringVar(&f.appID, "app-id", "", "The app ID, instead of the one in AGORA_APP_ID")
	set.StringArrayVar(&f.upstreams, "upstream", nil, "https://host[:port] to send to, instead of the area's hosts; repeatable")
	set.StringVar(&f.upstreamCA, "upstream-ca", "", "PEM file with the CAs to trust for upstreams, instead of the system's")
	set.BoolVar(&f.private, "upstream-private", false, "Allow upstream names that resolve to loopback, private or link-local addresses")
	set.StringArrayVar(&f.allowHost, "allow-host", nil, "A Host that callers may use; repeatable (default localhost, loopback addresses and the vendor's hosts)")
	set.StringArrayVar(&f.allowFrom, "allow-from", nil, "An address or CIDR range that may call; repeatable (default loopback)")
	set.BoolVar(&f.accessLog, "access-log", false, "Log each call")
	set.StringArrayVar(&f.healthListen, "health-listen", nil, "Where to answer /livez and /readyz, and nothing else: host:port, or unix//path; repeatable (default nowhere)")
	f.intercept.addTo(set)
}

// run starts the sidecar. It returns only if that fails; a signal ends the
// process with status 0.
func (f *runFlags) run(stderr io.Writer) (int, error) {
	s, mode, err := f.sidecar()
	if err != nil {
		return exitUnusable, err
	}
	return s.serve(s.start, func() { s.announce(stderr, mode) })
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
	for _, read := range f.readers() {
		if err := read(s); err != nil {
			return nil, none, err
		}
	}
	appID := credentials.appID.value
	return s, authMode{name: mode, appID: appID[len(appID)-4:]}, nil
}
