//lint:file-ignore SA1019 The older token formats are deprecated, and can be minted and inspected all the same.

package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

const otherCertificate = "00000000000000000000000000000000"

// mintWith runs one kind of token.
func mintWith(t *testing.T, kind string, args ...string) (stdout, stderr string, status int, err error) {
	t.Helper()
	for _, k := range tokenKinds {
		if k.name != kind {
			continue
		}
		set := pflag.NewFlagSet(kind, pflag.ContinueOnError)
		f := k.flags(set)
		if err := set.Parse(args); err != nil {
			return "", "", exitUnusable, err
		}
		var out, warnings strings.Builder
		f.now, f.stderr = testNow, &warnings
		status, err := k.run(f, &out)
		return out.String(), warnings.String(), status, err
	}
	t.Fatalf("no kind %s", kind)
	return
}

func mustMint(t *testing.T, kind string, args ...string) string {
	t.Helper()
	out, _, status, err := mintWith(t, kind, args...)
	if status != exitDone || err != nil {
		t.Fatalf("%s: status %d, %v", kind, status, err)
	}
	s, ok := strings.CutSuffix(out, "\n")
	if !ok || strings.ContainsAny(s, " \n") {
		t.Fatalf("%s: the output is not one token", kind)
	}
	return s
}

func appEnv(t *testing.T) {
	t.Helper()
	setEnv(t, map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate})
}

