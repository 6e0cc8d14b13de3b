package command

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/spf13/pflag"

	"github.com/caddy-convoai/convoai/token"
)

func inspectWith(t *testing.T, arg string, now time.Time, args ...string) (stdout string, status int, err error) {
	t.Helper()
	// The command defines its flags on its own set; find them there.
	cmd := inspectCommand()
	if err := cmd.ParseFlags(args); err != nil {
		return "", exitUnusable, err
	}
	f := &inspectFlags{FlagSet: cmd.Flags()}
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		switch flag.Name {
		case "json":
			f.json = flag.Value.String() == "true"
		case "app-certificate":
			f.appCertificate = flag.Value.String()
		case "channel":
			f.channel = flag.Value.String()
		case "account":
			f.account = flag.Value.String()
		case "uid":
			f.uid = flag.Value.String()
		case "service":
			f.service = flag.Value.String()
		}
	})
	var out strings.Builder
	status, err = f.run(arg, strings.NewReader(""), &out, now)
	return out.String(), status, err
}

func mustSign(t *testing.T, tok *token.Token, err error, certificate string) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	tok.IssuedAt, tok.Salt = 1700000000, 1
	s, err := tok.Sign(certificate)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func convoAI(t *testing.T, certificate string) string {
	t.Helper()
	tok, err := token.NewConvoAI(testAppID, "room-1", "1001", 3600, 0)
	return mustSign(t, tok, err, certificate)
}

