package command

import (
	"bytes"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/simulator"
)

// curlCommands returns the curl commands of a text, with their arguments as a
// shell sees them.
func curlCommands(t *testing.T, text string) [][]string {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh")
	}
	var commands [][]string
	for line := range strings.Lines(text) {
		arguments, ok := strings.CutPrefix(strings.TrimSpace(line), "curl ")
		if !ok {
			continue
		}
		out, err := exec.Command(shell, "-c", `printf '%s\n' `+arguments).Output()
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"))
	}
	return commands
}

// post sends the -d argument of a curl command to its URL.
func post(t *testing.T, command []string) int {
	t.Helper()
	var url, body string
	for i, argument := range command {
		if strings.HasPrefix(argument, "http://") {
			url = argument
		}
		if argument == "-d" {
			body = command[i+1]
		}
	}
	res, err := http.Post(url, "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestDemoCommandsWork(t *testing.T) {
	setEnv(t, nil)
	t.Setenv(envDemoAppID, "")
	t.Setenv(envDemoAppCertificate, "")
	project := simulator.RandomProject()
	vendor, err := simulator.New(simulator.Options{Projects: []simulator.Project{project}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := vendor.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, err := demoSidecar([]string{"127.0.0.1:0"}, server.URL(), project)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}()

	commands := curlCommands(t, demoText(s.urls(), server.URL(), project.AppID))
	if len(commands) != 2 {
		t.Fatalf("%d commands, want 2", len(commands))
	}
	if status := post(t, commands[0]); status != http.StatusOK {
		t.Errorf("through the sidecar: %d", status)
	}
	if status := post(t, commands[1]); status != http.StatusUnauthorized {
		t.Errorf("straight to the simulator: %d", status)
	}
	for _, secret := range []string{project.AppCertificate, project.CustomerSecret} {
		if strings.Contains(demoText(s.urls(), server.URL(), project.AppID), secret) {
			t.Error("the text shows a credential")
		}
	}
}

func TestDemoOverUnixSocket(t *testing.T) {
	commands := curlCommands(t, demoText([]string{"unix//run/x.sock"}, "http://127.0.0.1:8081", testAppID))
	if len(commands) != 2 || strings.Join(commands[0][:4], " ") !=
		"-sS --unix-socket /run/x.sock http://localhost/api/conversational-ai-agent/v2/projects/"+testAppID+"/join" {
		t.Errorf("commands are %q", commands)
	}
}

func TestDemoArguments(t *testing.T) {
	busy, err := simulator.New(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := busy.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	taken := server.Addr().String()
	for _, test := range []struct {
		name   string
		flags  demoFlags
		env    map[string]string
		status int
		err    string
	}{
		{"taken", demoFlags{listen: []string{taken}}, nil, exitFailed, taken + " is taken by another program: choose another address with --listen"},
		{"taken by variable", demoFlags{}, map[string]string{envListen: taken}, exitFailed, "--listen"},
		{"simulator's taken", demoFlags{listen: []string{"127.0.0.1:0"}, simulatorListen: taken}, nil, exitFailed, "--simulator-listen"},
		{"no address", demoFlags{listen: []string{"x"}}, nil, exitUnusable, "--listen"},
		{"simulator for all", demoFlags{listen: []string{"127.0.0.1:0"}, simulatorListen: "0.0.0.0:1"}, nil, exitUnusable, "--simulator-listen must be a port of the loopback interface"},
		{"simulator on a socket", demoFlags{listen: []string{"127.0.0.1:0"}}, map[string]string{envSimulatorListen: "unix//x"}, exitUnusable, "CONVOAI_SIMULATOR_LISTEN must be"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.env)
			var out strings.Builder
			status, err := test.flags.run(&out)
			checkError(t, err, test.err)
			if status != test.status || out.String() != "" {
				t.Errorf("status %d, output %q; want status %d and none", status, &out, test.status)
			}
		})
	}
}
