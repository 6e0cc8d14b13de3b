//go:build race

package caddymodule

// raceDetector says that these tests run with the race detector; the binary is
// then built with it, too.
const raceDetector = true
