package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/region"
)

// doctorFlags are the flags of doctor beside those of run.
type doctorFlags struct {
	runFlags
	live bool
	json bool
}

// doctorCommand returns `caddy convoai doctor`.
func doctorCommand() *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [--live] [--json] [<flag of run>]...",
		Short: "Says whether a sidecar would work, and if not, why and what to do",
		Long: `
Checks what a sidecar with the same flags and environment needs, before one runs
or beside one that does: credentials, settings, names, connections and latency of
each upstream, this host's clock, proxy variables and ports. Each line is ok,
warning or failed, with what to do about it; the last one says whom to turn to.

Without --live nothing is sent to the vendor but a TLS handshake for each host,
and to one of them a request without a credential, for its clock. A credential
that has the right form and is the wrong one shows with --live only, which has
the vendor list the app's agents, once for each credential.

The exit status is 1 if a line has failed. No line shows a secret.`,
		Args: noArguments,
	}
	flags.addTo(cmd.Flags())
	cmd.Flags().BoolVar(&flags.live, "live", false, "Have the vendor check the credentials, by a call that lists the app's agents")
	cmd.Flags().BoolVar(&flags.json, "json", false, "Print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := flags.run(contextOr(cmd.Context()), cmd.OutOrStdout())
		if err != nil {
			return failWith(cmd, status, err)
		}
		return endWith(cmd, status)
	}
	return cmd
}

// run prints the report and returns the exit status.
func (f *doctorFlags) run(ctx context.Context, stdout io.Writer) (int, error) {
	d := newDiagnosis(f, stdout)
	return d.run(ctx)
}

// diagnosis is one run of doctor.
type diagnosis struct {
	findings
	flags *doctorFlags
	now   func() time.Time

	// resolvers are asked in the place of the system's. For tests.
	resolvers []string

	// What the environment has that can be used.
	credentials appCredentials
	callerToken setting
	mode        string          // "" where it is not known
	broken      map[string]bool // variables, by their first name, whose value cannot be used
	noAppID     bool

	sidecar   *sidecar          // what run would start, as far as its settings can be read
	endpoints []region.Endpoint // nil where they are not known
	trials    []trial           // of endpoints

	client  *caddymodule.Client
	clock   *clockReading // nil where the upstreams' clock is not known
	running []*running
}

func newDiagnosis(f *doctorFlags, stdout io.Writer) *diagnosis {
	return &diagnosis{
		findings: findings{out: stdout, json: f.json, colours: coloured(stdout)},
		flags:    f,
		now:      time.Now,
		broken:   make(map[string]bool),
		sidecar:  new(sidecar),
	}
}

// networkTime bounds what is done on the network without --live, and liveTime each
// call of --live.
const (
	networkTime = 10 * time.Second
	liveTime    = 10 * time.Second
)

func (d *diagnosis) run(ctx context.Context) (int, error) {
	d.checkCredentials()
	d.checkSettings()
	if err := d.connect(); err != nil {
		return exitFailed, err
	}
	defer d.client.Close()

	bounded, cancel := context.WithTimeout(ctx, networkTime)
	d.checkNetwork(bounded)
	d.checkClock(bounded)
	cancel()
	if d.flags.live {
		d.checkLive(ctx)
	}
	d.checkHost(ctx)
	d.checkRunning()

	hint := ""
	if !d.flags.live && d.count(verdictFailed) == 0 {
		hint = "Whether the vendor accepts the credentials is not known: --live asks it."
	}
	return d.end(hint)
}

const sectionSettings = "Settings"

// checkSettings reads what is no credential, and has Caddy check the
// configuration that run would start.
func (d *diagnosis) checkSettings() {
	d.in(sectionSettings)
	for _, read := range d.flags.readers() {
		if err := read(d.sidecar); err != nil {
			d.fail(faultConfiguration, err.Error(), "correct the flag or variable; caddy convoai run --help explains it")
		}
	}
	s := &d.sidecar.settings
	if err := errors.Join(d.flags.readArea(d.sidecar), d.flags.readUpstreams(d.sidecar), d.flags.readUpstreamCA(d.sidecar)); err == nil {
		d.endpoints = d.candidates()
	}
	if d.failedIn(sectionSettings) {
		return
	}
	target := "the hosts of area " + s.Area
	if len(s.Upstreams) > 0 {
		target = strings.Join(s.Upstreams, " ") + ", with the paths of area " + s.Area
	}
	if d.failedIn(sectionCredentials) {
		d.ok("calls go to %s", target)
		return
	}
	if err := d.provision(); err != nil {
		d.fail(faultConfiguration, "the sidecar would not start: "+err.Error(), "correct what it names; caddy convoai run says the same")
		return
	}
	d.ok("the sidecar would start; calls go to %s", target)
}

// candidates are where calls can go, in order.
func (d *diagnosis) candidates() []region.Endpoint {
	s := &d.sidecar.settings
	if len(s.Upstreams) == 0 {
		return region.Area(s.Area).Endpoints()
	}
	var list []region.Endpoint
	for _, upstream := range s.Upstreams {
		// They have been read before.
		if e, err := region.ParseUpstream(upstream, s.UpstreamPrivate != nil && *s.UpstreamPrivate); err == nil {
			list = append(list, e)
		}
	}
	return list
}

// silent is the logging of configurations that are only looked at.
func silent() *caddy.Logging {
	return &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "FATAL"}},
	}}
}

// provision has Caddy set up what run would start, but for its listeners. Whatever
// stops run is found here, even if no check knows of it.
func (d *diagnosis) provision() error {
	s, _, err := d.flags.sidecar()
	if err != nil {
		return err
	}
	if s.connect != nil {
		s.connect.CA = "memory" // the one that run keeps is not for this to make
	}
	config := s.config()
	config.Logging = silent()
	if _, err := caddy.ProvisionContext(config); err != nil {
		if _, problem, ok := strings.Cut(err.Error(), "provision http.handlers.convoai: "); ok {
			return errors.New(problem)
		}
		return err
	}
	return nil
}

// connect makes the client for the upstreams.
func (d *diagnosis) connect() error {
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}, Logging: silent()})
	if err != nil {
		return fmt.Errorf("setting up the client: %w", err)
	}
	transport := d.sidecar.transport()
	if len(d.resolvers) > 0 {
		transport.Resolver = &reverseproxy.UpstreamResolver{Addresses: d.resolvers}
	}
	if d.client, err = caddymodule.NewClient(ctx, transport); err != nil {
		return fmt.Errorf("setting up the client: %w", err)
	}
	return nil
}
