package command

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// limitMemory has the garbage collector keep to nine tenths of the memory that the
// container may have, as `caddy run` does: otherwise garbage alone could have it
// killed. GOMEMLIMIT and AUTOMEMLIMIT, where they are set, count instead. Without a
// limit, or where there is none to be known, the collector has no limit either.
//
// Where there is room, it then waits for longer than it does by default, and takes
// less of the processor. GOGC, where it is set, counts instead.
func limitMemory() {
	limit, err := memlimit.Set()
	if err != nil {
		caddy.Log().Debug("no limit to the memory is known", zap.Error(err))
	} else {
		caddy.Log().Debug("soft limit to the memory", zap.Int64("bytes", limit))
	}
	if _, set := os.LookupEnv("GOGC"); !set && (err != nil || limit >= roomyMemory) {
		debug.SetGCPercent(roomyGCPercent)
	}
}

const (
	// roomyMemory is from where on memory is not what a sidecar lacks, nine tenths of
	// 256 MiB: at full load it has about 20 MiB that are in use.
	roomyMemory = 256 << 20 / 10 * 9

	// roomyGCPercent is the GOGC of that case: a collection when there is twice as
	// much garbage as memory in use, instead of as much.
	roomyGCPercent = 200
)
