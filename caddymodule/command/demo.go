package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
	"github.com/caddy-convoai/convoai/simulator"
)

// demoFlags are the flags of demo.
type demoFlags struct {
	listen          []string
	simulatorListen string
}

// The sidecar of the demo reads its credential as any sidecar does, from the
// environment: that of this process, where it is set at the start. No other
// variable has these names.
const (
	envDemoAppID          = "CONVOAI_DEMO_APP_ID"
	envDemoAppCertificate = "CONVOAI_DEMO_APP_CERTIFICATE"
)

const defaultSimulatorListen = "127.0.0.1:8081"

// demoQuota lets the printed command be run many times.
const demoQuota = 1000

// demoCommand returns `caddy convoai demo`.
func demoCommand() *cobra.Command {
	var flags demoFlags
	cmd := &cobra.Command{
		Use:   "demo [--listen <address>]... [--simulator-listen <address>]",
		Short: "Runs a sidecar and a simulated ConvoAI API, for which no account is needed",
		Long: `
Starts a simulated ConvoAI API and a sidecar in front of it, with a made-up app,
and prints commands to try: a call through the sidecar, and the same one without
it. A line is written for each call that arrives at the simulator.

Credentials in the environment are not used, and nothing leaves this host.
CONVOAI_LISTEN and CONVOAI_SIMULATOR_LISTEN stand for the flags.`,
		Args: noArguments,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(os.Stdout)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.listen, "listen", "l", nil, "Where the sidecar listens: host:port, or unix//path; repeatable (default 127.0.0.1:8080, and [::1]:8080 where there is IPv6)")
	f.StringVar(&flags.simulatorListen, "simulator-listen", "", "Where the simulator listens, a loopback address (default "+defaultSimulatorListen+")")
	return cmd
}

// run starts the demo. It returns only if that fails, or if the simulator does;
// a signal ends the process with status 0.
func (f *demoFlags) run(stdout io.Writer) (int, error) {
	listen, err := listenAddresses(flagOrList("listen", f.listen, envListen), defaultPort)
	if err != nil {
		return exitUnusable, err
	}
	simulatorListen := flagOr("simulator-listen", f.simulatorListen, envSimulatorListen)
	if !simulatorListen.isSet() {
		simulatorListen.value = defaultSimulatorListen
	}
	if a, err := parseListen(simulatorListen.value); err != nil || a.IsUnixNetwork() || !onlyLoopback(simulatorListen.value) {
		return exitUnusable, fmt.Errorf("%s must be a port of the loopback interface, such as %s", simulatorListen.from, defaultSimulatorListen)
	}
	if slices.Contains(listen, simulatorListen.value) && !strings.HasSuffix(simulatorListen.value, ":0") {
		return exitUnusable, errors.New("the sidecar and the simulator need an address each: see --listen and --simulator-listen")
	}
	if err := checkFree(listen, "--listen"); err != nil {
		return exitFailed, err
	}
	if err := checkFree([]string{simulatorListen.value}, "--simulator-listen"); err != nil {
		return exitFailed, err
	}

	caddy.TrapSignals()
	project := simulator.RandomProject()
	vendor, err := simulator.New(simulator.Options{
		Projects:  []simulator.Project{project},
		Quota:     demoQuota,
		KeepCalls: -1,
		OnCall:    demoLine(stdout),
		// The sidecar fills them in.
		RequireBodyToken: true,
		VerifyBodyToken:  true,
	})
	if err != nil {
		return exitFailed, err
	}
	server, err := vendor.Listen(simulatorListen.value, nil)
	if err != nil {
		return exitFailed, err
	}
	caddy.OnExit(func(ctx context.Context) { _ = server.Close() })

	s, err := demoSidecar(listen, server.URL(), project)
	if err != nil {
		return exitFailed, err
	}
	if status, err := s.start(); err != nil {
		_ = server.Close()
		return status, err
	}
	if _, err := io.WriteString(stdout, demoText(s.urls(), server.URL(), project.AppID)); err != nil {
		return exitFailed, err
	}
	<-server.Done()
	if err := server.Err(); err != nil {
		return exitFailed, err
	}
	select {} // the process is ending
}

// demoSidecar returns the sidecar of the demo, with its credential in the
// environment of this process.
func demoSidecar(listen []string, upstream string, project simulator.Project) (*sidecar, error) {
	var credentials appCredentials
	for _, variable := range []struct {
		name    string
		value   string
		setting *setting
	}{
		{envDemoAppID, project.AppID, &credentials.appID},
		{envDemoAppCertificate, project.AppCertificate, &credentials.appCertificate},
	} {
		if err := os.Setenv(variable.name, variable.value); err != nil {
			return nil, err
		}
		*variable.setting = setting{value: variable.value, from: variable.name, placeholder: "{env." + variable.name + "}"}
	}
	s := &sidecar{server: server{
		listen: listen,
		// What is normal here, such as an upstream without TLS, would hide what
		// is to be seen.
		logLevel: zapcore.ErrorLevel.CapitalString(),
	}}
	s.settings.Credentials = credentials.forConfig()
	s.settings.Area = string(region.US)
	s.settings.Upstreams = []string{upstream}
	return s, nil
}

// demoLine returns a function that says what arrived at the simulator.
func demoLine(w io.Writer) func(simulator.Call) {
	var mu sync.Mutex
	return func(c simulator.Call) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "simulator: %s\n", c)
	}
}

// demoText returns what the demo prints: commands that can be run as they stand.
func demoText(sidecar []string, vendor, appID string) string {
	path := api.PrefixGlobal + "/v2/projects/" + appID + "/join"
	// The name has to be another one each time; the shell sees to that.
	body := ` -H 'Content-Type: application/json'` +
		` -d '{"name":"demo-'"$(date +%s)-$$"'","properties":{"channel":"room-1","agent_rtc_uid":"1001","remote_rtc_uids":["1002"]}}'`
	through := "curl -sS '" + sidecar[0] + path + "'" + body
	if socket, ok := strings.CutPrefix(sidecar[0], "unix/"); ok {
		through = "curl -sS --unix-socket '" + socket + "' 'http://localhost" + path + "'" + body
	}
	return "A sidecar listens on " + strings.Join(sidecar, " and ") + ", with a simulated ConvoAI API behind it on " + vendor + ".\n" +
		"\nA call through the sidecar, which signs it, starts an agent:\n\n  " + through +
		"\n\nThe same call straight to the simulated API is answered with 401, for it has no credential:\n\n  curl -sS '" + vendor + path + "'" + body +
		"\n\nThe app is made up for this run and no secret. Ctrl-C ends both.\n\n"
}
