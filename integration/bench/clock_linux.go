package main

import (
	"runtime"
	"syscall"
	"time"
)

// preciseClock returns a function that waits until a time, to some microseconds.
// The runtime's own timers are good to a millisecond only while all of the program
// waits; and it gives the thread up, so there is to be a processor to spare
// (GOMAXPROCS). Call both functions on the goroutine that called this one.
func preciseClock() (wait func(time.Time), stop func()) {
	runtime.LockOSThread()
	const setTimerSlack = 29 // PR_SET_TIMERSLACK; 0 is the default, 50 µs
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
	wait = func(until time.Time) {
		for {
			left := time.Until(until)
			if left <= 0 {
				return
			}
			t := syscall.NsecToTimespec(int64(left))
			_ = syscall.Nanosleep(&t, nil) // interrupted: once more
		}
	}
	return wait, func() {
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 0, 0)
		runtime.UnlockOSThread()
	}
}
