//go:build !unix

package command

import "io/fs"

// ownSocket has nothing to check either.
func ownSocket(fs.FileInfo) bool { return true }

// checkOwner has nothing to check: the folder for temporary files is the user's
// own here.
func checkOwner(socketDir, fs.FileInfo) error { return nil }
