package caddymodule

import "go.uber.org/zap/zapcore"

// loggedCall is a Call as its line of the access log shows it.
type loggedCall Call

// MarshalLogObject implements [zapcore.ObjectMarshaler]. It is called when the line
// is written, after the call has ended. What a call did not come to is null, so that
// all lines have the same fields.
func (l *loggedCall) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	c := (*Call)(l)
	text := func(key, value string) {
		if value == "" {
			_ = enc.AddReflected(key, nil)
			return
		}
		enc.AddString(key, value)
	}
	var operation, app, agent, upstream, region, mode string
	if c.operation != nil {
		operation, agent = c.operation.Name, c.agent()
	}
	if c.project != nil {
		app, mode = c.project.ends(), c.project.mode
	}
	if c.attempts > 0 {
		upstream, region = c.endpoint.URLHost(), c.endpoint.Region
	}
	text("convoai_operation", operation)
	text("convoai_app", app)
	text("convoai_agent", agent)
	text("convoai_upstream", upstream)
	text("convoai_region", region)
	enc.AddInt("convoai_attempts", c.attempts)
	text("convoai_auth_mode", mode)
	text("convoai_error", c.reason)
	enc.AddDuration("convoai_duration_sidecar", c.timing.sidecar())
	enc.AddDuration("convoai_duration_connect", c.timing.connect)
	enc.AddDuration("convoai_duration_upstream", c.timing.upstream)
	return nil
}

var _ zapcore.ObjectMarshaler = (*loggedCall)(nil)
