package simulator

import (
	"maps"
	"net"
	"net/http"
	"time"
)

// An exchange is one call on its connection, on which a fault may act at three
// points. The methods for these points report whether the exchange goes on.
type exchange struct {
	w      http.ResponseWriter
	r      *http.Request
	record *Call
	log    *callLog
}

// before is called when the header was read.
func (x *exchange) before(f *Fault) bool {
	x.log.faulted(x.record)
	if f.Action != ResetBeforeBody {
		return true
	}
	x.wait(f.Delay)
	x.reset()
	return false
}

// afterBody is called when the body was read and nothing was done yet.
func (x *exchange) afterBody(f *Fault) bool {
	x.wait(f.Delay)
	switch {
	case f.Action == ResetAfterBody:
		x.reset()
	case f.Action == Stall:
		x.stall()
	case f.Status != 0:
		answer := statusReply(f.Status)
		answer.header = f.Header
		x.answer(answer)
	default:
		return true
	}
	return false
}

// afterCall is called when the answer is known.
func (x *exchange) afterCall(f *Fault, answer *reply) bool {
	header := answer.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	maps.Copy(header, f.Header)
	answer.header = header
	switch f.Action {
	case ResetAfterCall:
		x.reset()
	case StallBody:
		x.log.answered(x.record, answer.status)
		answer.writeHeader(x.w)
		_, _ = x.w.Write(answer.body[:len(answer.body)/2])
		_ = http.NewResponseController(x.w).Flush()
		x.stall()
	default:
		return true
	}
	return false
}

func (x *exchange) answer(answer *reply) {
	x.log.answered(x.record, answer.status)
	answer.write(x.w)
}

// wait waits for d, or until the client is gone. What follows happens in both
// cases: a server that is slow does not notice.
func (x *exchange) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.r.Context().Done():
	}
}

// stall waits until the client is gone or the server stops, and does not return.
func (x *exchange) stall() {
	<-x.r.Context().Done()
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP reset, so that the client sees an error
// rather than an end. Where the connection is shared (HTTP/2) or not at hand, the
// stream alone is ended.
func (x *exchange) reset() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	raw := conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		// Not through TLS, which would say goodbye first.
		_ = tcp.Close()
	}
}
