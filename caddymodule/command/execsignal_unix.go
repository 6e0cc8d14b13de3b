//go:build unix

package command

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// passedSignals are those that are meant for the command.
var passedSignals = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// catchSignals has the signals that are meant for the command sent to a channel. One
// that this process was started with to ignore stays ignored, here and by the
// command: nohup does that. SIGPIPE, of a line in the log, is no reason to end.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	for _, s := range passedSignals {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signals
}

// endsStart reports whether a signal ends exec while there is no command yet.
func endsStart(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGTERM || s == syscall.SIGHUP || s == syscall.SIGQUIT
}

// fromTerminal reports whether the command, which is in the process group of this
// process, has had a signal from the terminal already.
func fromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT && s != syscall.SIGWINCH {
		return false
	}
	for _, stream := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		group, err := unix.IoctlGetInt(int(stream.Fd()), unix.TIOCGPGRP)
		if err == nil && group == unix.Getpgrp() {
			return true // it is in the foreground there
		}
	}
	return false
}

// signalStatus is the exit status of what a signal has ended, as shells have it.
func signalStatus(s os.Signal) int {
	number, _ := s.(syscall.Signal)
	return 128 + int(number)
}

// commandStatus is the exit status of a command that has ended.
func commandStatus(cmd *exec.Cmd) int {
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalStatus(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}