func TestTokenKindsMint(t *testing.T) {
	appEnv(t)
	const rtcAll, rtcJoin = `{"type":1,"name":"rtc","privileges":{"1":600,"2":600,"3":600,"4":600},`, `{"type":1,"name":"rtc","privileges":{"1":600},`
	for _, c := range []struct{ args, want string }{
		{"convoai --channel c --account 0", rtcAll + `"channel":"c","account":"0"},{"type":2,"name":"rtm","privileges":{"1":600},"account":"0"}`},
		{"convoai --channel c --uid 0", rtcAll + `"channel":"c","account":"0"},{"type":2,"name":"rtm","privileges":{"1":600},"account":"0"}`},
		{"convoai --channel c --account a --privilege-expire 0", rtcAll + `"channel":"c","account":"a"},{"type":2,"name":"rtm","privileges":{"1":600},"account":"a"}`},
		{"rtc --channel c --uid 7", rtcAll + `"channel":"c","account":"7"}`},
		{"rtc --channel c --uid 0", rtcAll + `"channel":"c","account":""}`},
		{"rtc --channel * --account 0 --role subscriber", rtcJoin + `"channel":"*","account":"0"}`},
		{"rtc --channel c --account a --role publisher --privilege-expire 5m", `{"type":1,"name":"rtc","privileges":{"1":300,"2":300,"3":300,"4":300},"channel":"c","account":"a"}`},
		{"rtc --channel c --account a --role subscriber --privilege-expire 0", `{"type":1,"name":"rtc","privileges":{"1":0},"channel":"c","account":"a"}`},
		{"rtm --account m", `{"type":2,"name":"rtm","privileges":{"1":600},"account":"m"}`},
		{"chat-user --account u", `{"type":5,"name":"chat","privileges":{"1":600},"account":"u"}`},
		{"chat-app", `{"type":5,"name":"chat","privileges":{"2":600},"account":""}`},
		{"education-room-user --room r --account u --role -3", `{"type":2,"name":"rtm","privileges":{"1":600},"account":"u"},{"type":5,"name":"chat","privileges":{"1":600},"account":"7b774effe4a349c6dd82ad4f4f21d34c"},{"type":7,"name":"education","privileges":{"1":600},"room":"r","account":"u","role":-3}`},
		{"education-room-user --channel r --uid 7 --role 2", `{"type":2,"name":"rtm","privileges":{"1":600},"account":"7"},{"type":5,"name":"chat","privileges":{"1":600},"account":"8f14e45fceea167a5a36dedd4bea2543"},{"type":7,"name":"education","privileges":{"1":600},"room":"r","account":"7","role":2}`},
		{"education-user --account u", `{"type":7,"name":"education","privileges":{"2":600},"room":"","account":"u","role":-1}`},
		{"education-app", `{"type":7,"name":"education","privileges":{"3":600},"room":"","account":"","role":-1}`},
		{"fpa", `{"type":4,"name":"fpa","privileges":{"1":0}}`},
	} {
		t.Run(c.args, func(t *testing.T) {
			args, expire := strings.Fields(c.args), 600
			if args[0] == "fpa" {
				expire = 86400
			} else {
				args = append(args, "--expire", "600")
			}
			parsed, err := token.Parse(mustMint(t, args[0], append(args[1:], "--issued-at", "1700000001", "--salt", "5")...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(token.Spec{Token: parsed})
			if err != nil {
				t.Fatal(err)
			}
			want := `{"version":"007","app_id":"` + testAppID + `","issued_at":1700000001,"expire":` + strconv.Itoa(expire) + `,"salt":5,"expires_at":` + strconv.Itoa(1700000001+expire) + `,"signature":"unchecked","services":[` + c.want + `]}`
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if err := parsed.Verify(testAppCertificate); err != nil {
				t.Error(err)
			}
		})
	}
}

// The vendor's reference at this time and with this salt.
func TestConvoAITokenOfTheReference(t *testing.T) {
	appEnv(t)
	s := mustMint(t, "convoai", "--channel", "room-1", "--account", "1001", "--issued-at", "1700000000", "--salt", "12345678")
	vectors, err := os.ReadFile("../../token/testdata/accesstoken2.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Name, Token string }
	if err := json.Unmarshal(vectors, &list); err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		if v.Name != "convoai_default" {
			continue
		}
		theirs, err := token.Parse(v.Token)
		if err != nil {
			t.Fatal(err)
		}
		// Compressors differ; signing again with ours must give the same string.
		if again, err := theirs.Sign(testAppCertificate); err != nil || again != s {
			t.Errorf("minted\n%s\nwant\n%s", s, again)
		}
		return
	}
	t.Error("no such vector")
}

func TestLegacyKindsMatchTheVectors(t *testing.T) {
	for _, name := range []string{"legacy.json", "dynamickeys.json", "accesstoken1.json"} {
		data, err := os.ReadFile("../../token/legacy/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var list []map[string]any
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.UseNumber()
		if err := d.Decode(&list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			text := func(key string) string {
				switch x := v[key].(type) {
				case string:
					return x
				case json.Number:
					return x.String()
				}
				return ""
			}
			kind := text("name")
			args := []string{"--app-id", text("app_id"), "--app-certificate", text("app_certificate")}
			for flag, key := range map[string]string{"channel": "channel", "uid": "uid", "account": "account", "issued-at": "issued_at", "salt": "salt", "expires-at": "expires_at", "service": "service", "allow-upload": "allow_upload"} {
				if _, ok := v[key]; ok {
					args = append(args, "--"+flag, text(key))
				}
			}
			if name == "accesstoken1.json" {
				kind = "rtc-006"
				args = append(args, "--role", "subscriber", "--expires-at", "1446455471")
				if text("uid") == "" {
					args = append(args, "--uid", "0")
				}
			}
			t.Run(kind+" "+text("service")+text("allow_upload"), func(t *testing.T) {
				setEnv(t, nil)
				if got := mustMint(t, kind, args...); got != text("token") {
					t.Errorf("minted\n%s\nwant\n%s", got, text("token"))
				}
			})
		}
	}
}

func TestLegacyDefaults(t *testing.T) {
	appEnv(t)
	old, err := legacy.ParseAccessToken(mustMint(t, "rtm-006", "--account", "bob"))
	if err != nil {
		t.Fatal(err)
	}
	day := uint32(testNow.Unix()) + 86400
	if old.Channel = "bob"; old.Verify(testAppCertificate) != nil || old.IssuedAt != day || old.Privileges[0].ExpiresAt != day {
		t.Errorf("%+v", old)
	}
	k, err := legacy.ParseDynamicKey(mustMint(t, "dynamic-key-5", "--channel", "c"))
	if err != nil {
		t.Fatal(err)
	}
	if k.Channel = "c"; k.Verify(testAppCertificate) != nil || int64(k.IssuedAt) != testNow.Unix() || k.ExpiresAt != day || k.Service != legacy.ServiceMedia {
		t.Errorf("%+v", k)
	}
	for _, role := range []string{"publisher", "attendee", "admin"} {
		t6, err := legacy.ParseAccessToken(mustMint(t, "rtc-006", "--channel", "c", "--account", "a", "--role", role))
		if err != nil || len(t6.Privileges) != 4 {
			t.Errorf("%s: %v, %v", role, t6, err)
		}
	}
}

func TestTokenWarnsOnStandardErrorOnly(t *testing.T) {
	appEnv(t)
	for _, c := range []struct{ args, want string }{
		{"rtc --channel c --uid 7 --privilege-expire 0", "lifetime 0 for join channel"},
		{"rtc --channel c --account 0", `the text "0"`},
		{"rtc --channel c --account a --expire 1h --privilege-expire 2h", "longer than the token's lifetime"},
		{"dynamic-key-1 --channel c --uid 7 --expires-at 5", "--uid is no part of this format"},
		{"signaling --account a --channel c", "--channel is no part of this format"},
	} {
		args := strings.Fields(c.args)
		out, warnings, status, err := mintWith(t, args[0], args[1:]...)
		if status != exitDone || err != nil || strings.Count(out, "\n") != 1 || strings.Contains(out, "warning") {
			t.Errorf("%s: status %d, %v, output %q", c.args, status, err, out)
		}
		if !strings.HasPrefix(warnings, "warning: ") || !strings.Contains(warnings, c.want) {
			t.Errorf("%s: %q", c.args, warnings)
		}
	}
	if _, warnings, _, _ := mintWith(t, "convoai", "--channel", "c", "--account", "1001"); warnings != "" {
		t.Errorf("an ordinary token: %q", warnings)
	}
}

func TestUnusableTokenArguments(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ args, want string }{
		{"convoai --account a", "which channel?"},
		{"convoai --channel c", "whose token?"},
		{"convoai --channel  --account a", "whose token?"},
		{"convoai --channel c --account a --uid 1", "both given"},
		{"convoai --channel " + long + " --account a", "channel must have at most 63 bytes"},
		{"convoai --channel c --account " + long, "account must have at most 255 bytes"},
		{"convoai --channel c --account a --expire 0", "--expire must be"},
		{"convoai --channel c --account a --expire 86401", "--expire must be"},
		{"convoai --channel c --account a --expire 25h", "--expire must be"},
		{"convoai --channel c --account a --privilege-expire 25h", "--privilege-expire must be"},
		{"convoai --channel c --account a --issued-at -1", "--issued-at must be"},
		{"convoai --channel c --account a --salt 4294967296", "--salt must be"},
		{"convoai --channel c --account a --role publisher", "unknown flag: --role"},
		{"rtc --uid 1", "which channel?"},
		{"rtc --channel c", "whose token?"},
		{"rtc --channel c --uid 4294967296", "--uid must be"},
		{"rtc --channel c --uid -1", "--uid must be"},
		{"rtc --channel c --uid 1 --role host", "--role must be publisher or subscriber"},
		{"rtc --channel c --uid 1 --expire x", "--expire must be"},
		{"rtm", "whose token?"},
		{"rtm --account m --expire x", "--expire must be"},
		{"chat-app --expire x", "--expire must be"},
		{"education-room-user --account u --role 1", "which room?"},
		{"education-room-user --room r --channel r --account u --role 1", "mean the same"},
		{"education-room-user --room r --account u", "--role must be given as a number"},
		{"education-room-user --room r --account u --role 32768", "--role must be given as a number"},
		{"rtc-006 --account a", "which channel?"},
		{"rtc-006 --channel c", "whose token?"},
		{"rtc-006 --channel c --uid 1 --role x", "--role must be"},
		{"rtc-006 --channel c --uid 1 --expires-at x", "--expires-at must be"},
		{"rtc-006 --channel c --uid 1 --issued-at x", "--issued-at must be"},
		{"rtc-006 --channel c --uid 1 --salt x", "--salt must be"},
		{"rtc-006 --channel c --account " + long, "account must have"},
		{"rtm-006", "whose token?"},
		{"rtm-006 --account a --expires-at x", "--expires-at must be"},
		{"dynamic-key-1", "which channel?"},
		{"dynamic-key-1 --channel c --issued-at x", "--issued-at must be"},
		{"dynamic-key-1 --channel c --salt x", "--salt must be"},
		{"dynamic-key-2 --channel c --uid x", "--uid must be"},
		{"dynamic-key-3 --channel c --expires-at x", "--expires-at must be"},
		{"dynamic-key-4 --channel c --service x", "--service must be"},
		{"dynamic-key-4 --channel c --service in-channel-permission", "service must be media"},
		{"dynamic-key-5 --channel c --allow-upload 3", "belongs to --service in-channel-permission"},
		{"dynamic-key-5 --channel c --service in-channel-permission", "needs --allow-upload"},
		{"dynamic-key-5 --channel c --service in-channel-permission --allow-upload 1", "needs --allow-upload"},
		{"signaling", "whose token?"},
		{"signaling --account a --expires-at x", "--expires-at must be"},
	} {
		t.Run(c.args, func(t *testing.T) {
			appEnv(t)
			args := strings.Fields(c.args)
			out, _, status, err := mintWith(t, args[0], args[1:]...)
			if status != exitUnusable || err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
				t.Errorf("status %d, %v, output %q", status, err, out)
			}
		})
	}
}

func TestTokenTakesCredentialsFromFlagsFilesAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, dir, "certificate", testAppCertificate+" \r\n")
	wrong := writeFile(t, dir, "wrong", "canary-secret")
	for _, c := range []struct {
		name string
		env  map[string]string
		args string
		want string // an error, or nothing
	}{
		{"vendor's names", map[string]string{"APP_ID": testAppID, "APP_CERTIFICATE": testAppCertificate}, "", ""},
		{"file twin", map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE_FILE": file}, "", ""},
		{"flags win", map[string]string{"AGORA_APP_ID": otherCertificate, "AGORA_APP_CERTIFICATE": otherCertificate}, "--app-id " + testAppID + " --app-certificate " + testAppCertificate, ""},
		{"file flag", map[string]string{"AGORA_APP_ID": testAppID}, "--app-certificate @" + file, ""},
		{"nothing", nil, "", "no app ID"},
		{"no certificate", map[string]string{"AGORA_APP_ID": testAppID}, "", "no app certificate"},
		{"no app ID", map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate}, "", "no app ID"},
		{"bad app ID", map[string]string{"AGORA_APP_ID": "canary-secret"}, "", "AGORA_APP_ID must be 32"},
		{"bad app ID flag", nil, "--app-id canary-secret", "--app-id must be 32"},
		{"bad certificate", map[string]string{"AGORA_APP_ID": testAppID, "APP_CERTIFICATE": "canary-secret"}, "", "APP_CERTIFICATE must be 32"},
		{"bad certificate flag", map[string]string{"AGORA_APP_ID": testAppID}, "--app-certificate canary-secret", "--app-certificate must be 32"},
		{"bad file", map[string]string{"AGORA_APP_ID": testAppID}, "--app-certificate @" + wrong, "wrong must be 32"},
		{"no file", map[string]string{"AGORA_APP_ID": testAppID}, "--app-certificate @" + filepath.Join(dir, "none"), "none"},
		{"no name", map[string]string{"AGORA_APP_ID": testAppID}, "--app-certificate @", "no file name"},
		{"both", map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate, "AGORA_APP_CERTIFICATE_FILE": file}, "", "both set"},
		{"both IDs", map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_ID_FILE": file}, "", "both set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setEnv(t, c.env)
			out, _, status, err := mintWith(t, "fpa", strings.Fields(c.args)...)
			if c.want != "" {
				if status != exitUnusable || err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
					t.Fatalf("status %d, %v", status, err)
				}
				if strings.Contains(err.Error(), "canary") {
					t.Error("the error shows a secret")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := token.Parse(strings.TrimSpace(out))
			if err != nil || got.AppID != testAppID || got.Verify(testAppCertificate) != nil {
				t.Errorf("another token: %v", err)
			}
		})
	}
}

