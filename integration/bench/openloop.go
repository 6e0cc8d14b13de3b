package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// open sends for a time at a constant rate, whatever the answers do, each request
// on the connection that has been free for longest. The latency of a request
// counts from the moment it was meant to be sent: while the other end stalls,
// requests that cannot go out for want of a connection wait, and that is in their
// latency, as it would be in that of the applications' requests. (A closed loop
// leaves it out: it does not send what a stall holds up.)
//
// It fails if requests are still waiting as long again after the end, or a second
// if d is shorter.
func (c *client) open(ctx context.Context, rate float64, d time.Duration, into *recorder) (time.Duration, error) {
	interval := time.Duration(float64(time.Second) / rate)
	start := time.Now()
	end := start.Add(d)
	defer c.bound(ctx, end.Add(d+patience))()

	p := newPipes(c.conns, into)
	p.send(c.load, start, end, interval)
	err := p.finish()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return time.Since(start), err
}

// pipes are connections, each with a reader of its answers.
type pipes struct {
	all     []*pipe
	into    *recorder
	free    chan *pipe
	reading sync.WaitGroup
	ending  atomic.Bool // all answers have come, or nobody waits for them

	failure sync.Once
	broken  chan struct{} // closed when err is set
	err     error
}

type pipe struct {
	*connection
	due atomic.Int64 // when the request under way was meant to be sent, Unix time in ns; 0 without one
}

var errUnasked = errors.New("an answer that no request has asked for")

func newPipes(conns []*connection, into *recorder) *pipes {
	p := &pipes{into: into, free: make(chan *pipe, len(conns)), broken: make(chan struct{})}
	for _, conn := range conns {
		one := &pipe{connection: conn}
		p.all = append(p.all, one)
		p.free <- one
		p.reading.Go(func() { p.read(one) })
	}
	return p
}

// read takes the answers of a connection until it fails, which ends it too.
func (p *pipes) read(one *pipe) {
	for {
		err := one.answer()
		due := one.due.Swap(0)
		switch {
		case p.ending.Load():
			return
		case err == nil && due == 0:
			err = errUnasked
		}
		if err != nil {
			p.fail(err)
			return
		}
		p.into.record(time.Duration(time.Now().UnixNano() - due))
		p.free <- one
	}
}

func (p *pipes) fail(err error) {
	p.failure.Do(func() {
		p.err = err
		close(p.broken)
	})
}

// take returns the next free connection, or nil once one has failed.
func (p *pipes) take() *pipe {
	select {
	case one := <-p.free:
		return one
	case <-p.broken:
		return nil
	}
}

// send sends each request when it is due, or as soon as a connection is free.
func (p *pipes) send(l *load, start, end time.Time, interval time.Duration) {
	wait, stop := preciseClock()
	defer stop()
	late := end.Add(max(end.Sub(start), time.Second))
	for due := start; due.Before(end); due = due.Add(interval) {
		wait(due)
		one := p.take()
		if one == nil {
			return
		}
		if time.Now().After(late) {
			p.fail(fmt.Errorf("it does not keep up with a request each %s", interval))
			return
		}
		one.due.Store(due.UnixNano())
		if _, err := one.Write(l.request()); err != nil {
			p.fail(err)
			return
		}
	}
}

// finish waits for the answers that are to come, ends the readers, and returns
// what went wrong.
func (p *pipes) finish() error {
	for range p.all {
		if p.take() == nil {
			break
		}
	}
	p.ending.Store(true)
	for _, one := range p.all {
		_ = one.SetReadDeadline(time.Now())
	}
	p.reading.Wait()
	return p.err
}
