package caddymodule

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// The events that are emitted through Caddy's events app. Their origin is the
// module convoai, and their data never holds a secret, a channel or a whole App ID.
const (
	// eventFailover: a call went to another host. Data: from, to, operation, cause,
	// attempt (of the call, from 2 on).
	eventFailover = "convoai.failover"

	// eventCredentialRejected: the vendor answered 401. Data: auth_mode,
	// app_id_ends_in, host, operation, resent (bool), outcome (of the call that was
	// sent once more, as in the metrics; kept, where it was not).
	eventCredentialRejected = "convoai.credential_rejected"

	// eventMintFailed: a token could not be made. Data: app_id_ends_in, kind, error.
	eventMintFailed = "convoai.mint_failed"
)

// suppressedKey is the data of any event that says how many like it were not
// emitted before, where there were any.
const suppressedKey = "suppressed"

// Handlers of Caddy's events run one after another in the goroutine that emits. A
// slow one must not hold up calls, nor have events pile up.
const (
	// maxEvents is how many events may wait for the handlers of those before them.
	// Further ones are dropped, and counted.
	maxEvents = 256

	// eventBurst is how many events of a kind about the same thing are emitted at
	// once, and eventInterval after which there may be one more: an outage can have
	// every call fail over, and somebody may be paged for each event.
	eventBurst    = 10
	eventInterval = 10 * time.Second

	// eventGrace is how long a configuration that ends waits for the handlers of its
	// events, and then for one that runs to notice that its context is done.
	eventGrace = time.Second
)

// emitter emits the events of one configuration, in the background.
type emitter struct {
	app     *caddyevents.App
	ctx     caddy.Context
	cancel  context.CancelFunc // of ctx
	ready   atomic.Bool        // all apps have started: the subscriptions are complete
	dropped *prometheus.CounterVec
	logger  *zap.Logger
	now     func() time.Time

	mu         sync.Mutex // guards what follows
	queue      []event
	idle       chan struct{} // closed when what is queued has been handled; nil while nothing is
	dropping   bool          // and the log was told
	closed     bool
	allowances map[allowanceKey]*allowance
}

type event struct {
	name string
	data map[string]any
}

// allowanceKey is what events are about: of two with the same key one may stand
// for both.
type allowanceKey struct{ name, one, other string }

// allowance is a token bucket.
type allowance struct {
	left       int
	since      time.Time // that left was last added to
	suppressed int
}

// newEmitter returns the emitter of the configuration that ctx belongs to.
func newEmitter(ctx caddy.Context, dropped *prometheus.CounterVec, now func() time.Time) (*emitter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	e := &emitter{
		app: app.(*caddyevents.App), dropped: dropped, logger: ctx.Logger(), now: now,
		allowances: make(map[allowanceKey]*allowance),
	}
	// What happens while a configuration ends is emitted still.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx.Context))
	e.ctx, e.cancel = ctx, cancel
	e.ctx.Context = inner
	// The app's subscriptions may be written to until then.
	return e, e.app.On("started", started{&e.ready})
}

// started is a handler that notes that it was called.
type started struct{ noted *atomic.Bool }

// Handle implements [caddyevents.Handler].
func (s started) Handle(context.Context, caddy.Event) error {
	s.noted.Store(true)
	return nil
}

// wanted reports whether anybody wants to know of an event. Those that emit it look
// first, and spare themselves the making of it.
func (e *emitter) wanted(name string) bool {
	return observing && e != nil && e.ready.Load() && e.app.ShouldEmit(name)
}

// emit queues an event. one and other are what it is about. data belongs to e.
func (e *emitter) emit(name, one, other string, data map[string]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	suppressed, ok := e.allow(allowanceKey{name, one, other})
	if !ok {
		return
	}
	if suppressed > 0 {
		data[suppressedKey] = suppressed
	}
	if len(e.queue) == maxEvents {
		e.drop(name)
		return
	}
	e.queue = append(e.queue, event{name, data})
	if e.idle == nil {
		e.idle = make(chan struct{})
		go e.run()
	}
}

