package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/caddy-convoai/convoai/simulator"
)

// upstreamArgument makes this program the upstream.
const upstreamArgument = "upstream"

// upstreams are the addresses at which the upstream answers: plain HTTP/1.1, and
// HTTP/1.1 and 2 over TLS with a certificate of Authority.
type upstreams struct {
	Plain, TLS1, TLS2 string
	Authority         string // file
}

// startUpstream starts this program once more as the upstream, which ends with it.
func startUpstream(ctx context.Context, dir string) (*process, upstreams, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, upstreams{}, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, upstreams{}, err
	}
	defer reader.Close()
	cmd := exec.Command(self, upstreamArgument, dir)
	cmd.Stdout = writer
	p, err := startProcess(cmd)
	_ = writer.Close()
	if err != nil {
		return nil, upstreams{}, fmt.Errorf("starting the upstream: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = reader.Close() })
	defer stop()
	var at upstreams
	if err := json.NewDecoder(reader).Decode(&at); err != nil {
		p.stop()
		return nil, upstreams{}, fmt.Errorf("the upstream does not start: %w\n%s", err, p.output.String())
	}
	return p, at, nil
}

// serveUpstream is the upstream. It prints its addresses, and answers until its
// standard input ends or it is told to stop.
func serveUpstream(ctx context.Context, dir string) error {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	at := upstreams{Plain: plain.Addr().String(), Authority: filepath.Join(dir, "authority.pem")}
	certificate, authority, err := simulator.Certificate("127.0.0.1")
	if err != nil {
		return err
	}
	if err := os.WriteFile(at.Authority, authority, 0o600); err != nil {
		return err
	}
	ended := make(chan error, 4)
	if at.TLS1, err = serveTLS(certificate, "http/1.1", ended); err != nil {
		return err
	}
	if at.TLS2, err = serveTLS(certificate, "h2", ended); err != nil {
		return err
	}
	go func() { ended <- serveRaw(plain) }()
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	return err
}

// serveTLS starts a server that speaks one protocol and returns its address.
func serveTLS(certificate tls.Certificate, protocol string, ended chan<- error) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	major := 1
	server := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{protocol}},
		ErrorLog:  log.New(io.Discard, "", 0),
		Protocols: new(http.Protocols),
	}
	if protocol == "h2" {
		major = 2
		server.Protocols.SetHTTP2(true)
	} else {
		server.Protocols.SetHTTP1(true)
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		switch {
		case err != nil || r.ProtoMajor != major:
			w.WriteHeader(http.StatusBadRequest)
		case r.Header.Get("Authorization") == "":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(answerBody)))
			_, _ = io.WriteString(w, answerBody)
		}
	})
	go func() { ended <- server.ServeTLS(l, "", "") }()
	return l.Addr().String(), nil
}

// serveRaw answers HTTP/1.1 with as little work as possible, so that the upstream
// is not what is measured.
func serveRaw(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_ = answerAll(conn)
		}()
	}
}

var (
	accepted = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answerBody), answerBody)
	refused  = []byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

	authorizationLine = []byte("\r\nAuthorization: ")
)

// answerAll answers the requests of a connection, one after another, until it
// ends. Who sends no Authorization header is refused: a proxy that adds none would
// be compared with those that do.
func answerAll(conn net.Conn) error {
	buffer := make([]byte, 128<<10)
	have := 0
	for {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			return err
		}
		have += n
		head, rest, length, complete, err := cutHead(buffer[:have])
		if err != nil {
			return err
		}
		if !complete {
			if have == len(buffer) {
				return errHeadTooLong
			}
			continue
		}
		answer := accepted
		if !bytes.Contains(head, authorizationLine) {
			answer = refused
		}
		missing := length - len(rest)
		if missing < 0 {
			return errors.New("requests are sent without waiting for answers")
		}
		for missing > 0 {
			n, err := conn.Read(buffer)
			if err != nil {
				return err
			}
			missing -= n
		}
		have = 0
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}