func TestInspectSaysInOneLineWhatItIs(t *testing.T) {
	good := convoAI(t, testAppCertificate)
	sign := func(tok *token.Token, err error) string { return mustSign(t, tok, err, testAppCertificate) }
	noRTM := sign(token.NewTokenWithUid(testAppID, "room-1", 1001, token.RolePublisher, 3600, 3600))
	noRTC := sign(token.NewRtmToken(testAppID, "bob", 3600))
	appEnv(t)
	old := mustMint(t, "rtc-006", "--channel", "c", "--uid", "7")
	oldRTM := mustMint(t, "rtm-006", "--account", "bob")
	key4 := mustMint(t, "dynamic-key-4", "--channel", "c", "--uid", "7", "--service", "recording")
	key5 := mustMint(t, "dynamic-key-5", "--channel", "c", "--uid", "7", "--service", "in-channel-permission", "--allow-upload", "3")
	signaling := mustMint(t, "signaling", "--account", "7")
	key1 := mustMint(t, "dynamic-key-1", "--channel", "c")
	key3 := mustMint(t, "dynamic-key-3", "--channel", "c", "--uid", "7")
	at := func(s int) time.Time { return time.Unix(int64(1700000000+s), 0) }
	for _, c := range []struct {
		name, token string
		now         time.Time
		args        string
		verdict     string // of the first line
		status      int
		further     string // anywhere
	}{
		{"valid", good, at(60), "", "AccessToken2 (007): would be accepted for ConvoAI until ", exitDone, `rtc  channel "room-1", account "1001"`},
		{"valid, from a header", "Authorization: agora token=\"" + good + "\"\n", at(60), "", "would be accepted for ConvoAI", exitDone, "Signature  valid"},
		{"valid, in quotes", "'" + good + "'", at(60), "", "would be accepted for ConvoAI", exitDone, ""},
		{"expired", good, at(3600), "", "AccessToken2 (007): expired now", exitFailed, "Signature  valid"},
		{"expired long ago", good, at(3600 + 90000), "", "expired 1 day 1 hour ago", exitFailed, ""},
		{"not yet valid", good, at(-300), "", "not yet valid: it was issued in 5 minutes", exitFailed, ""},
		{"no RTM", noRTM, at(60), "", "would be accepted for ConvoAI", exitDone, "warning: no RTM service"},
		{"no RTC", noRTC, at(60), "", "not accepted for ConvoAI: it has no RTC service", exitDone, ""},
		{"no RTC, expired", noRTC, at(7200), "", "expired 1 hour ago", exitFailed, ""},
		{"another certificate", convoAI(t, otherCertificate), at(60), "", "wrong signature", exitFailed, "Signature  WRONG: not made with this app certificate\n"},
		{"certificate by flag", convoAI(t, otherCertificate), at(60), "--app-certificate " + otherCertificate, "would be accepted", exitDone, "Signature  valid"},
		{"truncated", good[:len(good)-9], at(60), "", "damaged 007 token: ", exitFailed, ""},
		{"JWT", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", at(60), "", "not an Agora token: it looks like a JWT", exitFailed, ""},
		{"empty", "", at(60), "", "not an Agora token: it is empty", exitFailed, ""},
		{"text", "hello", at(60), "", "not an Agora token", exitFailed, ""},
		{"008", "008abc", at(60), "", "of a version that is not known: \"008\"", exitFailed, ""},
		{"006", old, at(60), "", "AccessToken (006): an older format, not accepted for ConvoAI", exitDone, "give --channel, and --account or --uid"},
		{"006, verified", old, at(60), "--channel c --uid 7", "an older format", exitDone, "Signature  valid"},
		{"006, another channel", old, at(60), "--channel d --uid 7", "wrong signature: the token is for another channel", exitFailed, "or: the token is for another channel"},
		{"006, expired", old, at(86400), "", "an older format, not accepted for ConvoAI; and expired", exitFailed, "join channel"},
		{"006, truncated", old[:60], at(60), "", "damaged 006 token: ", exitFailed, ""},
		{"006 for RTM", oldRTM, at(60), "", "an older format", exitDone, "give --account"},
		{"006 for RTM, verified", oldRTM, at(60), "--account bob", "an older format", exitDone, "Signature  valid"},
		{"006 for RTM, another", oldRTM, at(60), "--uid 7", "wrong signature", exitFailed, ""},
		{"006 for RTM, by channel", oldRTM, at(60), "--channel bob", "an older format", exitDone, "Signature  valid"},
		{"key 1", key1, at(1 << 30), "--channel c", "dynamic-key-1: an older format", exitDone, "Signature  valid"},
		{"key 3", key3, at(60), "--channel c", "dynamic-key-3: an older format", exitDone, "Uid        7"},
		{"key 4", key4, at(60), "--channel c --uid 7 --service recording", "dynamic-key-4: an older format", exitDone, "Signature  valid"},
		{"key 4, another service", key4, at(60), "--channel c --uid 7", "wrong signature", exitFailed, ""},
		{"key 5", key5, at(60), "", "dynamic-key-5: an older format", exitDone, "give --channel and --uid"},
		{"key 5, verified", key5, at(60), "--channel c --uid 7", "dynamic-key-5", exitDone, "Signature  valid"},
		{"key 5, expired", key5, at(86400), "", "expired", exitFailed, "in-channel-permission"},
		{"signaling", signaling, at(60), "--account 7", "signaling: an older format", exitDone, "Signature  valid"},
		{"signaling, uid", signaling, at(60), "--uid 7", "signaling: an older format", exitDone, "Signature  valid"},
		{"signaling, unchecked", signaling, at(60), "", "signaling: an older format", exitDone, "give --account"},
	} {
		t.Run(c.name, func(t *testing.T) {
			appEnv(t)
			out, status, err := inspectWith(t, c.token, c.now, strings.Fields(c.args)...)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(out, "\n")
			if !strings.Contains(first, c.verdict) || status != c.status || !strings.Contains(out, c.further) {
				t.Errorf("status %d\n%s\nwant status %d, %q, %q", status, out, c.status, c.verdict, c.further)
			}
			if strings.Contains(out, testAppCertificate) || strings.Contains(out, "\x1b") {
				t.Error("the certificate or a colour is shown")
			}
		})
	}
}

func TestInspectWithoutTheRightCertificate(t *testing.T) {
	good := convoAI(t, testAppCertificate)
	now := time.Unix(1700000060, 0)
	setEnv(t, nil)
	out, status, err := inspectWith(t, good, now)
	if status != exitDone || err != nil || !strings.Contains(out, "(signature not checked)") || !strings.Contains(out, "no app certificate was given") {
		t.Errorf("no certificate: status %d, %v\n%s", status, err, out)
	}
	// Somebody else's token: our certificate says nothing about it.
	setEnv(t, map[string]string{"AGORA_APP_ID": otherCertificate, "AGORA_APP_CERTIFICATE": otherCertificate})
	out, status, err = inspectWith(t, good, now)
	if status != exitDone || err != nil || !strings.Contains(out, "AGORA_APP_CERTIFICATE is that of another app") {
		t.Errorf("another app: status %d, %v\n%s", status, err, out)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		args string
	}{
		"certificate":        {map[string]string{"AGORA_APP_CERTIFICATE": "canary"}, ""},
		"app ID":             {map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate, "APP_ID": "canary"}, ""},
		"certificate flag":   {nil, "--app-certificate canary"},
		"account and uid":    {nil, "--account a --uid 7"},
		"uid":                {nil, "--uid x"},
		"service":            {nil, "--channel c --service in-channel-permission"},
		"certificate of 006": {map[string]string{"AGORA_APP_CERTIFICATE": "canary"}, "--channel c"},
	} {
		appEnv(t)
		tok := good
		switch name {
		case "account and uid", "uid", "certificate of 006":
			tok = mustMint(t, "rtc-006", "--channel", "c", "--uid", "7")
		case "service":
			tok = mustMint(t, "dynamic-key-4", "--channel", "c")
		}
		setEnv(t, c.env)
		out, status, err := inspectWith(t, tok, now, strings.Fields(c.args)...)
		if status != exitUnusable || err == nil || strings.Contains(err.Error(), "canary") || out != "" {
			t.Errorf("%s: status %d, %v", name, status, err)
		}
	}
}

