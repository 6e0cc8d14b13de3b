//go:build !linux

package main

import "time"

// preciseClock returns a function that waits until a time, as precisely as the
// runtime's timers are.
func preciseClock() (wait func(time.Time), stop func()) {
	return func(until time.Time) { time.Sleep(time.Until(until)) }, func() {}
}
