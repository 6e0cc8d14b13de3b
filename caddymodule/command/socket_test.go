package command

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shortTempDir is a t.TempDir whose path leaves room for a socket's name.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestAdminSocketFolders(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	t.Setenv("TMPDIR", "/var/tmp")
	dirs := socketDirs()
	want := []socketDir{
		{path: "/run/convoai", given: true},
		{path: "/run/user/1000/convoai"},
		{path: "/var/tmp/convoai-" + strconv.Itoa(os.Geteuid())},
	}
	if len(dirs) != len(want) {
		t.Fatalf("got %+v", dirs)
	}
	for i := range want {
		if dirs[i] != want[i] {
			t.Errorf("folder %d is %+v, want %+v", i, dirs[i], want[i])
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "relative")
	if dirs = socketDirs(); len(dirs) != 2 {
		t.Errorf("a relative XDG_RUNTIME_DIR counts: %+v", dirs)
	}
}

func TestAdminSocketFolderIsMadePrivate(t *testing.T) {
	dir := filepath.Join(shortTempDir(t), "convoai")
	path, err := newAdminSocket([]socketDir{{path: filepath.Join(dir, "none"), given: true}, {path: dir}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder is %v", info.Mode())
	}
	if filepath.Dir(path) != dir || !strings.HasPrefix(filepath.Base(path), strconv.Itoa(os.Getpid())+"-") || !strings.HasSuffix(path, ".sock") {
		t.Errorf("path is %s", path)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("something was left in the folder: %v", entries)
	}
	again, err := newAdminSocket([]socketDir{{path: dir}})
	if err != nil || again == path {
		t.Errorf("a second socket is %s (%v), want another path than the first", again, err)
	}
}

func TestUnsafeSocketFolderIsNotUsed(t *testing.T) {
	base := shortTempDir(t)
	open := filepath.Join(base, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(base, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(private, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		dir  socketDir
		err  string
	}{
		{"open to others", socketDir{path: open}, "is open to other users"},
		{"symbolic link", socketDir{path: link}, "is not a folder"},
		{"symbolic link in the image", socketDir{path: link, given: true}, "is not a folder"},
		{"file", socketDir{path: writeFile(t, base, "file", "")}, "is not a folder"},
		{"no parent", socketDir{path: filepath.Join(base, "a", "b")}, "no such file"},
		{"long", socketDir{path: filepath.Join(base, strings.Repeat("x", maxSocketPath))}, "too long"},
		{"braces", socketDir{path: filepath.Join(base, "{x}")}, "braces"},
		{"bar", socketDir{path: filepath.Join(base, "x|y")}, "bars"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newAdminSocket([]socketDir{test.dir})
			checkError(t, err, test.err)
		})
	}
	// Another folder that can be used makes up for it.
	path, err := newAdminSocket([]socketDir{{path: open}, {path: private}})
	if err != nil || filepath.Dir(path) != private {
		t.Errorf("got %s (%v), want one in %s", path, err, private)
	}
}

func TestFolderOfAnotherUserIsNotUsed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder of another user")
	}
	dir := filepath.Join(shortTempDir(t), "convoai")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	for _, given := range []bool{false, true} {
		_, err := newAdminSocket([]socketDir{{path: dir, given: given}})
		checkError(t, err, "belongs to another user")
	}
}

func TestStaleSocketsAreRemoved(t *testing.T) {
	dir := shortTempDir(t)
	listen := func(name string, running bool, age time.Duration) {
		t.Helper()
		path := filepath.Join(dir, name)
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if running {
			t.Cleanup(func() { ln.Close() })
		} else {
			ln.(*net.UnixListener).SetUnlinkOnClose(false)
			ln.Close()
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	listen("1-stale.sock", false, time.Hour)
	listen("2-running.sock", true, time.Hour)
	listen("3-starting.sock", false, 0)
	listen("4-stale.other", false, time.Hour)
	file := writeFile(t, dir, "5-file.sock", "")
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}

	if _, err := newAdminSocket([]socketDir{{path: dir}}); err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{
		"1-stale.sock": false, "2-running.sock": true, "3-starting.sock": true, "4-stale.other": true, "5-file.sock": true,
	} {
		_, err := os.Lstat(filepath.Join(dir, name))
		if there := !errors.Is(err, fs.ErrNotExist); there != stays {
			t.Errorf("%s is there: %v, want %v", name, there, stays)
		}
	}
}
