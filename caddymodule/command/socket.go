package command

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A socketDir is a folder that may hold the admin sockets of sidecars.
type socketDir struct {
	path string
	// given is a folder that somebody else has prepared, for this purpose only,
	// with whatever permissions: the image's tmpfs. Others are made on demand
	// and must be this user's alone.
	given bool
}

// imageSocketDir is where the container image has a tmpfs for the socket.
const imageSocketDir = "/run/convoai"

// socketDirs lists where the sockets of this user's sidecars may be, best first.
func socketDirs() []socketDir {
	dirs := []socketDir{{path: imageSocketDir, given: true}}
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		dirs = append(dirs, socketDir{path: filepath.Join(runtime, "convoai")})
	}
	return append(dirs, socketDir{path: filepath.Join(os.TempDir(), "convoai-"+strconv.Itoa(os.Geteuid()))})
}

// maxSocketPath is the longest path that every system takes for a Unix socket
// (sun_path has 104 bytes on macOS and the BSDs, 108 on Linux).
const maxSocketPath = 103

// newAdminSocket returns the path for the admin socket of this process, in the
// first folder of dirs that can be used. There is no such file yet. Sockets that
// ended processes have left there are removed.
func newAdminSocket(dirs []socketDir) (string, error) {
	var problems []error
	for _, dir := range dirs {
		if _, err := os.Lstat(dir.path); dir.given && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		path := filepath.Join(dir.path, socketName())
		if err := dir.prepare(path); err != nil {
			problems = append(problems, err)
			continue
		}
		removeStaleSockets(dir.path, time.Now())
		return path, nil
	}
	return "", errors.Join(problems...)
}

const socketSuffix = ".sock"

// socketName returns a name that no other process has: process IDs alone repeat
// where containers share a folder.
func socketName() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(b[:]) + socketSuffix
}

// prepare makes the folder if need be, and checks that socket can be made in it
// and nobody else can put a socket in its place.
func (d socketDir) prepare(socket string) error {
	switch {
	case len(socket) > maxSocketPath:
		return fmt.Errorf("%s: the path is too long for a socket", d.path)
	case strings.ContainsAny(socket, "{}|"):
		// Caddy would read placeholders and permissions out of it.
		return fmt.Errorf("%s: braces and bars are not possible in the path", d.path)
	}
	if !d.given {
		if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	info, err := os.Lstat(d.path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: is not a folder", d.path)
	}
	if err := checkOwner(d, info); err != nil {
		return err
	}
	// A read-only file system shows only when one writes.
	probe, err := os.CreateTemp(d.path, ".probe-*")
	if err != nil {
		return err
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// staleAge spares sockets that are just being set up: between bind and listen
// they refuse connections, too.
const staleAge = time.Minute

// removeStaleSockets removes the sockets in dir on which nobody listens any
// more. What cannot be looked at or removed stays: whoever looks for sidecars
// has to expect stale sockets anyway.
func removeStaleSockets(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Type() != fs.ModeSocket || !strings.HasSuffix(entry.Name(), socketSuffix) || now.Sub(info.ModTime()) < staleAge {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if _, refused := dialSocket(path); refused {
			_ = os.Remove(path)
		}
	}
}

// dialSocket reports whether somebody listens on a Unix socket, and whether it
// is certain that nobody does.
func dialSocket(path string) (answered, refused bool) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false, errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	return true, false
}
