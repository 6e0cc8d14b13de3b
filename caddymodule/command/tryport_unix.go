//go:build unix

package command

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// tryPort returns the error with which an address cannot be listened on. It does
// not listen there: who connects in that moment would be let in, and thrown out
// again with its call.
func tryPort(network, address string) error {
	addr, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return err
	}
	if ip := addr.IP.To4(); ip != nil {
		return bind(unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)})
	}
	if len(addr.IP) == 0 || addr.IP.IsUnspecified() {
		return tryAll(network, addr.Port)
	}
	to := &unix.SockaddrInet6{Port: addr.Port, Addr: [16]byte(addr.IP)}
	if addr.Zone != "" {
		zone, err := net.InterfaceByName(addr.Zone)
		if err != nil {
			return err
		}
		to.ZoneId = uint32(zone.Index)
	}
	return bind(unix.AF_INET6, to)
}

// tryAll is tryPort for all addresses of the host. Where there is no IPv6, or it is
// not asked for, it is those of IPv4.
func tryAll(network string, port int) error {
	if network != "tcp4" {
		if err := bind(unix.AF_INET6, &unix.SockaddrInet6{Port: port}); err == nil || errors.Is(err, unix.EADDRINUSE) {
			return err
		}
	}
	return bind(unix.AF_INET, &unix.SockaddrInet4{Port: port})
}

// bind gives an address to a socket that is then closed.
func bind(family int, to unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	unix.CloseOnExec(fd)
	// As [net.Listen] does: connections that were closed do not keep an address.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.Bind(fd, to)
}
