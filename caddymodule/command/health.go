package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/caddymodule"
)

// healthFlags are the flags of health.
type healthFlags struct {
	address string
	live    bool
}

// healthCommand returns `caddy convoai health`.
func healthCommand() *cobra.Command {
	var flags healthFlags
	cmd := &cobra.Command{
		Use:   "health [--live] [--address unix//<path>|<host:port>]",
		Short: "Says whether a sidecar is ready, for containers to ask",
		Long: `
Prints one line, "ready" or why it is not, and ends with status 0 if the sidecar
is ready and with 1 otherwise, also if there is none. With --live it is enough
that it answers.

The sidecar is the one that this user has started with caddy convoai run;
--address names another one, by its admin API or by where it answers /readyz:

	HEALTHCHECK CMD ["caddy", "convoai", "health"]`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVar(&flags.address, "address", "", "The admin API or the health listener of the sidecar: unix//path or host:port (default the one that runs here)")
	f.BoolVar(&flags.live, "live", false, "Ask whether the sidecar answers, and not whether it is ready")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := flags.run(cmd.Context(), socketDirs(), cmd.OutOrStdout())
		if err != nil {
			return failWith(cmd, status, err)
		}
		return endWith(cmd, status)
	}
	return cmd
}

// endWith ends a command that has said already what there is to say, with exitDone
// or exitFailed.
func endWith(cmd *cobra.Command, status int) error {
	if status == exitDone {
		return nil
	}
	// Caddy ends with 1 for any error.
	cmd.SilenceErrors = true
	return errors.New("failed")
}

// run prints the line. An error is one of the arguments.
func (f *healthFlags) run(ctx context.Context, dirs []socketDir, stdout io.Writer) (int, error) {
	line, good, err := f.ask(contextOr(ctx), dirs)
	if err != nil {
		return exitUnusable, err
	}
	fmt.Fprintln(stdout, line)
	if good {
		return exitDone, nil
	}
	return exitFailed, nil
}

// ask returns the line to print, and whether all is well.
func (f *healthFlags) ask(ctx context.Context, dirs []socketDir) (line string, good bool, err error) {
	var list strings.Builder
	address, err := theSidecar(f.address, dirs, &list)
	if err != nil {
		others := strings.Join(strings.Split(strings.TrimSpace(list.String()), "\n"), ", ")
		if others != "" {
			others = " (" + others + ")"
		}
		return caddymodule.StatusUnready + ": " + err.Error() + others, false, nil
	}
	a, err := newAsker(address)
	if err != nil {
		return "", false, err
	}
	defer a.client.CloseIdleConnections()
	if f.live {
		if err := a.lives(ctx); err != nil {
			return "not live: " + clean(err.Error()), false, nil
		}
		return "live", true, nil
	}
	r, err := a.readiness(ctx)
	switch {
	case err != nil:
		return caddymodule.StatusUnready + ": " + clean(err.Error()), false, nil
	case r.Ready():
		return caddymodule.StatusReady, true, nil
	}
	return caddymodule.StatusUnready + ": " + strings.Join(reasonTexts(r.Reasons), "; "), false, nil
}

// contextOr returns ctx, or the background where cobra was given none.
func contextOr(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// reasonTexts says in words why a sidecar is not ready.
func reasonTexts(reasons []caddymodule.Reason) []string {
	var texts []string
	for _, r := range reasons {
		texts = append(texts, reasonText(r))
	}
	return texts
}

// maxReasonHosts is how many hosts a reason names in words.
const maxReasonHosts = 3

func reasonText(r caddymodule.Reason) string {
	var text string
	switch r.Reason {
	case caddymodule.ReasonStarting:
		text = "it is not known yet whether a host can be reached"
	case caddymodule.ReasonStopping:
		text = "it is stopping"
	case caddymodule.ReasonNothingConfigured:
		text = "neither a convoai handler nor a token server is configured"
	case caddymodule.ReasonNoCredential:
		text = "no credential can be made"
	case caddymodule.ReasonNoHost:
		text = "no host can be reached"
	default:
		text = clean(r.Reason)
	}
	if r.Site > 0 {
		text = fmt.Sprintf("site %d: %s", r.Site, text)
	}
	if len(r.AppIDsEndIn) > 0 {
		text += " for the app ID ending in " + clean(strings.Join(r.AppIDsEndIn, ", "))
	}
	if len(r.Hosts) > 0 {
		hosts := r.Hosts[:min(maxReasonHosts, len(r.Hosts))]
		text += " (" + clean(strings.Join(hosts, ", "))
		if further := len(r.Hosts) - len(hosts); further > 0 {
			text += fmt.Sprintf(" and %d more", further)
		}
		text += ")"
	}
	if r.Detail != "" {
		text += ": " + clean(r.Detail)
	}
	return text
}
