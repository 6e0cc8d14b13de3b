package connect

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// maxTunnels is how many tunnels there can be at a time.
	maxTunnels = 256

	// idleTunnel is how long nothing may come in either direction.
	idleTunnel = 5 * time.Minute

	// maxDraining is how long a tunnel may go on when the server stops, or its
	// configuration is replaced.
	maxDraining = 8 * time.Second
)

// tunnel connects the client of a CONNECT to host. It returns when the tunnel is
// closed.
func (h *Handler) tunnel(w http.ResponseWriter, r *http.Request, host string) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		h.refuse(w, r, errTooMany, nil)
		return
	}
	far, err := h.front.Dial(r.Context(), host, h.TunnelPrivate)
	if err != nil {
		h.logger.Warn("a tunnel cannot be made", zap.String("host", host), zap.Bool("tunnel_private", h.TunnelPrivate), zap.Error(err))
		h.refuse(w, r, errUnreachable, err)
		return
	}
	defer far.Close()
	defer outgoing.add(far.LocalAddr().String())()
	near, err := takeOver(w, r)
	if err != nil {
		h.refuse(w, r, errVersion, err)
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, established); err != nil {
		return
	}
	newRelay(near, far, h.draining).run()
}

// relay passes bytes between two connections until both directions have ended.
type relay struct {
	near, far net.Conn
	draining  <-chan struct{}
	last      atomic.Int64 // when something came, since begin
	begin     time.Time
}

func newRelay(near, far net.Conn, draining <-chan struct{}) *relay {
	return &relay{near: near, far: far, draining: draining, begin: time.Now()}
}

// run returns when the connections can be closed.
func (r *relay) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var directions sync.WaitGroup
	directions.Go(func() { r.pass(r.far, r.near) })
	directions.Go(func() { r.pass(r.near, r.far) })
	go func() {
		directions.Wait()
		cancel()
	}()
	r.watch(ctx.Done())
	_ = r.near.Close()
	_ = r.far.Close()
	directions.Wait()
	cancel()
}

// pass copies what comes from one end to the other, and the end of it.
func (r *relay) pass(to, from net.Conn) {
	_, err := io.Copy(to, &noticing{from, r})
	if err != nil {
		_ = to.Close() // nobody is told that this is all there was
		_ = from.Close()
		return
	}
	if half, ok := itself(to).(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	// Then the end of one direction is that of both, a moment later.
	_ = to.SetReadDeadline(time.Now().Add(lull))
}

func itself(conn net.Conn) net.Conn {
	if c, ok := conn.(*clientConn); ok {
		return c.Conn
	}
	return conn
}

// noticing takes note of when something comes.
type noticing struct {
	io.Reader
	relay *relay
}

// Read implements [io.Reader].
func (n *noticing) Read(p []byte) (int, error) {
	count, err := n.Reader.Read(p)
	n.relay.last.Store(int64(time.Since(n.relay.begin)))
	return count, err
}

// watch returns when done is closed, or the tunnel has to end.
func (r *relay) watch(done <-chan struct{}) {
	idle, draining, latest := idleTunnel, r.draining, (<-chan time.Time)(nil)
	for {
		left := idle - (time.Since(r.begin) - time.Duration(r.last.Load()))
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-draining:
			idle, draining, latest = lull, nil, time.After(maxDraining)
		case <-latest:
			return
		case <-done:
			return
		}
	}
}
