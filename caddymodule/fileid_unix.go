//go:build unix

package caddymodule

import (
	"fmt"
	"io/fs"
	"syscall"
)

// fileID tells two files of one name apart that have the same size and time.
func fileID(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d.%d", st.Dev, st.Ino)
	}
	return ""
}
