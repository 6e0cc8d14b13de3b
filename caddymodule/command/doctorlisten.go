package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// checkListen says whether the sidecar can listen on an address, which setting gives
// it, or does.
func (d *diagnosis) checkListen(ctx context.Context, address, setting string) {
	a, err := parseListen(address)
	switch {
	case err != nil: // reported with the settings
	case a.IsFdNetwork():
		d.ok("%s is handed over by who starts the sidecar", address)
	case a.IsUnixNetwork():
		path, _, _ := strings.Cut(a.Host, "|") // permissions
		d.checkSocket(ctx, address, path, "choose another path with "+setting)
	case a.StartPort == 0:
		d.ok("%s: the system will choose a port", address)
	default:
		d.checkPort(ctx, address, a, "choose another address with "+setting)
	}
}

func (d *diagnosis) checkPort(ctx context.Context, address string, a caddy.NetworkAddress, remedy string) {
	const patience = 2 * time.Second // for a name in the place of an address
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := new(net.ListenConfig).Listen(bounded, a.Network, a.JoinHostPort(0))
	switch {
	case err == nil:
		_ = l.Close()
		d.ok("%s is free to listen on", address)
	case errors.Is(err, syscall.EADDRINUSE):
		d.reportTaken(ctx, address, "tcp", dialable(a), listenerOwner(int(a.StartPort)), remedy)
	case errors.Is(err, syscall.EACCES):
		d.fail(faultConfiguration, address+" may not be listened on by this user", "ports below 1024 are root's on most systems: "+remedy)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		d.fail(faultConfiguration, address+" is no address of this host", "127.0.0.1 is always one, and an empty host stands for all: "+remedy)
	default:
		d.fail(faultConfiguration, address+" cannot be listened on: "+foreign(err.Error(), 160), remedy)
	}
}

// dialable is where somebody who listens on a can be reached from this host.
func dialable(a caddy.NetworkAddress) string {
	host := a.Host
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		if host = "127.0.0.1"; err == nil && addr.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, strconv.FormatUint(uint64(a.StartPort), 10))
}

func (d *diagnosis) checkSocket(ctx context.Context, address, path, remedy string) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		folder, err := os.Stat(filepath.Dir(path))
		if err != nil || !folder.IsDir() {
			d.fail(faultConfiguration, address+": there is no such folder", "make it, and give it to the user of the sidecar: mkdir -p "+filepath.Dir(path))
			return
		}
		d.tryListen(ctx, address, path, remedy)
	case err != nil:
		d.fail(faultConfiguration, address+" cannot be looked at: "+foreign(err.Error(), 160), remedy)
	case info.Mode().Type() != fs.ModeSocket:
		d.fail(faultConfiguration, address+" is there and is no socket", "remove it, or "+remedy)
	default:
		if answered, _ := dialSocket(path); answered {
			d.reportTaken(ctx, address, "unix", path, owner{}, remedy)
			return
		}
		d.ok("%s is free to listen on: nobody uses the socket that is there", address)
	}
}

// tryListen listens on a socket that is not there yet, and removes it again.
func (d *diagnosis) tryListen(ctx context.Context, address, path, remedy string) {
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	switch {
	case err == nil:
		_ = l.Close()
		d.ok("%s is free to listen on", address)
	case errors.Is(err, syscall.EINVAL):
		d.fail(faultConfiguration, address+" is too long for a socket", "most systems take paths of 107 or 103 bytes: "+remedy)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS):
		d.fail(faultConfiguration, address+": this user may not make a socket there", "give the folder to the user of the sidecar, or "+remedy)
	default:
		d.fail(faultConfiguration, address+" cannot be listened on: "+foreign(err.Error(), 160), remedy)
	}
}

// owner is the process that has a port; the zero owner is not known.
type owner struct {
	pid  int
	name string
}

// reportTaken reports an address that somebody listens on: a sidecar, which is as
// it should be, or another program.
func (d *diagnosis) reportTaken(ctx context.Context, address, network, dial string, by owner, remedy string) {
	for _, r := range d.running {
		if r.listensOn(address) || r.status.ProcessID != 0 && r.status.ProcessID == by.pid {
			d.ok("%s: a sidecar of this user listens there (process %d)", address, r.status.ProcessID)
			return
		}
	}
	if answersAsSidecar(ctx, network, dial) {
		d.warn(faultHost, address+": a sidecar listens there, whose admin API cannot be had",
			"it is another user's, one in a container, or one from a Caddyfile; to run another beside it, "+remedy)
		return
	}
	who := "another program"
	if by.pid != 0 {
		who = fmt.Sprintf("%s (process %d)", by.name, by.pid)
	}
	d.fail(faultHost, address+" is taken by "+who, "stop it, or "+remedy)
}

// answersAsSidecar reports whether a sidecar answers at an address. It refuses a
// path that is none of the API's with a header of its own.
func answersAsSidecar(ctx context.Context, network, address string) bool {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: answerLimit,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/", nil)
	if err != nil {
		return false
	}
	r.Header.Set("User-Agent", userAgent)
	res, err := transport.RoundTrip(r)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.Header.Get("X-Convoai-Error") != ""
}