func TestInspectJSON(t *testing.T) {
	appEnv(t)
	good := convoAI(t, testAppCertificate)
	const head = `{"version":"007","app_id":"` + testAppID + `","issued_at":1700000000,"expire":3600,"salt":1,"expires_at":1700003600,"signature":`
	for _, c := range []struct {
		name, token string
		at          int64
		args        string
		want        string
		status      int
	}{
		{"valid", good, 1700000001, "", head + `"valid"`, exitDone},
		{"expired", good, 1700003600, "", head + `"valid"`, exitFailed},
		{"invalid", good, 1700000001, "--app-certificate " + otherCertificate, head + `"invalid"`, exitFailed},
		{"dynamic-key-1", mustMint(t, "dynamic-key-1", "--channel", "c", "--salt", "5"), 1700000001, "", `{"version":"dynamic-key-1","app_id":"` + testAppID + `","issued_at":1700000000,"salt":5,"signature":"unchecked"}`, exitDone},
		{"dynamic-key-3", mustMint(t, "dynamic-key-3", "--channel", "c", "--salt", "5"), 1700000001, "--channel c", `{"version":"dynamic-key-3","app_id":"` + testAppID + `","issued_at":1700000000,"salt":5,"uid":0,"expires_at":1700086400,"signature":"valid"}`, exitDone},
		{"dynamic-key-5", mustMint(t, "dynamic-key-5", "--channel", "c", "--salt", "5", "--service", "in-channel-permission", "--allow-upload", "0"), 1700000001, "--channel c", `{"version":"dynamic-key-5","app_id":"` + strings.ToLower(testAppID) + `","issued_at":1700000000,"salt":5,"expires_at":1700086400,"service":"in-channel-permission","allow_upload":"0","signature":"valid"}`, exitDone},
		{"signaling", mustMint(t, "signaling", "--account", "a"), 1700000001, "", `{"version":"signaling","app_id":"` + testAppID + `","expires_at":1700086400,"signature":"unchecked"}`, exitDone},
		{"006", mustMint(t, "rtc-006", "--channel", "c", "--uid", "7"), 1700000001, "--channel c --uid 8", `"signature":"invalid"`, exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, status, err := inspectWith(t, c.token, time.Unix(c.at, 0), append(strings.Fields(c.args), "--json")...)
			if err != nil || status != c.status || !strings.Contains(out, c.want) || !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 {
				t.Errorf("status %d, %v\n%s\nwant status %d\n%s", status, err, out, c.status, c.want)
			}
		})
	}
	special := mustMint(t, "rtm", "--account", "<&>é")
	if out, _, err := inspectWith(t, special, testNow, "--json"); err != nil || !strings.Contains(out, `"account":"<&>é"`) {
		t.Errorf("%s, %v", out, err)
	}
	out, status, err := inspectWith(t, "eyJ.e.s", testNow, "--json")
	if status != exitFailed || err == nil || !strings.Contains(err.Error(), "JWT") || out != "" {
		t.Errorf("not a token: status %d, %v, %q", status, err, out)
	}
}

