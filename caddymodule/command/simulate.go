package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
)

// simulateGrace is how long calls may take to end when the simulator stops.
const simulateGrace = 5 * time.Second

// simulateFlags are the flags of simulate.
type simulateFlags struct {
	listen   string
	appID    string
	tls      bool
	tlsHosts []string
	caFile   string
	faults   []string
	quiet    bool
	options  simulator.Options
}

// simulateCommand returns `caddy convoai simulate`.
func simulateCommand() *cobra.Command {
	var flags simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate [--listen <address>] [--tls] [--skew <duration>] [--require-rtm] [--quota <n>] [--fault <spec>]...",
		Short: "Runs a simulated ConvoAI API",
		Long: `
Serves the ConvoAI REST API out of memory: every operation, with the vendor's
checks, answers and errors. It verifies the credentials of calls as the vendor
does, against the app in the environment (AGORA_APP_ID with
AGORA_APP_CERTIFICATE, AGORA_APP_CERTIFICATE_SECONDARY, AGORA_CUSTOMER_ID and
AGORA_CUSTOMER_SECRET, or their _FILE twins). If none is there, it makes up an app and prints it.
CONVOAI_SIMULATOR_LISTEN stands for --listen.

A line is written to standard error for each call, without headers and bodies.

--fault makes it misbehave, in the form [OPERATION:]ITEM[,ITEM]... with the
items status=CODE, delay=DURATION, times=N, host=HOST, retry-after=SECONDS,
reset-before-body, reset-after-body, reset-after-call, stall and stall-body:

	caddy convoai simulate --fault join:status=503,times=3 --fault list:delay=2s

No agent joins a channel and nothing is said: see the documentation of package
simulator for what is simulated and where it guesses.`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVarP(&flags.listen, "listen", "l", "", "The address to listen on (default "+defaultSimulatorListen+")")
	f.StringVar(&flags.appID, "app-id", "", "The app ID, instead of the one in AGORA_APP_ID")
	f.BoolVar(&flags.tls, "tls", false, "Serve HTTPS, with a certificate made for this run")
	f.StringSliceVar(&flags.tlsHosts, "tls-host", nil, "A name or address for the certificate; repeatable (default localhost, 127.0.0.1, ::1 and the address listened on)")
	f.StringVar(&flags.caFile, "ca-file", "", "Write the CA of the certificate to this file, in PEM; implies --tls")
	f.DurationVar(&flags.options.Skew, "skew", 0, "How far the simulator's clock is ahead (negative: behind)")
	f.DurationVar(&flags.options.FutureTolerance, "future-tolerance", 0, "How far in the future a token may have been issued (default 1m; negative: not at all)")
	f.BoolVar(&flags.options.RequireRTM, "require-rtm", false, "Refuse tokens without an RTM service")
	f.BoolVar(&flags.options.RequireBodyToken, "require-body-token", false, "Refuse a join without properties.token, and a call without that and sip.rtc_token")
	f.BoolVar(&flags.options.VerifyBodyToken, "verify-body-token", false, "Verify the tokens in the bodies of join, call and update")
	f.IntVar(&flags.options.Quota, "quota", simulator.DefaultQuota, "How many agents may run at a time; negative: no limit")
	f.StringArrayVar(&flags.faults, "fault", nil, "How to misbehave; repeatable")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "Do not write a line for each call")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		})(cmd, args)
	}
	return cmd
}

// run serves until a signal arrives or ctx ends. It returns the exit status.
func (f *simulateFlags) run(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	// From here on, so that a signal during the start ends it properly too.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()

	if f.listen = flagOr("listen", f.listen, envSimulatorListen).value; f.listen == "" {
		f.listen = defaultSimulatorListen
	}
	project, madeUp, err := f.project()
	if err != nil {
		return exitUnusable, err
	}
	f.options.Projects = []simulator.Project{project}
	if f.options.Quota == 0 {
		return exitUnusable, errors.New("--quota must not be 0: no agent could start")
	}
	for _, spec := range f.faults {
		fault, err := simulator.ParseFault(spec)
		if err != nil {
			return exitUnusable, fmt.Errorf("--fault: %w", err)
		}
		f.options.Faults = append(f.options.Faults, fault)
	}
	// Calls are only shown, not looked back at.
	f.options.KeepCalls = -1
	f.options.ErrorLog = log.New(stderr, "", log.LstdFlags)
	if !f.quiet {
		f.options.OnCall = callLine(stderr)
	}
	s, err := simulator.New(f.options)
	if err != nil {
		return exitUnusable, err
	}

	certificate, err := f.certificate()
	if err != nil {
		return exitFailed, err
	}
	server, err := s.Listen(f.listen, certificate)
	if err != nil {
		return exitFailed, err
	}
	if err := f.announce(stdout, stderr, server, project, madeUp); err != nil {
		_ = server.Close()
		return exitFailed, err
	}
	select {
	case <-ctx.Done():
	case <-server.Done():
		return exitFailed, server.Err()
	}
	// A second signal ends the process at once.
	stop()
	grace, cancel := context.WithTimeout(context.Background(), simulateGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		fmt.Fprintf(stderr, "simulator stopped; calls that took longer than %s were broken off\n", simulateGrace)
		return exitDone, nil
	}
	fmt.Fprintln(stderr, "simulator stopped")
	return exitDone, nil
}