func buildWith(t *testing.T, spec string, flags tokenBuildFlags) (stdout, stderr string, status int, err error) {
	t.Helper()
	if flags.spec == "" {
		flags.spec = "-"
	}
	var out, warnings strings.Builder
	status, err = flags.run(strings.NewReader(spec), &out, &warnings)
	return out.String(), warnings.String(), status, err
}

func TestBuildRebuildsWhatInspectShows(t *testing.T) {
	appEnv(t)
	data, err := os.ReadFile("../../token/testdata/accesstoken2.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Name, Token string }
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		spec, status, err := inspectWith(t, v.Token, time.Unix(1700000000, 0), "--json")
		if err != nil || status != exitDone && status != exitFailed {
			t.Fatalf("%s: status %d, %v", v.Name, status, err)
		}
		out, _, status, err := buildWith(t, spec, tokenBuildFlags{})
		if err != nil || status != exitDone {
			t.Fatalf("%s: status %d, %v", v.Name, status, err)
		}
		again, _, err := inspectWith(t, strings.TrimSpace(out), time.Unix(1700000000, 0), "--json")
		if err != nil || again != spec {
			t.Errorf("%s: rebuilt\n%s\nfrom\n%s", v.Name, again, spec)
		}
	}
}

func TestBuild006NeedsWhatTheTokenLeavesOut(t *testing.T) {
	setEnv(t, nil)
	s := mustMint(t, "rtc-006", "--app-id", testAppID, "--app-certificate", testAppCertificate, "--channel", "c", "--uid", "7")
	spec, _, err := inspectWith(t, s, testNow, "--json")
	if err != nil {
		t.Fatal(err)
	}
	added := strings.TrimSuffix(strings.TrimSpace(spec), "}") + `,"channel":"c","uid":"7","app_certificate":"` + testAppCertificate + `"}`
	if out, _, _, err := buildWith(t, added, tokenBuildFlags{}); err != nil || out != s+"\n" {
		t.Errorf("%s, %v", out, err)
	}
	if _, _, status, err := buildWith(t, spec, tokenBuildFlags{}); status != exitUnusable || err == nil || !strings.Contains(err.Error(), "crc_channel") {
		t.Errorf("without channel: status %d, %v", status, err)
	}
	if _, _, status, err := buildWith(t, strings.Replace(added, testAppCertificate, "canary", 1), tokenBuildFlags{}); status != exitUnusable || err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("bad certificate: status %d, %v", status, err)
	}
	noCertificate := strings.Replace(added, `,"app_certificate":"`+testAppCertificate+`"`, "", 1)
	if _, _, status, err := buildWith(t, noCertificate, tokenBuildFlags{}); status != exitUnusable || err == nil || !strings.Contains(err.Error(), "no app certificate") {
		t.Errorf("no certificate: status %d, %v", status, err)
	}
}

