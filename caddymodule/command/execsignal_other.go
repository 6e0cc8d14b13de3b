//go:build !unix

package command

import (
	"os"
	"os/exec"
	"os/signal"
)

// catchSignals has interrupts not end this process: the console has sent them to the
// command as well.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt)
	return signals
}

func endsStart(os.Signal) bool { return true }

func fromTerminal(os.Signal) bool { return true }

func signalStatus(os.Signal) int { return exitFailed }

func commandStatus(cmd *exec.Cmd) int { return cmd.ProcessState.ExitCode() }
