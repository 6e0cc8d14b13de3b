package command

import "golang.org/x/sys/unix"

// hideEnvironment keeps other processes of this user, the command among them, from
// reading the environment and the memory of this process: /proc/<pid>/environ has
// our secrets in it, whatever the environment of the command is. It does not keep
// root out.
func hideEnvironment() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
