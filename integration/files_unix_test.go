//go:build unix

package integration

import "syscall"

// raiseFileLimit lets this process, and those that it starts, open as many files
// as they may, and returns how many.
func raiseFileLimit() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	limit.Cur = min(limit.Max, 1<<16)
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return int(limit.Cur)
}
