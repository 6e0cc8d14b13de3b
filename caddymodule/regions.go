package caddymodule

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/region"
)

// regionLogger is that of the configuration that is loaded: the regions outlive
// any other.
func regionLogger() *zap.Logger { return caddy.Log().Named("convoai.region") }

// logChange logs what has become of a host, and what that means for calls.
func logChange(c region.Change) {
	fields := []zap.Field{
		zap.String("upstream", c.Endpoint.String()),
		zap.String("region", c.Endpoint.Region),
		zap.Stringer("from", c.From),
		zap.Stringer("to", c.To),
	}
	switch c.To {
	case region.Resting:
		regionLogger().Warn("upstream has failed: calls go elsewhere until it has rested and can be reached again", append(fields,
			zap.Stringer("cause", c.Cause), zap.Duration("rest", c.Rest.Round(time.Millisecond)), zap.Int("failures", c.Failures))...)
	case region.Unproven:
		regionLogger().Info("another name of the region has failed: calls go elsewhere until this one can be reached", append(fields,
			zap.Stringer("cause", c.Cause))...)
	default:
		regionLogger().Info("upstream can be reached: calls may go there", fields...)
	}
}

// logOrder logs a change of the order of preference.
func logOrder(c region.OrderChange) {
	regionLogger().Info("connections to another region are faster: it is preferred from now on",
		zap.Strings("from", c.From), zap.Strings("to", c.To), zap.Durations("latency", c.Latency))
}
