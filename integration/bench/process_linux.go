package main

import "syscall"

// attributes makes the system end a program when this one is gone, whatever ended
// it; and keeps a Ctrl-C at a terminal from it, which is for this one to handle.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}