func TestInspectExplainsWhatIsUnusual(t *testing.T) {
	appEnv(t)
	tok := &token.Token{AppID: testAppID, Expire: 600, Services: []token.Service{
		{Type: token.ServiceRTC, Channel: "é\x1b[31m", Account: "0", Privileges: token.Privileges{{ID: 1, Expire: 601}, {ID: 2}, {ID: 9, Expire: 5}}},
		{Type: token.ServiceRTM, Account: "1"},
		{Type: token.ServiceFPA},
		{Type: token.ServiceEducation, Room: "r", Account: "u", Role: 3},
		{Type: token.ServiceRTM2, Account: "m"},
	}}
	perms := &tok.Services[4].Permissions
	perms.Add(token.ResourceMessageChannels, token.PermissionRead, strings.Fields(strings.Repeat("n ", 25))...)
	out, status, err := inspectWith(t, mustSign(t, tok, nil, testAppCertificate), time.Unix(1700000060, 0))
	if status != exitDone || err != nil {
		t.Fatalf("status %d, %v", status, err)
	}
	for _, want := range []string{
		`RTC is for account "0" and RTM for "1"`, "longer than the token's lifetime: join channel", "but the token ends earlier",
		"lifetime 0 for publish audio", "characters outside the documented set", `the text "0"`, "privilege 9",
		`education  room "r", role 3, account "u"`, "read message channels", "and 5 more", `\x1b[31m`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("control characters of the token reach the terminal")
	}
}

func TestInspectReadsStandardInput(t *testing.T) {
	appEnv(t)
	good := convoAI(t, testAppCertificate)
	f := &inspectFlags{FlagSet: pflag.NewFlagSet("", pflag.ContinueOnError)}
	var out strings.Builder
	if status, err := f.run("-", strings.NewReader("\n  "+good+"\n"), &out, time.Unix(1700000001, 0)); status != exitDone || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if status, err := f.run("-", iotest.ErrReader(errors.New("broken")), &out, testNow); status != exitUnusable || err == nil {
		t.Errorf("broken input: status %d, %v", status, err)
	}
	for _, json := range []bool{false, true} {
		f.json = json
		if status, err := f.run(good, nil, brokenWriter{}, testNow); status != exitFailed || err == nil {
			t.Errorf("broken output: status %d, %v", status, err)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestInspectColours(t *testing.T) {
	for _, c := range []struct {
		in   inspection
		want string
	}{
		{inspection{verdict: "v"}, green},
		{inspection{verdict: "v", soft: true}, yellow},
		{inspection{verdict: "v", warnings: []string{"w"}}, yellow},
		{inspection{verdict: "v", status: exitFailed, soft: true}, red},
	} {
		var out strings.Builder
		if err := c.in.print(&out, testNow, true); err != nil || !strings.HasPrefix(out.String(), c.want+"v"+plain) {
			t.Errorf("%q", out.String())
		}
	}
	if file, err := os.Create(t.TempDir() + "/f"); err != nil || coloured(file) || coloured(&strings.Builder{}) {
		t.Error("a file is no terminal", err)
	}
}

func TestInspectCommandTakesOneToken(t *testing.T) {
	appEnv(t)
	for _, args := range [][]string{{}, {"canary", "canary"}} {
		cmd := inspectCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		if err := cmd.Execute(); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", args, err)
		}
	}
	cmd := inspectCommand()
	cmd.SilenceUsage = true
	var out, stderr strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&stderr)
	cmd.SetArgs([]string{"eyJ.e.s"})
	if err := cmd.Execute(); err == nil || stderr.String() != "" || out.String() != "not an Agora token: it looks like a JWT\n" {
		t.Errorf("%v, %q, %q", err, out.String(), stderr.String())
	}
}

func TestDurationsInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 59 * time.Second: "59 seconds", 61 * time.Second: "1 minute 1 second",
		3600 * time.Second: "1 hour", 3601 * time.Second: "1 hour", 25 * time.Hour: "1 day 1 hour", 24*time.Hour + time.Minute: "1 day",
		400 * 24 * time.Hour: "1 year 35 days",
	} {
		if got := words(d); got != want {
			t.Errorf("%s: %q", d, got)
		}
	}
}
