package command

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"testing"
)

func TestDefaultListenIsLoopback(t *testing.T) {
	got, err := listenAddresses(listSetting{}, 8080)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"127.0.0.1:8080"}
	if hasIPv6Loopback() {
		want = append(want, "[::1]:8080")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, address := range got {
		if !onlyLoopback(address) {
			t.Errorf("%s is not taken for loopback", address)
		}
	}
}

func TestListenAddress(t *testing.T) {
	for _, test := range []struct {
		address            string
		possible, loopback bool
	}{
		{"127.0.0.1:8080", true, true},
		{"127.0.0.1:0", true, true},
		{"[::1]:8080", true, true},
		{"localhost:8080", true, true},
		{"tcp4/127.0.0.1:8080", true, true},
		{"unix//run/x.sock", true, true},
		{"unix//run/x.sock|0660", true, true},
		{":8080", true, false},
		{"0.0.0.0:8080", true, false},
		{"[::]:8080", true, false},
		{"192.0.2.1:8080", true, false},
		{"sidecar:8080", true, false},
		{"", false, false},
		{"127.0.0.1", false, false},
		{"8080", false, false},
		{"127.0.0.1:8080-8081", false, false},
		{"127.0.0.1:65536", false, false},
		{"udp/127.0.0.1:8080", false, false},
		{"unixgram//run/x.sock", false, false},
		{"{env.AGORA_APP_CERTIFICATE}:8080", false, false},
	} {
		t.Run(test.address, func(t *testing.T) {
			_, err := parseListen(test.address)
			if possible := err == nil; possible != test.possible {
				t.Errorf("possible = %v (%v), want %v", possible, err, test.possible)
			}
			if loopback := onlyLoopback(test.address); loopback != test.loopback {
				t.Errorf("only loopback = %v, want %v", loopback, test.loopback)
			}
		})
	}
}

// Caddy would share the port or replace the socket.
func TestTakenAddressIsFound(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	socket := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	for _, address := range []string{tcp.Addr().String(), "unix/" + socket, "unix/" + socket + "|0660"} {
		err := checkFree([]string{"127.0.0.1:0", address}, "--some-flag")
		if !errors.Is(err, errTaken) {
			t.Errorf("%s: %v, want that it is taken", address, err)
		}
		checkError(t, err, address+" is taken by another program: choose another address with --some-flag")
	}

	// Once the program has gone, a stale socket is in nobody's way.
	unix.(*net.UnixListener).SetUnlinkOnClose(false)
	unix.Close()
	if err := checkFree([]string{"unix/" + socket}, "--some-flag"); err != nil {
		t.Errorf("a stale socket: %v", err)
	}
	tcp.Close()
	for range 5 { // as another program may take the port at once
		if err = checkFree([]string{tcp.Addr().String()}, "--some-flag"); err == nil {
			return
		}
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		tcp.Close()
	}
	t.Errorf("a free port: %v", err)
}

// Caddy removes whatever has the name of the socket that it is to listen on.
func TestListenReplacesNoFile(t *testing.T) {
	file := writeFile(t, t.TempDir(), "data", "precious")
	checkError(t, checkFree([]string{"unix/" + file}, "--listen"), "is no socket")
}

func TestOverlappingAddresses(t *testing.T) {
	for _, test := range []struct {
		one, other string
		overlap    bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"localhost:8080", "127.0.0.1:8080", true},
		{":8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "0.0.0.0:8080", true},
		{"[::]:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "127.0.0.2:8080", false},
		{"127.0.0.1:8080", "[::1]:8080", false},
		{"127.0.0.1:8080", "127.0.0.1:8081", false},
		{":0", ":0", true},
		{"127.0.0.1:0", ":0", false},
		{"unix//run/x|0600", "unix//run/x", true},
		{"unix//run/x", "unix//run/y", false},
		{"unix//run/x", "127.0.0.1:8080", false},
	} {
		others := []string{"192.0.2.1:1", test.other}
		if got := overlapping(test.one, others); (got == test.other) != test.overlap || !test.overlap && got != "" {
			t.Errorf("%s and %s: %q", test.one, test.other, got)
		}
	}
}

func TestListenAddressGivenTwice(t *testing.T) {
	for _, addresses := range [][]string{{"127.0.0.1:8080", "127.0.0.1:8080"}, {"unix//tmp/x", "unix//tmp/x"}} {
		_, err := listenAddresses(listSetting{values: addresses, from: "--listen"}, defaultPort)
		checkError(t, err, "given twice")
	}
	if _, err := listenAddresses(listSetting{values: []string{"127.0.0.1:0", "127.0.0.1:0"}, from: "--listen"}, defaultPort); err != nil {
		t.Error(err)
	}
}
