package command

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
)

// defaultPort is where the sidecar listens on the loopback interface.
const defaultPort = 8080

// listenAddresses checks the addresses to listen on. Where there are none it
// returns those of the loopback interface with a port.
func listenAddresses(given listSetting, port uint) ([]string, error) {
	for i, address := range given.values {
		a, err := parseListen(address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", given.from, err)
		}
		if slices.Contains(given.values[:i], address) && (a.IsUnixNetwork() || a.StartPort != 0) {
			return nil, fmt.Errorf("%s: %q is given twice", given.from, address)
		}
	}
	if len(given.values) > 0 {
		return given.values, nil
	}
	list := []string{net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10))}
	if hasIPv6Loopback() {
		list = append(list, net.JoinHostPort("::1", strconv.FormatUint(uint64(port), 10)))
	}
	return list, nil
}

func hasIPv6Loopback() bool {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

// parseListen reads a Caddy network address that HTTP can be served on.
func parseListen(address string) (caddy.NetworkAddress, error) {
	var none caddy.NetworkAddress
	if strings.ContainsAny(address, "{}") {
		return none, fmt.Errorf("%q: placeholders are not possible here", address)
	}
	a, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return none, fmt.Errorf("%q is no address to listen on: %w", address, err)
	}
	switch a.Network {
	case "unix":
		if a.Host == "" {
			return none, fmt.Errorf("%q names no socket: write unix//path", address)
		}
	case "fd":
	case "tcp", "tcp4", "tcp6":
		// Port 0, a port that the system chooses, has to be asked for.
		if a.PortRangeSize() != 1 || a.StartPort == 0 && !strings.HasSuffix(address, ":0") {
			return none, fmt.Errorf("%q needs one port, as in 127.0.0.1:%d", address, defaultPort)
		}
	default:
		return none, fmt.Errorf("%q: network %s is not possible here", address, a.Network)
	}
	return a, nil
}

// errTaken is why an address cannot be listened on: another program does.
var errTaken = errors.New("is taken by another program: choose another address with")

// checkFree reports an address that another program listens on. Caddy shares
// ports with other processes of the same user (SO_REUSEPORT), and replaces
// whatever is in the place of a Unix socket: two sidecars would take turns in
// answering.
func checkFree(addresses []string, flag string) error {
	for _, address := range addresses {
		a, err := parseListen(address)
		if err != nil {
			return err
		}
		switch {
		case a.IsFdNetwork():
		case a.IsUnixNetwork():
			err = checkSocketFree(a.Host)
		default:
			err = checkPortFree(a.Network, a.JoinHostPort(0))
		}
		if errors.Is(err, errTaken) {
			return fmt.Errorf("%s %w %s", address, err, flag)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// checkPortFree leaves other problems to Caddy, which may have means of its own,
// such as the right to use low ports.
func checkPortFree(network, address string) error {
	if err := tryPort(network, address); errors.Is(err, syscall.EADDRINUSE) {
		return errTaken
	}
	return nil
}

func checkSocketFree(path string) error {
	path = socketPath(path)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket", path)
	}
	if answered, _ := dialSocket(path); answered {
		return errTaken
	}
	return nil
}

// overlapping returns the one of others that has the port of address on one of the
// same interfaces, or "". Caddy would listen on both, and the system choose between
// them.
func overlapping(address string, others []string) string {
	a, err := parseListen(address)
	if err != nil {
		return ""
	}
	for _, other := range others {
		b, err := parseListen(other)
		switch {
		case address == other: // Caddy takes none twice, not even port 0
			return other
		case err != nil || a.IsUnixNetwork() != b.IsUnixNetwork() || a.IsFdNetwork() != b.IsFdNetwork():
		case a.IsUnixNetwork() || a.IsFdNetwork():
			if socketPath(a.Host) == socketPath(b.Host) {
				return other
			}
		case a.StartPort == b.StartPort && a.StartPort != 0 && (anyInterface(a.Host) || anyInterface(b.Host) || sameInterface(a.Host, b.Host)):
			return other
		}
	}
	return ""
}

// socketPath returns path without permissions.
func socketPath(path string) string {
	path, _, _ = strings.Cut(path, "|")
	return path
}

func anyInterface(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func sameInterface(one, other string) bool {
	name := func(host string) string {
		if host == "localhost" {
			return "127.0.0.1"
		}
		return host
	}
	return name(one) == name(other)
}

// onlyLoopback reports whether nobody but this host can reach an address.
func onlyLoopback(address string) bool {
	a, err := parseListen(address)
	if err != nil {
		return false
	}
	if a.IsUnixNetwork() || a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.IsLoopback()
}