func TestBuildOnlyWarnsOfLimits(t *testing.T) {
	appEnv(t)
	spec := `{"app_id":"` + testAppID + `","expire":0,"services":[{"name":"rtc","channel":"` + strings.Repeat("x", 64) + `","account":"a"}]}`
	out, warnings, status, err := buildWith(t, spec, tokenBuildFlags{})
	if err != nil || status != exitDone || !strings.HasPrefix(out, "007") || strings.Count(warnings, "warning: ") != 2 {
		t.Errorf("status %d, %v, %q", status, err, warnings)
	}
}

func TestBuildTakesTheCertificateFromFlagSpecOrEnvironment(t *testing.T) {
	dir := t.TempDir()
	plain := `{"app_id":"` + testAppID + `","expire":1,"services":[{"name":"fpa"}]}`
	withCertificate := strings.Replace(plain, "{", `{"app_certificate":"`+testAppCertificate+`",`, 1)
	for _, c := range []struct {
		name, spec, env, flag string
	}{
		{"environment", plain, testAppCertificate, ""},
		{"spec wins over environment", withCertificate, otherCertificate, ""},
		{"flag wins over spec", strings.Replace(withCertificate, testAppCertificate, otherCertificate, 1), otherCertificate, testAppCertificate},
		{"file", writeFile(t, dir, "spec.json", withCertificate), "", ""},
	} {
		setEnv(t, map[string]string{"AGORA_APP_CERTIFICATE": c.env})
		flags := tokenBuildFlags{appCertificate: c.flag}
		if c.name == "file" {
			flags.spec = c.spec
		}
		out, _, status, err := buildWith(t, c.spec, flags)
		if err != nil || status != exitDone {
			t.Errorf("%s: status %d, %v", c.name, status, err)
			continue
		}
		got, err := token.Parse(strings.TrimSpace(out))
		if err != nil || got.Verify(testAppCertificate) != nil {
			t.Errorf("%s: signed with another certificate, %v", c.name, err)
		}
	}
	setEnv(t, nil)
	for name, c := range map[string]struct {
		spec  string
		flags tokenBuildFlags
		want  string
	}{
		"no certificate":  {plain, tokenBuildFlags{}, "no app certificate"},
		"bad flag":        {plain, tokenBuildFlags{appCertificate: "canary"}, "--app-certificate must be"},
		"no such file":    {plain, tokenBuildFlags{spec: filepath.Join(dir, "none")}, "--spec: open"},
		"a folder":        {plain, tokenBuildFlags{spec: dir}, "--spec: read"},
		"not JSON":        {"canary", tokenBuildFlags{}, "not valid JSON"},
		"unknown version": {`{"version":"005"}`, tokenBuildFlags{}, "unsupported token version"},
		"too large":       {strings.Repeat(" ", token.MaxSpec) + plain, tokenBuildFlags{}, "larger than"},
		"006 not whole":   {`{"version":"006"}`, tokenBuildFlags{}, "is missing"},
	} {
		out, _, status, err := buildWith(t, c.spec, c.flags)
		if status != exitUnusable || err == nil || !strings.Contains(err.Error(), c.want) || out != "" || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: status %d, %v", name, status, err)
		}
	}
	if _, err := (&tokenBuildFlags{}).run(nil, nil, nil); err == nil || !strings.Contains(err.Error(), "which spec?") {
		t.Errorf("no --spec: %v", err)
	}
}

func TestTokenCommandHasEveryKind(t *testing.T) {
	cmd := tokenCommand()
	for _, name := range strings.Fields("convoai rtc rtm chat-user chat-app education-room-user education-user education-app fpa rtc-006 rtm-006 dynamic-key-1 dynamic-key-2 dynamic-key-3 dynamic-key-4 dynamic-key-5 signaling build") {
		found, _, err := cmd.Find([]string{name})
		if err != nil || found == cmd || found.Name() != name {
			t.Errorf("no %s", name)
		}
	}
	appEnv(t)
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"chat-app", "--expire", "1h"})
	if err := cmd.Execute(); err != nil || !strings.HasPrefix(out.String(), "007") {
		t.Errorf("%q, %v", out.String(), err)
	}
	for _, args := range [][]string{{}, {"canary-token"}} {
		cmd := tokenCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		if err := cmd.Execute(); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
