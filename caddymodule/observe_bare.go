//go:build convoai_bare

package caddymodule

const observing = false
