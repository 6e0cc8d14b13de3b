//go:build unix

package command

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ownSocket reports whether a socket is this user's, or this user root, who may
// look into any.
func ownSocket(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == uint32(os.Geteuid()) || os.Geteuid() == 0)
}

// checkOwner checks that the folder belongs to this user and is closed to
// others. A given one may be root's and open: a container's tmpfs is.
func checkOwner(d socketDir, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: its owner is not known", d.path)
	}
	own := stat.Uid == uint32(os.Geteuid())
	switch {
	case !own && !(d.given && stat.Uid == 0):
		return fmt.Errorf("%s: belongs to another user", d.path)
	case !d.given && info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s: is open to other users (it must have mode 0700)", d.path)
	}
	return nil
}
