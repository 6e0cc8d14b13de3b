package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A load is what is sent to an address.
type load struct {
	address  string
	requests [][]byte // sent in turn
	next     atomic.Uint64
}

func (l *load) request() []byte {
	return l.requests[(l.next.Add(1)-1)%uint64(len(l.requests))]
}

// A client has the kept connections over which a load is sent.
type client struct {
	*load
	conns []*connection
}

// connect opens the connections of a client.
func (l *load) connect(connections int) (*client, error) {
	c := &client{load: l}
	for range connections {
		conn, err := dial(l.address, time.Now().Add(patience))
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// bound makes the connections fail at a time, or when ctx ends, until release is
// called. It is what ends a run whose answers do not come.
func (c *client) bound(ctx context.Context, deadline time.Time) (release func()) {
	set := func(deadline time.Time) {
		for _, conn := range c.conns {
			_ = conn.SetDeadline(deadline)
		}
	}
	set(deadline)
	stop := context.AfterFunc(ctx, func() { set(time.Now()) })
	return func() { stop() }
}

// closed sends over all connections for a time, on each the next request as soon
// as the last is answered. It returns how long it took until all were answered.
func (c *client) closed(ctx context.Context, d time.Duration, into *recorder) (time.Duration, error) {
	start := time.Now()
	end := start.Add(d)
	err := c.loop(ctx, end.Add(patience), into, func(now time.Time) bool { return now.Before(end) })
	return time.Since(start), err
}

// each sends every request of the load once.
func (c *client) each(ctx context.Context) error {
	var sent atomic.Int64
	return c.loop(ctx, time.Now().Add(patience), newRecorder(), func(time.Time) bool {
		return sent.Add(1) <= int64(len(c.requests))
	})
}

// loop sends over all connections for as long as more says so and all is well, and
// not beyond the deadline.
func (c *client) loop(ctx context.Context, deadline time.Time, into *recorder, more func(now time.Time) bool) error {
	defer c.bound(ctx, deadline)()
	errs := make([]error, len(c.conns))
	var failed atomic.Bool
	var sending sync.WaitGroup
	for i, conn := range c.conns {
		sending.Go(func() {
			for at := time.Now(); !failed.Load() && more(at); {
				if errs[i] = conn.exchange(c.request()); errs[i] != nil {
					failed.Store(true)
					return
				}
				now := time.Now()
				into.record(now.Sub(at))
				at = now
			}
		})
	}
	sending.Wait()
	return firstError(ctx, errs)
}

// firstError is why a run is not valid: ctx has ended, or what went wrong on one of
// the connections.
func firstError(ctx context.Context, errs []error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failed := 0
	var first error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if failed++; first == nil {
			first = err
		}
	}
	if failed > 1 {
		return fmt.Errorf("%w (and %d connections more)", first, failed-1)
	}
	return first
}

// A connection carries one request at a time.
type connection struct {
	net.Conn
	buffer []byte
}

func dial(address string, deadline time.Time) (*connection, error) {
	conn, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(deadline)
	return &connection{Conn: conn, buffer: make([]byte, 8<<10)}, nil
}

// exchange sends a request and reads the answer.
func (c *connection) exchange(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	return c.answer()
}

var (
	statusOK   = []byte("HTTP/1.1 200 ")
	wantAnswer = []byte(answerBody)

	errOtherBody = errors.New("an answer is not the upstream's")
)

// answer reads an answer, which must be the upstream's, whole.
func (c *connection) answer() error {
	have := 0
	for {
		n, err := c.Read(c.buffer[have:])
		if err != nil {
			return err
		}
		have += n
		head, body, length, complete, err := cutHead(c.buffer[:have])
		if !complete {
			if have == len(c.buffer) {
				return errHeadTooLong
			}
			continue
		}
		if !bytes.HasPrefix(c.buffer, statusOK) {
			status, _, _ := strings.Cut(string(head), "\r\n")
			return fmt.Errorf("answered %q", status)
		}
		if err != nil {
			return err
		}
		if length != len(wantAnswer) || len(body) > length {
			return errOtherBody
		}
		if len(body) == length {
			if !bytes.Equal(body, wantAnswer) {
				return errOtherBody
			}
			return nil
		}
	}
}

// A recorder collects latencies.
type recorder struct {
	mu        sync.Mutex // guards histogram
	histogram *hdrhistogram.Histogram
}

// newRecorder resolves from 100 ns to a minute with three digits.
func newRecorder() *recorder {
	return &recorder{histogram: hdrhistogram.New(100, int64(time.Minute), 3)}
}

func (r *recorder) record(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.histogram.RecordValue(min(int64(d), int64(time.Minute)))
}

// count is how many were recorded, quantile the latency in microseconds that a
// percentage of them does not exceed.
func (r *recorder) count() int { return int(r.histogram.TotalCount()) }

func (r *recorder) quantile(percent float64) float64 {
	return float64(r.histogram.ValueAtQuantile(percent)) / 1e3
}
