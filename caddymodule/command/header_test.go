package command

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

var testNow = time.Unix(1700000000, 0)

func printHeader(t *testing.T, flags headerFlags) (string, int, error) {
	t.Helper()
	var out strings.Builder
	status, err := flags.run(&out, testNow)
	return out.String(), status, err
}

func defaultHeaderFlags() headerFlags {
	return headerFlags{channel: stopChannel, account: stopAccount, expire: "24h"}
}

func TestHeaderMintsToken(t *testing.T) {
	for _, test := range []struct {
		name             string
		change           func(*headerFlags)
		channel, account string
		expire           uint32
	}{
		{"default", func(*headerFlags) {}, "stop", "0", 86400},
		{"channel and account", func(f *headerFlags) { f.channel, f.account = "room-1", "1001" }, "room-1", "1001", 86400},
		{"seconds", func(f *headerFlags) { f.expire = "3600" }, "stop", "0", 3600},
		{"duration", func(f *headerFlags) { f.expire = "90m" }, "stop", "0", 5400},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate})
			flags := defaultHeaderFlags()
			test.change(&flags)
			line, status, err := printHeader(t, flags)
			if status != exitDone || err != nil {
				t.Fatalf("status %d, error %v", status, err)
			}
			text, ok := strings.CutPrefix(line, "Authorization: agora token=")
			if !ok || strings.Count(line, "\n") != 1 {
				t.Fatal("the output is not one header")
			}
			got, err := token.Parse(strings.TrimSuffix(text, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Verify(testAppCertificate); err != nil {
				t.Error(err)
			}
			want, err := token.NewConvoAI(testAppID, test.channel, test.account, test.expire, 0)
			if err != nil {
				t.Fatal(err)
			}
			want.IssuedAt, want.Salt = 1700000000, got.Salt
			wanted, err := want.Sign(testAppCertificate)
			if err != nil {
				t.Fatal(err)
			}
			if text != wanted+"\n" {
				t.Error("the token is not the one of the vendor's SDKs for this channel, account and lifetime")
			}
		})
	}
}

func TestHeaderOfOtherModes(t *testing.T) {
	setEnv(t, map[string]string{
		"AGORA_CUSTOMER_ID": "Aladdin", "AGORA_CUSTOMER_SECRET": "open sesame",
		"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate,
	})
	// The example of RFC 7617.
	if line, _, err := printHeader(t, defaultHeaderFlags()); err != nil || line != "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n" {
		t.Errorf("Basic: %q, %v", line, err)
	}

	preBuilt := signedToken(t, testAppID, 1699999000, 1001)
	for _, value := range []string{preBuilt, "agora token=" + preBuilt, `Agora Token="` + preBuilt + `"`} {
		setEnv(t, map[string]string{"AGORA_AUTH_TOKEN": value})
		if line, _, err := printHeader(t, defaultHeaderFlags()); err != nil || line != "Authorization: agora token="+preBuilt+"\n" {
			t.Errorf("pre-built token: unexpected output (%v)", err)
		}
	}
}

func TestHeaderThatCannotBeHad(t *testing.T) {
	app := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
	for _, test := range []struct {
		name   string
		env    map[string]string
		change func(*headerFlags)
		status int
		err    string
	}{
		{"nothing set", nil, nil, exitUnusable, "no credential"},
		{"no app ID", map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate}, nil, exitUnusable, "no app ID"},
		{"expired token", map[string]string{"AGORA_AUTH_TOKEN": signedToken(t, testAppID, 1699999000, 1000)}, nil, exitFailed, "AGORA_AUTH_TOKEN has expired"},
		{"empty channel", app, func(f *headerFlags) { f.channel = "" }, exitUnusable, "channel"},
		{"long channel", app, func(f *headerFlags) { f.channel = strings.Repeat("x", 64) }, exitUnusable, "channel"},
		{"no lifetime", app, func(f *headerFlags) { f.expire = "0" }, exitUnusable, "--expire"},
		{"negative lifetime", app, func(f *headerFlags) { f.expire = "-1h" }, exitUnusable, "--expire"},
		{"fraction of a second", app, func(f *headerFlags) { f.expire = "1500ms" }, exitUnusable, "--expire"},
		{"long lifetime", app, func(f *headerFlags) { f.expire = "86401" }, exitUnusable, "--expire"},
		{"no number", app, func(f *headerFlags) { f.expire = "soon" }, exitUnusable, "--expire"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.env)
			flags := defaultHeaderFlags()
			if test.change != nil {
				test.change(&flags)
			}
			out, status, err := printHeader(t, flags)
			if status != test.status || out != "" {
				t.Errorf("status %d, %d bytes of output; want status %d and none", status, len(out), test.status)
			}
			checkError(t, err, test.err)
		})
	}
}
