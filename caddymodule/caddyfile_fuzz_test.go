package caddymodule

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

var secretSubdirectives = []string{"app_certificate", "app_certificate_secondary", "customer_secret", "auth_token", "caller_token"}

// literalSecret stands in the place of a secret.
const literalSecret = "canary-5CFd2fd1755d40ecb72977518be15d3b"

var namesLine = regexp.MustCompile(`Caddyfile:\d+|line #\d+`)

// Whatever stands in the directive or in the global option, parsing it does not
// panic, an error names a line of the Caddyfile, and it never repeats a secret
// that is written there.
func FuzzCaddyfile(f *testing.F) {
	for i := range secretSubdirectives {
		f.Add(i%2 == 0, uint8(i), "area us\napp_id "+vectorAppID, "", "max_body 1KiB")
		f.Add(i%2 == 0, uint8(i), "", " surplus", "upstream http://127.0.0.1:1 https://x.test")
		f.Add(i%2 == 0, uint8(i), "expires_in 1h\nscope app", " {\n}", "app "+vectorAppID+" {\napp_certificate x\n}")
	}
	f.Add(true, uint8(0), "area mars", "\"", "")
	f.Add(false, uint8(1), "allow_from 10.0.0.0/8", "`", "}")
	f.Add(true, uint8(2), "transport http", "\\", "header_up Authorization x")
	f.Add(false, uint8(3), "customer_id x\nfailover_budget 10s", " <<X", "dial_timeout 1d")
	f.Fuzz(func(t *testing.T, inGlobal bool, which uint8, before, suffix, after string) {
		// Quoting and the like before the secret would make it part of something
		// else, which an error may name; imports would read files.
		if strings.ContainsAny(before, "\"`\\<#{}") || strings.Contains(before+suffix+after, "import") {
			t.Skip()
		}
		block := "convoai {\n" + before + "\n" + secretSubdirectives[int(which)%len(secretSubdirectives)] + " " + literalSecret + suffix + "\n" + after + "\n}\n"
		text := "http://:80 {\n" + block + "}\n"
		if inGlobal {
			text = "{\n" + block + "}\nhttp://:80 {\nconvoai\n}\n"
		}
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
		if err == nil {
			return
		}
		if !namesLine.MatchString(err.Error()) {
			t.Errorf("the error names no line: %s", strings.ReplaceAll(err.Error(), literalSecret, "[secret]"))
		}
		if strings.Contains(err.Error(), literalSecret) {
			t.Errorf("the error repeats the secret: %s", strings.ReplaceAll(err.Error(), literalSecret, "[secret]"))
		}
	})
}
