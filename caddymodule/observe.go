//go:build !convoai_bare

package caddymodule

// observing says whether calls are counted, timed and traced, and have
// placeholders. The build tag convoai_bare compiles all of that to nothing, so that
// benchmarks can say what it costs. No other use of the tag is supported.
const observing = true
