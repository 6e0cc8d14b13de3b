package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// statusFlags are the flags of status.
type statusFlags struct {
	address string
	watch   bool
	json    bool
}

// statusCommand returns `caddy convoai status`.
func statusCommand() *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use:   "status [--watch] [--json] [--address unix//<path>|<host:port>]",
		Short: "Shows what a sidecar is doing",
		Long: `
Shows whether the sidecar is ready and why not, its apps and what their
credentials are made of, its hosts and how long connections to them take, this
host's clock, and what was counted. There is no secret in it, and nothing of a
caller's.

The sidecar is the one that this user has started with caddy convoai run. Where
there are several, they are listed. --address names any other by its admin API.

--watch shows it anew every two seconds, until Ctrl-C. NO_COLOR=1 switches
colours off.`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVar(&flags.address, "address", "", "The admin API of the sidecar: unix//path or host:port (default the one that runs here)")
	f.BoolVarP(&flags.watch, "watch", "w", false, "Show it anew every two seconds")
	f.BoolVar(&flags.json, "json", false, "Print the JSON that the admin API answers GET /convoai/status with; with --watch, a line each time")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := flags.run(contextOr(cmd.Context()), cmd.OutOrStdout(), cmd.ErrOrStderr())
		if err != nil {
			return failWith(cmd, status, err)
		}
		return endWith(cmd, status)
	}
	return cmd
}

// statusShow asks for the status and makes of it what is shown. Sidecars among
// which there is no choosing are listed.
type statusShow func(ctx context.Context, list io.Writer) (string, error)

// run shows the status. What has gone wrong with the sidecar is said on stderr; an
// error is one of the arguments.
func (f *statusFlags) run(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	if f.address != "" {
		if _, err := newAsker(f.address); err != nil {
			return exitUnusable, err
		}
	}
	show := f.show(stdout)
	if !f.watch {
		text, err := show(ctx, stderr)
		if err != nil {
			fmt.Fprintln(stderr, clean(err.Error()))
			return exitFailed, nil
		}
		_, err = io.WriteString(stdout, text)
		return statusOf(err), nil
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if screen := screenOf(stdout); screen != nil && !f.json {
		return statusOf(screen.watch(ctx, show)), nil
	}
	return statusOf(printEach(ctx, show, stdout, stderr)), nil
}

// statusOf is the exit status of a command that could or could not write.
func statusOf(err error) int {
	if err != nil {
		return exitFailed
	}
	return exitDone
}

// show returns what makes the text for stdout. The sidecar is looked for each time,
// and the size of the terminal: either may be another by now.
func (f *statusFlags) show(stdout io.Writer) statusShow {
	return func(ctx context.Context, list io.Writer) (string, error) {
		address, err := theSidecar(f.address, socketDirs(), list)
		if err != nil {
			return "", err
		}
		a, err := newAsker(address)
		if err != nil {
			return "", err
		}
		defer a.client.CloseIdleConnections()
		s, text, err := a.status(ctx)
		switch {
		case err != nil:
			return "", err
		case f.json:
			return f.plain(text)
		}
		return statusText(&s, styleOf(stdout)), nil
	}
}

// plain returns JSON without anything in it that a terminal would obey.
func (f *statusFlags) plain(text []byte) (string, error) {
	var b bytes.Buffer
	var err error
	if f.watch {
		err = json.Compact(&b, text)
	} else {
		err = json.Indent(&b, bytes.TrimSpace(text), "", "  ")
	}
	if err != nil {
		return "", errNoAdminAPI
	}
	b.WriteByte('\n')
	return escapeControls(b.String()), nil
}

// watchInterval is how often a watched status is shown anew.
const watchInterval = 2 * time.Second

// printEach shows the status again and again, one after another, where there is no
// terminal to show it in the same place. It ends with ctx.
func printEach(ctx context.Context, show statusShow, stdout, stderr io.Writer) error {
	for first := true; ; first = false {
		text, err := show(ctx, stderr)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintln(stderr, clean(err.Error()))
		default:
			if !first && strings.Count(text, "\n") > 1 {
				text = "\n" + text
			}
			if _, err := io.WriteString(stdout, text); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// textStyle is how a text is to look.
type textStyle struct {
	width   int
	colours bool
}

// defaultWidth is how wide a text is at most where the terminal does not say.
const defaultWidth = 80

// styleOf returns the style of what is written to w.
func styleOf(w io.Writer) textStyle {
	style := textStyle{width: defaultWidth, colours: coloured(w)}
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			style.width = min(max(width, 40), 120)
		}
	}
	return style
}
