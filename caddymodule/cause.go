package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/caddy-convoai/convoai/region"
)

// causeOf says why a connection could not be had.
func causeOf(err error) region.Cause {
	if dial, ok := errors.AsType[dialError](err); ok && dial.unresolved {
		return region.NameNotResolved
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errTLSTimeout), ok && timeout.Timeout():
		return region.ConnectTimeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return region.Refused
	case isTLSError(err):
		return region.TLSFailed
	}
	return region.Unreachable
}

// isTLSError reports whether err is that of a handshake that was answered.
func isTLSError(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error") // an alert, theirs or ours
}
