package command

import (
	"reflect"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// execute runs `caddy convoai …` and returns what it printed to standard output,
// and its error with the exit status.
func execute(t *testing.T, arguments ...string) (out string, status int, err error) {
	t.Helper()
	root := &cobra.Command{Use: "caddy", SilenceUsage: true}
	cmd := &cobra.Command{Use: "convoai"}
	caddycmd.Commands()["convoai"].CobraFunc(cmd)
	root.AddCommand(cmd)
	var stdout strings.Builder
	root.SetOut(&stdout)
	root.SetArgs(append([]string{"convoai"}, arguments...))
	err = root.Execute()
	if err != nil {
		status = exitFailed
		// The type is Caddy's own and not exported.
		if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct && v.FieldByName("ExitCode").IsValid() {
			status = int(v.FieldByName("ExitCode").Int())
		}
	}
	return stdout.String(), status, err
}

func TestWithoutCommandHelpIsShown(t *testing.T) {
	out, status, err := execute(t)
	if status != exitDone || err != nil {
		t.Fatalf("status %d, error %v", status, err)
	}
	for _, name := range []string{"run", "demo", "simulate", "header", "token", "inspect"} {
		if !strings.Contains(out, "\n  "+name+" ") {
			t.Errorf("%s is not in the help:\n%s", name, out)
		}
	}
}

func TestUnusableArguments(t *testing.T) {
	for _, test := range []struct {
		name      string
		arguments []string
		err       string
	}{
		{"command", []string{"walk"}, "unknown command walk"},
		{"secret as a command", []string{"007canary+/="}, "unknown command;"},
		{"flag", []string{"run", "--app-certificate=canary"}, "unknown flag: --app-certificate"},
		{"argument of run", []string{"run", "canary"}, "takes flags only"},
		{"argument of demo", []string{"demo", "canary"}, "takes flags only"},
		{"argument of header", []string{"header", "canary"}, "takes flags only"},
		{"argument of simulate", []string{"simulate", "canary"}, "takes flags only"},
		{"value of a flag", []string{"run", "--access-log=perhaps"}, "--access-log"},
		{"run without a credential", []string{"run"}, "no credential in the environment"},
		{"header without a credential", []string{"header"}, "no credential in the environment"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, nil)
			out, status, err := execute(t, test.arguments...)
			checkError(t, err, test.err)
			if status != exitUnusable || out != "" {
				t.Errorf("status %d, output %q; want status %d and none", status, out, exitUnusable)
			}
		})
	}
}

func TestHeaderGoesToStandardOutput(t *testing.T) {
	setEnv(t, map[string]string{"AGORA_CUSTOMER_ID": "Aladdin", "AGORA_CUSTOMER_SECRET": "open sesame"})
	out, status, err := execute(t, "header")
	if status != exitDone || err != nil || out != "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n" {
		t.Errorf("status %d, error %v, output %q", status, err, out)
	}
}
