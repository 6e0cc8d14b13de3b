package command

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// limitMemory has the garbage collector keep to nine tenths of the memory that the
// container may have, as `caddy run` does: otherwise garbage alone could have it
// killed. GOMEMLIMIT and AUTOMEMLIMIT, where they are set, count instead. Without a
// limit, or where there is none to be known, nothing changes.
func limitMemory() {
	if limit, err := memlimit.Set(); err != nil {
		caddy.Log().Debug("no limit to the memory is known", zap.Error(err))
	} else {
		caddy.Log().Debug("soft limit to the memory", zap.Int64("bytes", limit))
	}
}
