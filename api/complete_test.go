package api_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/api"
)

// completeBody completes body with the app "APP" and tokens that say what they
// are for: "T(channel,account)".
func completeBody(op *api.Operation, body string) (string, error) {
	b, err := api.ParseBody(op, []byte(body))
	if err != nil {
		return "", err
	}
	out, err := b.Complete("APP", func(channel, account string) (string, error) {
		return "T(" + channel + "," + account + ")", nil
	})
	return string(out), err
}

func TestComplete(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"token absent", `{"properties":{"channel":"c","agent_rtc_uid":"1"}}`, `{"properties":{"channel":"c","agent_rtc_uid":"1","token":"T(c,1)"}}`},
		{"token null", `{"properties":{"token":null,"channel":"c","agent_rtc_uid":"1"}}`, `{"properties":{"token":"T(c,1)","channel":"c","agent_rtc_uid":"1"}}`},
		{"token empty", `{"properties":{"channel":"c","token" : "" ,"agent_rtc_uid":"1"}}`, `{"properties":{"channel":"c","token" : "T(c,1)" ,"agent_rtc_uid":"1"}}`},
		{"token given", `{"properties":{"channel":"c","token":"given"}}`, ""},
		{"token of white space", `{"properties":{"channel":"c","token":" "}}`, ""},
		{"token false", `{"properties":{"channel":"c","token":false}}`, ""},
		{"token zero", `{"properties":{"channel":"c","token":0}}`, ""},
		{"token object", `{"properties":{"channel":"c","token":{}}}`, ""},
		{"token list", `{"properties":{"channel":"c","token":[]}}`, ""},
		{"token elsewhere", `{"token":"x","properties":{"channel":"c","llm":{"token":"x"}}}`, `{"token":"x","properties":{"channel":"c","llm":{"token":"x"},"token":"T(c,0)"}}`},
		{"token under another case", `{"properties":{"Token":"x","channel":"c"}}`, `{"properties":{"Token":"x","channel":"c","token":"T(c,0)"}}`},
		{"token under an escaped name", `{"properties":{"tok\u0065n":"","channel":"c"}}`, `{"properties":{"tok\u0065n":"T(c,0)","channel":"c"}}`},
		{"uid absent", `{"properties":{"channel":"c"}}`, `{"properties":{"channel":"c","token":"T(c,0)"}}`},
		{"uid zero", `{"properties":{"channel":"c","agent_rtc_uid":"0"}}`, `{"properties":{"channel":"c","agent_rtc_uid":"0","token":"T(c,0)"}}`},
		{"uid number", `{"properties":{"channel":"c","agent_rtc_uid":7}}`, `{"properties":{"channel":"c","agent_rtc_uid":7,"token":"T(c,7)"}}`},
		{"uid string", `{"properties":{"channel":"c","agent_rtc_uid":"agent a","enable_string_uid":true}}`, `{"properties":{"channel":"c","agent_rtc_uid":"agent a","enable_string_uid":true,"token":"T(c,agent a)"}}`},

		{"layout stays", " {\r\n\t\"properties\" : {\n  \"channel\"\t:\"c\"\n  }\n , \"x\":[ 1.0 ,1e+2,-0, 12345678901234567890 ] }\n", " {\r\n\t\"properties\" : {\n  \"channel\"\t:\"c\",\"token\":\"T(c,0)\"\n  }\n , \"x\":[ 1.0 ,1e+2,-0, 12345678901234567890 ] }\n"},
		{"spelling stays", `{"n":"\u00e4ä\/\ud83d\ude00","properties":{"channel":"\u0063","x":"ü"}}`, `{"n":"\u00e4ä\/\ud83d\ude00","properties":{"channel":"\u0063","x":"ü","token":"T(c,0)"}}`},
		{"duplicates stay", `{"a":1,"a":2,"properties":{"x":1,"channel":"c","x":1}}`, `{"a":1,"a":2,"properties":{"x":1,"channel":"c","x":1,"token":"T(c,0)"}}`},
		{"last token is given", `{"properties":{"token":"","channel":"c","token":"given"}}`, ""},
		{"last token is empty", `{"properties":{"token":"given","channel":"c","token":""}}`, `{"properties":{"token":"given","channel":"c","token":"T(c,0)"}}`},
		{"last channel counts", `{"properties":{"channel":"a","channel":"b"}}`, `{"properties":{"channel":"a","channel":"b","token":"T(b,0)"}}`},
		{"last properties count", `{"properties":{"channel":"a","token":"x"},"properties":{"channel":"b"}}`, `{"properties":{"channel":"a","token":"x"},"properties":{"channel":"b","token":"T(b,0)"}}`},
		{"sip of a join", `{"sip":{},"properties":{"channel":"c","token":"x"}}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" {
				test.want = test.body
			}
			got, err := completeBody(api.Join, test.body)
			if err != nil || got != test.want {
				t.Errorf("got %s, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

// Source of the expectations: enrichAvatarParams in AgoraIO/agora-agents-go.
func TestCompleteAvatar(t *testing.T) {
	const (
		token   = `"agora_token":"T(c,200)"`
		app     = `"agora_appid":"APP"`
		channel = `"agora_channel":"\u0063"` // as it is written in properties
	)
	tests := []struct{ name, avatar, want string }{
		{"heygen", `{"enable":true,"vendor":"heygen","params":{"agora_uid":"200"}}`, `{"enable":true,"vendor":"heygen","params":{"agora_uid":"200",` + token + `}}`},
		{"heygen without uid", `{"enable":true,"vendor":"heygen","params":{"quality":"high"}}`, ""},
		{"heygen with an empty uid", `{"vendor":"heygen","params":{"agora_uid":""}}`, ""},
		{"heygen with a token", `{"vendor":"heygen","params":{"agora_uid":"200","agora_token":"given"}}`, ""},
		{"heygen with an empty token", `{"vendor":"heygen","params":{"agora_token":"","agora_uid":"200"}}`, `{"vendor":"heygen","params":{` + token + `,"agora_uid":"200"}}`},
		{"heygen with a null token", `{"vendor":"heygen","params":{"agora_token":null,"agora_uid":"200"}}`, `{"vendor":"heygen","params":{` + token + `,"agora_uid":"200"}}`},
		{"heygen without params", `{"vendor":"heygen"}`, ""},
		{"liveavatar", `{"enable":true,"vendor":"liveavatar","params":{"agora_uid":"200"}}`, `{"enable":true,"vendor":"liveavatar","params":{"agora_uid":"200",` + token + `}}`},
		{"liveavatar without uid", `{"enable":true,"vendor":"liveavatar","params":{}}`, ""},
		{"generic", `{"vendor":"generic","params":{"agora_uid":"200"}}`, `{"vendor":"generic","params":{"agora_uid":"200",` + app + `,` + channel + `,` + token + `}}`},
		{"generic without uid", `{"vendor":"generic","params":{"x":1}}`, `{"vendor":"generic","params":{"x":1,` + app + `,` + channel + `}}`},
		{"generic with empty params", `{"vendor":"generic","params":{ }}`, `{"vendor":"generic","params":{` + app + `,` + channel + ` }}`},
		{"generic without params", `{"vendor":"generic"}`, `{"vendor":"generic","params":{` + app + `,` + channel + `}}`},
		{"generic with null params", `{"params":null,"vendor":"generic"}`, `{"params":{` + app + `,` + channel + `},"vendor":"generic"}`},
		{"generic with params that are none", `{"params":[],"vendor":"generic"}`, ""},
		{"generic with all given", `{"vendor":"generic","params":{"agora_uid":"200","agora_appid":"a","agora_channel":"b","agora_token":"t"}}`, ""},
		{"generic with all empty", `{"vendor":"generic","params":{"agora_token":"","agora_channel":null,"agora_appid":"","agora_uid":"200"}}`, `{"vendor":"generic","params":{` + token + `,` + channel + `,` + app + `,"agora_uid":"200"}}`},
		{"generic with some given", `{"vendor":"generic","params":{"agora_channel":"b","agora_uid":"200"}}`, `{"vendor":"generic","params":{"agora_channel":"b","agora_uid":"200",` + app + `,` + token + `}}`},
		{"akool", `{"enable":true,"vendor":"akool","params":{"agora_uid":"200"}}`, ""},
		{"akool without uid", `{"enable":true,"vendor":"akool","params":{}}`, ""},
		{"anam", `{"enable":true,"vendor":"anam","params":{"agora_uid":"200"}}`, ""},
		{"a vendor by another case", `{"enable":true,"vendor":"HeyGen","params":{"agora_uid":"200"}}`, ""},
		{"no vendor", `{"enable":true,"params":{"agora_uid":"200"}}`, ""},
		{"disabled", `{"enable":false,"vendor":"generic","params":{"agora_uid":"200"}}`, ""},
		{"enable null", `{"enable":null,"vendor":"heygen","params":{"agora_uid":"200"}}`, `{"enable":null,"vendor":"heygen","params":{"agora_uid":"200",` + token + `}}`},
		{"enabled and then disabled", `{"enable":true,"vendor":"heygen","enable":false,"params":{"agora_uid":"200"}}`, ""},
		{"uid number", `{"vendor":"heygen","params":{"agora_uid":200}}`, `{"vendor":"heygen","params":{"agora_uid":200,` + token + `}}`},
		{"uid with zeros in front", `{"vendor":"heygen","params":{"agora_uid":"00200"}}`, `{"vendor":"heygen","params":{"agora_uid":"00200",` + token + `}}`},
		{"uid string", `{"vendor":"heygen","params":{"agora_uid":"avatar"}}`, ""},
		{"uid negative", `{"vendor":"heygen","params":{"agora_uid":-200}}`, ""},
		{"uid fraction", `{"vendor":"heygen","params":{"agora_uid":200.0}}`, ""},
		{"uid beyond 32 bits", `{"vendor":"heygen","params":{"agora_uid":"4294967296"}}`, ""},
		{"uid boolean", `{"vendor":"heygen","params":{"agora_uid":true}}`, ""},
		{"avatar null", `null`, ""},
		{"avatar list", `[{"vendor":"generic"}]`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" {
				test.want = test.avatar
			}
			around := func(avatar string) string {
				return `{"properties":{"channel":"\u0063","token":"x","avatar":` + avatar + `,"z":0}}`
			}
			for _, op := range []*api.Operation{api.Join, api.Call} {
				got, err := completeBody(op, around(test.avatar))
				if err != nil || got != around(test.want) {
					t.Errorf("%s: got %s, %v\nwant %s", op, got, err, around(test.want))
				}
			}
		})
	}
}

func TestCompleteCall(t *testing.T) {
	tests := []struct {
		name, sip, want string
		err             error
	}{
		{"token absent", `{"rtc_uid":"100"}`, `{"rtc_uid":"100","rtc_token":"T(c,100)"}`, nil},
		{"token null", `{"rtc_token":null,"rtc_uid":"100"}`, `{"rtc_token":"T(c,100)","rtc_uid":"100"}`, nil},
		{"token empty", `{"rtc_token":"","rtc_uid":"100"}`, `{"rtc_token":"T(c,100)","rtc_uid":"100"}`, nil},
		{"token given", `{"rtc_token":"given","rtc_uid":{}}`, "", nil},
		{"uid number", `{"rtc_uid":100}`, `{"rtc_uid":100,"rtc_token":"T(c,100)"}`, nil},
		{"uid string", `{"rtc_uid":"gateway"}`, `{"rtc_uid":"gateway","rtc_token":"T(c,gateway)"}`, nil},
		{"uid absent", `{ }`, `{"rtc_token":"T(c,0)" }`, nil},
		{"uid boolean", `{"rtc_uid":true}`, "", api.ErrGatewayAccount},
		{"uid too long", `{"rtc_uid":"` + strings.Repeat("1", 256) + `"}`, "", api.ErrGatewayAccount},
		{"sip null", `null`, "", nil},
		{"sip list", `[]`, "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" {
				test.want = test.sip
			}
			for _, order := range []func(sip, token string) string{
				func(sip, token string) string {
					return `{"sip":` + sip + `,"properties":{"channel":"c","agent_rtc_uid":"1"` + token + `}}`
				},
				func(sip, token string) string {
					return `{"properties":{"channel":"c","agent_rtc_uid":"1"` + token + `},"sip":` + sip + `}`
				},
			} {
				got, err := completeBody(api.Call, order(test.sip, ""))
				if !errors.Is(err, test.err) {
					t.Fatalf("error %v, want %v", err, test.err)
				}
				if want := order(test.want, `,"token":"T(c,1)"`); err == nil && got != want {
					t.Errorf("got %s\nwant %s", got, want)
				}
			}
		})
	}
}

// What a session cannot be read from, cannot be completed.
func TestCompleteRefusesWhatParseSessionRefuses(t *testing.T) {
	deep := `{"properties":{"channel":"c","x":` + strings.Repeat("[", 511) + strings.Repeat("]", 511) + `}}`
	for _, body := range []string{
		``, `null`, `[]`, `{`, `{}`, `{"properties":[]}`, `{"properties":{}}`, `{"properties":{"channel":""}}`,
		`{"properties":{"channel":"` + strings.Repeat("c", 64) + `"}}`, `{"properties":{"channel":"c","agent_rtc_uid":[]}}`,
		`{"properties":{"channel":"c","token":"x"}}x`, deep,
	} {
		_, want := api.ParseSession([]byte(body))
		if _, err := api.ParseBody(api.Join, []byte(body)); err == nil || !errors.Is(err, want) {
			t.Errorf("%.80s: %v, want %v", body, err, want)
		}
	}
}

func TestCompleteReturnsTheBodyItselfWhereNothingIsMissing(t *testing.T) {
	body := []byte(`{"properties":{"channel":"c","token":"given"}}`)
	b, err := api.ParseBody(api.Join, body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.Complete("APP", func(string, string) (string, error) {
		t.Error("a token was made that nobody needs")
		return "", nil
	})
	if err != nil || &out[0] != &body[0] {
		t.Errorf("the body was copied: %v", err)
	}
}

func TestCompletePassesTheErrorOfMintOn(t *testing.T) {
	b, err := api.ParseBody(api.Join, []byte(`{"properties":{"channel":"c"}}`))
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no certificate")
	if out, err := b.Complete("APP", func(string, string) (string, error) { return "", failure }); !errors.Is(err, failure) || out != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

// With room behind it, a body is completed where it stands; without, in a copy.
func TestCompleteUsesTheRoomBehindTheBody(t *testing.T) {
	const text = `{"properties":{"channel":"c","token":null,"x":"y"},"z":"tail"}`
	const want = `{"properties":{"channel":"c","token":"T","x":"y"},"z":"tail"}`
	for _, room := range []int{0, 1, api.Room} {
		body := append(make([]byte, 0, len(text)+room), text...)
		b, err := api.ParseBody(api.Join, body)
		if err != nil {
			t.Fatal(err)
		}
		mint := func(string, string) (string, error) { return strings.Repeat("T", 223), nil }
		out, err := b.Complete("APP", mint)
		if err != nil || string(out) != strings.Replace(want, "T", strings.Repeat("T", 223), 1) {
			t.Fatalf("room for %d: got %s, %v", room, out, err)
		}
		if inPlace := &out[0] == &body[0]; inPlace != (room == api.Room) {
			t.Errorf("room for %d: filled where it stands: %v", room, inPlace)
		}
	}
}

// What a session says must stay true when the bytes that it came from change.
func TestSessionIsItsOwn(t *testing.T) {
	body := []byte(`{"properties":{"channel":"room-1","agent_rtc_uid":"1001"}}`)
	b, err := api.ParseBody(api.Join, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = '#'
	}
	if b.Session != (api.Session{Channel: "room-1", Account: "1001"}) {
		t.Errorf("the session became %+v", b.Session)
	}
}

// The names that mint has had may be kept, to mint for again.
func TestMintMayKeepWhatItGets(t *testing.T) {
	body := []byte(`{"sip":{"rtc_uid":"2002"},"properties":{"channel":"room-1","agent_rtc_uid":"1001",` +
		`"avatar":{"vendor":"generic","params":{"agora_uid":"3003"}}}}`)
	b, err := api.ParseBody(api.Call, body)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	if _, err := b.Complete("APP", func(channel, account string) (string, error) {
		kept = append(kept, channel, account)
		return "T", nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = '#'
	}
	if got := strings.Join(kept, " "); got != "room-1 1001 room-1 3003 room-1 2002" {
		t.Errorf("it has %q", got)
	}
}

func BenchmarkComplete(b *testing.B) {
	full, err := os.ReadFile(filepath.Join("testdata", "bodies", "full.json"))
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("007", 80)
	for _, test := range []struct {
		name string
		body []byte
	}{
		{"token missing", full},
		{"token given", bytes.Replace(full, []byte(`"token": ""`), []byte(`"token": "given"`), 1)},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.SetBytes(int64(len(test.body)))
			b.ReportAllocs()
			room := make([]byte, 0, len(test.body)+api.Room)
			for b.Loop() {
				body, err := api.ParseBody(api.Join, append(room[:0], test.body...))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := body.Complete("APP", func(string, string) (string, error) { return text, nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
