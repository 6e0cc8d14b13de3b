//go:build !linux

package integration

import (
	"os/exec"
	"testing"
)

func withoutNetwork(t *testing.T, _ *exec.Cmd) {
	t.Skip("only Linux can take the network from one process")
}
