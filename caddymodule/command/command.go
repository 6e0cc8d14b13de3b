// Package command is the command line of this module: `caddy convoai …`. Each
// command is in the file of its name.
//
// Exit status: 0 done; 1 it could not be done, or what was looked at is not good;
// 2 the arguments or the environment cannot be used.
package command

import (
	"errors"
	"regexp"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// Exit statuses. Caddy itself ends with 0 after a signal.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUnusable = 2
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "convoai",
		Usage: "<command>",
		Short: "A sidecar that signs Agora Conversational AI calls, and tools for it",
		Long: `
Sends an application's calls to the Agora (in mainland China: Shengwang)
Conversational AI REST API: signed, to the right host, and never twice.

	$ export AGORA_APP_ID=... AGORA_APP_CERTIFICATE=...
	$ caddy convoai run

starts it without a configuration file. Without an account:

	$ caddy convoai demo`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(
				runCommand(),
				execCommand(),
				trustCommand(),
				demoCommand(),
				statusCommand(),
				healthCommand(),
				simulateCommand(),
				tokenServerCommand(),
				headerCommand(),
				tokenCommand(),
				inspectCommand(),
				doctorCommand(),
			)
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return failWith(cmd, exitUnusable, unknownCommand(args[0]))
				}
				return cmd.Help()
			}
			cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
				return failWith(cmd, exitUnusable, err)
			})
			checkArguments(cmd)
		},
	})
}

// failWith ends a command with an exit status and an error, in Caddy's manner.
func failWith(cmd *cobra.Command, status int, err error) error {
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return status, err })(cmd, nil)
}

// checkArguments has the commands below cmd end with exitUnusable where their
// arguments are wrong; cobra itself ends with 1.
func checkArguments(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		checkArguments(sub)
		check := sub.Args
		if check == nil {
			continue
		}
		sub.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return failWith(cmd, exitUnusable, err)
			}
			return nil
		}
	}
}

// noArguments is [cobra.NoArgs] without repeating the argument, which may be a
// secret that lost its flag.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New(cmd.CommandPath() + " takes flags only, no other arguments")
	}
	return nil
}

var commandName = regexp.MustCompile(`^[a-z][a-z-]{0,30}$`)

// unknownCommand repeats name only if it looks like one.
func unknownCommand(name string) error {
	const help = "see caddy convoai --help"
	if !commandName.MatchString(name) {
		return errors.New("unknown command; " + help)
	}
	return errors.New("unknown command " + name + "; " + help)
}
