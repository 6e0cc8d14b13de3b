package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A foundSidecar is one that runs here, known by its admin socket.
type foundSidecar struct {
	socket string
	pid    int // as the socket's name has it; that of a container of its own is not this host's
}

// address is what --address takes for it.
func (s foundSidecar) address() string { return "unix/" + s.socket }

// findSidecars returns the sidecars that this user has started without a
// configuration file and that answer at their sockets in dirs.
func findSidecars(dirs []socketDir) []foundSidecar {
	var found []foundSidecar
	for _, dir := range dirs {
		info, err := os.Lstat(dir.path)
		if err != nil || !info.IsDir() || checkOwner(dir, info) != nil {
			continue
		}
		entries, err := os.ReadDir(dir.path)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			name, ok := strings.CutSuffix(entry.Name(), socketSuffix)
			if !ok || entry.Type() != fs.ModeSocket {
				continue
			}
			info, err := entry.Info()
			if err != nil || !ownSocket(info) {
				continue
			}
			path := filepath.Join(dir.path, entry.Name())
			if answered, _ := dialSocket(path); answered {
				number, _, _ := strings.Cut(name, "-")
				pid, _ := strconv.Atoi(number)
				found = append(found, foundSidecar{socket: path, pid: pid})
			}
		}
	}
	return found
}

// Why it is not known whom to ask.
var (
	errNoSidecar       = errors.New("no sidecar runs here that this user has started with caddy convoai run; --address asks another one, at its admin API")
	errSeveralSidecars = errors.New("several sidecars run here: say which one with --address")
)

// theSidecar returns the address of the only sidecar that runs here, or of the one
// that was given. Where there are several it lists them.
func theSidecar(given string, dirs []socketDir, list io.Writer) (string, error) {
	if given != "" {
		return given, nil
	}
	found := findSidecars(dirs)
	switch len(found) {
	case 0:
		return "", errNoSidecar
	case 1:
		return found[0].address(), nil
	}
	for _, s := range found {
		fmt.Fprintf(list, "process %d: --address %s\n", s.pid, s.address())
	}
	return "", errSeveralSidecars
}