// allow reports whether an event may be emitted, and how many like it were not
// since the last. e.mu is held.
func (e *emitter) allow(key allowanceKey) (suppressed int, ok bool) {
	now := e.now()
	a := e.allowances[key]
	if a == nil {
		a = &allowance{left: eventBurst, since: now}
		e.allowances[key] = a
	}
	if more := int(now.Sub(a.since) / eventInterval); more > 0 {
		a.left = min(a.left+more, eventBurst)
		a.since = a.since.Add(time.Duration(more) * eventInterval)
	} else if more < 0 {
		a.since = now // the clock was put back
	}
	if a.left == 0 {
		a.suppressed++
		return 0, false
	}
	a.left--
	suppressed, a.suppressed = a.suppressed, 0
	return suppressed, true
}

// drop counts an event that is not emitted, and says so once until all that wait
// have been handled. e.mu is held.
func (e *emitter) drop(name string) {
	e.dropped.WithLabelValues(name).Inc()
	if !e.dropping {
		e.dropping = true
		e.logger.Warn("the handlers of events are too slow: events are dropped until they have caught up",
			zap.String("event", name), zap.Int("waiting", len(e.queue)))
	}
}

// run emits what is queued, and ends when there is no more.
func (e *emitter) run() {
	for {
		e.mu.Lock()
		if len(e.queue) == 0 {
			close(e.idle)
			e.queue, e.idle, e.dropping = nil, nil, false
			e.mu.Unlock()
			return
		}
		next := e.queue[0]
		e.queue = e.queue[1:]
		e.mu.Unlock()
		e.send(next)
	}
}

// send has an event handled. A handler that panics does not take the process along,
// as none of a request's would.
func (e *emitter) send(next event) {
	defer func() {
		if problem := recover(); problem != nil {
			e.logger.Error("a handler of an event has panicked", zap.String("event", next.name), zap.Any("panic", problem))
		}
	}()
	e.app.Emit(e.ctx, next.name, next.data)
}

// wait waits until all that is queued has been handled, but not for long.
func (e *emitter) wait() {
	e.mu.Lock()
	idle := e.idle
	e.mu.Unlock()
	if idle == nil {
		return
	}
	timer := time.NewTimer(eventGrace)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}

// close ends e: what waits is dropped, and the handler that runs has its context
// end. One that pays no attention to that runs on, for itself.
func (e *emitter) close() {
	e.mu.Lock()
	e.closed = true
	for _, next := range e.queue {
		e.drop(next.name)
	}
	e.queue = nil
	e.mu.Unlock()
	e.cancel()
	e.wait()
}

// failedOver says that c goes from one host to another.
func (c *Call) failedOver(from, to string) {
	if !c.project.events.wanted(eventFailover) {
		return
	}
	c.project.events.emit(eventFailover, from, to, map[string]any{
		"from": from, "to": to, "operation": c.operation.Name, "cause": c.cause.String(), "attempt": c.attempts + 1,
	})
}

// notResent is the outcome of a 401 after which nothing was sent once more.
const notResent = "kept"

// rejected says that the vendor has answered 401, and what has come of it.
func (c *Call) rejected(outcome string) {
	p := c.project
	if !p.events.wanted(eventCredentialRejected) {
		return
	}
	host := c.endpoint.URLHost()
	p.events.emit(eventCredentialRejected, p.appID, host+" "+outcome, map[string]any{
		"auth_mode": p.mode, "app_id_ends_in": p.ends(), "host": host, "operation": c.operation.Name,
		"resent": outcome != notResent, "outcome": outcome,
	})
}

// mintFailed says that a token of a kind could not be made.
func (p *project) mintFailed(kind string, err error) {
	if !p.events.wanted(eventMintFailed) {
		return
	}
	p.events.emit(eventMintFailed, p.appID, kind, map[string]any{
		"app_id_ends_in": p.ends(), "kind": kind, "error": err.Error(),
	})
}
