package command

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listenerOwner returns who listens on a TCP port of this host, as far as this user
// may know.
func listenerOwner(port int) owner {
	sockets := make(map[string]bool) // "socket:[inode]"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		addListeners(sockets, table, port)
	}
	if len(sockets) == 0 {
		return owner{}
	}
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return owner{}
	}
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err != nil || !sockets[target] {
			continue
		}
		process := filepath.Dir(filepath.Dir(descriptor))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(process, "comm"))
		return owner{pid: pid, name: foreign(string(name), 32)}
	}
	return owner{}
}

// addListeners adds the listening sockets of a port in a table such as
// /proc/net/tcp.
func addListeners(sockets map[string]bool, table string, port int) {
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	const local, state, inode, listening = 1, 3, 9, "0A"
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) <= inode || fields[state] != listening {
			continue
		}
		_, hex, _ := strings.Cut(fields[local], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			sockets["socket:["+fields[inode]+"]"] = true
		}
	}
}