// project is the app of the environment, or one that is made up.
func (f *simulateFlags) project() (project simulator.Project, madeUp bool, err error) {
	appID, err := flagOrEnvAppID(f.appID)
	if err != nil {
		return project, false, err
	}
	credentials, err := envAppCredentials()
	if err != nil {
		return project, false, err
	}
	hasCredential := credentials.appCertificate.isSet() || credentials.customerID.isSet() || credentials.customerSecret.isSet()
	switch {
	case hasCredential && appID == "":
		return project, false, errors.New("a credential is in the environment, but no app ID: set AGORA_APP_ID or --app-id")
	case hasCredential:
		return simulator.Project{
			AppID: appID, AppCertificate: credentials.appCertificate.value,
			AppCertificateSecondary: credentials.appCertificateSecondary.value,
			CustomerID:              credentials.customerID.value, CustomerSecret: credentials.customerSecret.value,
		}, false, nil
	case credentials.authToken.isSet():
		return project, false, errors.New("a pre-built token cannot be verified without the app certificate: set AGORA_APP_CERTIFICATE, or unset AGORA_AUTH_TOKEN")
	}
	project = simulator.RandomProject()
	if appID != "" {
		project.AppID = appID
	}
	return project, true, nil
}

// certificate makes the TLS certificate and writes the CA, if they are wanted.
func (f *simulateFlags) certificate() (*tls.Certificate, error) {
	f.tls = f.tls || f.caFile != "" || len(f.tlsHosts) > 0
	if !f.tls {
		return nil, nil
	}
	hosts := f.tlsHosts
	if len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "::1"}
		if host, _, err := net.SplitHostPort(f.listen); err == nil && host != "" {
			hosts = append(hosts, host)
		}
	}
	certificate, ca, err := simulator.Certificate(hosts...)
	if err != nil {
		return nil, err
	}
	if f.caFile != "" {
		if err := os.WriteFile(f.caFile, ca, 0o644); err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
	}
	return &certificate, nil
}

// announce says what is served, and how to use it. What can be fed to a shell
// goes to standard output.
func (f *simulateFlags) announce(stdout, stderr io.Writer, server *simulator.Server, project simulator.Project, madeUp bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "simulated ConvoAI API: %s%s\n", server.URL(), api.PrefixGlobal)
	if f.tls && f.caFile == "" {
		b.WriteString("its CA is only in memory: give --ca-file to have it in a file\n")
	}
	if madeUp {
		b.WriteString("no credential in the environment: the following app was made up for this run (not secret: good for this simulator only)\n")
	}
	if _, err := io.WriteString(stderr, b.String()); err != nil {
		return err
	}
	if madeUp {
		_, err := fmt.Fprintf(stdout, "export AGORA_APP_ID=%s\nexport AGORA_APP_CERTIFICATE=%s\n# instead of the certificate, Basic:\n# export AGORA_CUSTOMER_ID=%s AGORA_CUSTOMER_SECRET=%s\n",
			project.AppID, project.AppCertificate, project.CustomerID, project.CustomerSecret)
		if err != nil {
			return err
		}
	}
	upstream := "caddy convoai run --upstream " + server.URL()
	if f.caFile != "" {
		upstream += " --upstream-ca " + f.caFile
	}
	_, err := fmt.Fprintf(stderr, "a sidecar in front of it, with the app in its environment: %s\n", upstream)
	return err
}

// callLine returns a function that writes a line for each call.
func callLine(w io.Writer) func(simulator.Call) {
	var mu sync.Mutex
	return func(c simulator.Call) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%s %s\n", c.Time.UTC().Format(time.RFC3339), c)
	}
}
