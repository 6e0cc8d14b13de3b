package command

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-convoai/convoai/caddymodule/connect"
)

// envExecToken is the variable, in the environment of this process alone, of the
// caller token that the command has: its proxy password. Nobody else on this host
// can use the sidecar of a command.
const envExecToken = "CONVOAI_EXEC_TOKEN"

// Exit statuses of exec where there is no command, as shells and env(1) have them.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

// execCommand returns `caddy convoai exec`.
func execCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "exec [<flags of run>] -- <command> [<argument>]...",
		Short: "Runs a command whose ConvoAI calls are signed",
		Long: `
Starts a sidecar in this process, and the command with the variables set by which
programs find a proxy and the CAs that they trust:

	$ caddy convoai exec -- curl https://api.agora.io/api/conversational-ai-agent/v2/projects/_/agents

Credentials come from the environment, as for run, and the command's environment
has none of them. All that it calls goes through the sidecar: ConvoAI calls are
signed, and anything else is refused, but for hosts that --tunnel names and those
that are in NO_PROXY. What it calls on this host does not.

Variables that are set: HTTPS_PROXY, https_proxy, http_proxy, NO_PROXY, no_proxy,
SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS,
NODE_USE_ENV_PROXY. Programs that look at none of them (Java, PHP, Node before 24
and 22.21) are not reached: see docs/transparent.md.

The key of the CA is in memory only, and the sidecar serves the command alone.
Standard streams, signals and exit status are the command's; 128 and the number of
the signal that has ended it; 127: it was not found; 126: it cannot be run.`,
		RunE: caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
			status, err := flags.exec(fl.Args())
			if err != nil {
				return status, err
			}
			os.Exit(status) // cobra would end with 0 instead of 1
			return status, nil
		}),
	}
	flags.addTo(cmd.Flags())
	cmd.Flags().SetInterspersed(false) // what follows the command is the command's
	return cmd
}

// exec runs a command to its end and returns its exit status, or why it could not be
// run. Nothing is left of the sidecar then.
func (f *runFlags) exec(args []string) (int, error) {
	if len(args) == 0 {
		return exitUnusable, errors.New("no command: caddy convoai exec [flags] -- COMMAND")
	}
	signals := catchSignals()
	defer signal.Stop(signals)
	environment := withoutSecrets(os.Environ())
	s, err := f.execSidecar()
	if err != nil {
		return exitUnusable, err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return cannotRun(err)
	}
	hideEnvironment()

	status, err := s.startFor(func(variables map[string]string, proxy string) (int, error) {
		cmd := exec.Command(path, args[1:]...)
		cmd.Args[0] = args[0]
		cmd.Env = with(proxied(environment, proxy), variables)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return runCommandTo(cmd, signals)
	})
	return status, err
}

// serviceVariables are those that are about a sidecar which serves others, and may
// well be running: not about that of a command.
var serviceVariables = slices.Concat(envCallerToken, []string{envListen, envHealthListen, envAllowFrom, envAllowHost, envAccessLog})

// execSidecar returns a sidecar for one command: on a port of its own, with a caller
// token of its own, and quiet.
func (f *runFlags) execSidecar() (*sidecar, error) {
	for _, name := range serviceVariables {
		if err := errors.Join(os.Unsetenv(name), os.Unsetenv(name+"_FILE")); err != nil {
			return nil, err
		}
	}
	if len(f.listen) == 0 {
		f.listen = []string{"127.0.0.1:0"}
	}
	f.intercept.on = true
	s, _, err := f.sidecar()
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(envExecToken, rand.Text()); err != nil {
		return nil, err
	}
	s.settings.CallerToken = "{env." + envExecToken + "}"
	s.connect.CA, s.connect.ProxyAuth = "memory", "required"
	if !s.accessLog {
		s.logLevel = zapcore.ErrorLevel.CapitalString()
	}
	return s, nil
}

// startFor starts s, has use run with what a program needs to use it, and removes all
// of it again.
func (s *sidecar) startFor(use func(variables map[string]string, proxy string) (int, error)) (int, error) {
	ca, err := connect.MemoryCA()
	if err != nil {
		return exitFailed, err
	}
	variables, folder, err := trusting(ca.PEM())
	if err != nil {
		return exitFailed, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	// There is no admin API: whoever can load a configuration can have it answer with
	// {env.…}, the secrets of this process, and the command has the same user.
	s.adminSocket = ""
	defer stopAndWait()
	if status, err := s.start(); err != nil {
		return status, err
	}
	proxy, err := s.proxyURL(os.Getenv(envExecToken))
	if err != nil {
		return exitUnusable, err
	}
	return use(variables, proxy)
}

// stopAndWait stops the sidecar. Calls that go on without their caller, because they
// may have started an agent, are waited for.
func stopAndWait() {
	_ = caddy.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), gracePeriod)
	defer cancel()
	connect.Wait(ctx)
}

// proxyURL returns the URL by which programs of this host use s as their proxy.
func (s *sidecar) proxyURL(callerToken string) (string, error) {
	for _, text := range s.urls() {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" {
			continue
		}
		if address, err := netip.ParseAddrPort(u.Host); err == nil && address.Addr().IsUnspecified() {
			u.Host = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), address.Port()).String()
		}
		u.User = url.UserPassword("convoai", callerToken)
		return u.String(), nil
	}
	return "", errors.New("--listen: a command needs a TCP port, such as 127.0.0.1:0")
}

// runCommandTo runs cmd to its end, and passes signals on that are meant for it.
func runCommandTo(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	for waiting := true; waiting; {
		select {
		case s := <-signals:
			if endsStart(s) {
				return signalStatus(s), nil
			}
		default:
			waiting = false
		}
	}
	if err := cmd.Start(); err != nil {
		return cannotRun(err)
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if !fromTerminal(s) {
					_ = cmd.Process.Signal(s)
				}
			case <-ended:
				return
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return exitFailed, err
	}
	return commandStatus(cmd), nil
}

// cannotRun returns the exit status for a command that cannot be run.
func cannotRun(err error) (int, error) {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitNotFound, err
	}
	return exitCannotRun, err
}
