package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// A Server serves a Simulator on one listener, from [Simulator.Listen] until
// Shutdown or Close.
type Server struct {
	http     *http.Server
	listener net.Listener
	secure   bool
	hurry    context.CancelFunc // ends delays and stalls
	done     chan struct{}      // closed when serving has ended
	err      error              // why, if not by Shutdown or Close; set before done is closed
}

// Listen starts to serve s on a TCP address such as "127.0.0.1:0", with TLS
// (HTTP/1.1 and 2) if certificate is not nil; see [Certificate]. It returns when
// connections are accepted. A Simulator may be served on several addresses.
func (s *Simulator) Listen(address string, certificate *tls.Certificate) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	return s.Serve(listener, certificate), nil
}

// Serve is Listen on a listener that is there already; the Server owns it.
func (s *Simulator) Serve(listener net.Listener, certificate *tls.Certificate) *Server {
	base, hurry := context.WithCancel(context.Background())
	errorLog := s.options.ErrorLog
	if errorLog == nil {
		errorLog = log.New(io.Discard, "", 0)
	}
	v := &Server{
		http: &http.Server{
			Handler:           s,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       time.Minute,
			ErrorLog:          errorLog,
			BaseContext:       func(net.Listener) context.Context { return base },
		},
		listener: listener, secure: certificate != nil, hurry: hurry, done: make(chan struct{}),
	}
	if certificate != nil {
		v.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	}
	go v.serve()
	return v
}

func (v *Server) serve() {
	defer close(v.done)
	var err error
	if v.secure {
		err = v.http.ServeTLS(v.listener, "", "")
	} else {
		err = v.http.Serve(v.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		v.err = fmt.Errorf("simulator: %w", err)
	}
}

// Addr returns the address that is listened on, with the port that was chosen.
func (v *Server) Addr() net.Addr { return v.listener.Addr() }

// URL returns the root of the served API, such as "http://127.0.0.1:8081", to
// which the vendor's path prefixes are added.
func (v *Server) URL() string {
	if v.secure {
		return "https://" + v.Addr().String()
	}
	return "http://" + v.Addr().String()
}

// Done is closed when the Server does not accept connections any more: after
// Shutdown or Close, or because accepting failed.
func (v *Server) Done() <-chan struct{} { return v.done }

// Err returns why the Server has ended; nil before that, and after Shutdown or
// Close.
func (v *Server) Err() error {
	select {
	case <-v.done:
		return v.err
	default:
		return nil
	}
}

// Shutdown stops accepting connections, ends delays and stalls, and waits until
// all calls are answered or ctx ends, in which case it breaks what is left and
// returns the error of ctx.
func (v *Server) Shutdown(ctx context.Context) error {
	v.hurry()
	err := v.http.Shutdown(ctx)
	if err != nil {
		_ = v.http.Close()
	}
	<-v.done
	return err
}

// Close stops at once and breaks what is left.
func (v *Server) Close() error {
	v.hurry()
	err := v.http.Close()
	<-v.done
	return err
}
