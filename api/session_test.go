package api_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/token"
)

func TestParseSession(t *testing.T) {
	nested := func(depth int) string {
		// The root and properties are two levels.
		return `{"properties":{"channel":"c","x":` + strings.Repeat("[", depth-2) + strings.Repeat("]", depth-2) + `}}`
	}
	long := strings.Repeat("c", 63)
	account := strings.Repeat("a", 255)
	tests := []struct {
		name, body string
		want       api.Session
		err        error
	}{
		{"channel and uid", `{"name":"n","properties":{"channel":"room-1","agent_rtc_uid":"1001"}}`, api.Session{Channel: "room-1", Account: "1001"}, nil},
		{"uid absent", `{"properties":{"channel":"c"}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"uid null", `{"properties":{"channel":"c","agent_rtc_uid":null}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"uid empty", `{"properties":{"channel":"c","agent_rtc_uid":""}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"uid zero", `{"properties":{"channel":"c","agent_rtc_uid":"0"}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"string uid", `{"properties":{"channel":"c","agent_rtc_uid":"agent ä"}}`, api.Session{Channel: "c", Account: "agent ä"}, nil},
		{"number uid", `{"properties":{"channel":"c","agent_rtc_uid":1001}}`, api.Session{Channel: "c", Account: "1001"}, nil},
		{"number uid beyond float precision", `{"properties":{"channel":"c","agent_rtc_uid":9007199254740993}}`, api.Session{Channel: "c", Account: "9007199254740993"}, nil},
		{"negative uid", `{"properties":{"channel":"c","agent_rtc_uid":-1}}`, api.Session{}, api.ErrAccount},
		{"fraction uid", `{"properties":{"channel":"c","agent_rtc_uid":1.5}}`, api.Session{}, api.ErrAccount},
		{"exponent uid", `{"properties":{"channel":"c","agent_rtc_uid":1e3}}`, api.Session{}, api.ErrAccount},
		{"boolean uid", `{"properties":{"channel":"c","agent_rtc_uid":true}}`, api.Session{}, api.ErrAccount},
		{"object uid", `{"properties":{"channel":"c","agent_rtc_uid":{}}}`, api.Session{}, api.ErrAccount},
		{"longest uid", `{"properties":{"channel":"c","agent_rtc_uid":"` + account + `"}}`, api.Session{Channel: "c", Account: account}, nil},
		{"uid too long", `{"properties":{"channel":"c","agent_rtc_uid":"a` + account + `"}}`, api.Session{}, api.ErrAccount},
		{"number uid too long", `{"properties":{"channel":"c","agent_rtc_uid":1` + strings.Repeat("0", 255) + `}}`, api.Session{}, api.ErrAccount},

		{"longest channel", `{"properties":{"channel":"` + long + `"}}`, api.Session{Channel: long, Account: "0"}, nil},
		{"channel too long", `{"properties":{"channel":"c` + long + `"}}`, api.Session{}, api.ErrChannelTooLong},
		{"channel too long in bytes", `{"properties":{"channel":"` + strings.Repeat("ä", 32) + `"}}`, api.Session{}, api.ErrChannelTooLong},
		{"channel escaped", `{"properties":{"channel":"\u0072oo\"m\\"}}`, api.Session{Channel: `roo"m\`, Account: "0"}, nil},
		{"channel with surrogate pair", `{"properties":{"channel":"\ud83d\ude00"}}`, api.Session{Channel: "😀", Account: "0"}, nil},
		{"channel with a control character", `{"properties":{"channel":"c\u0000x"}}`, api.Session{}, api.ErrChannelText},
		{"channel with half a surrogate pair", `{"properties":{"channel":"c\ud800"}}`, api.Session{}, api.ErrChannelText},
		{"channel that is not UTF-8", "{\"properties\":{\"channel\":\"c\xff\"}}", api.Session{}, api.ErrNotJSON},
		{"account with half a surrogate pair", `{"properties":{"channel":"c","agent_rtc_uid":"\udc00"}}`, api.Session{}, api.ErrAccount},
		{"channel absent", `{"properties":{}}`, api.Session{}, api.ErrNoChannel},
		{"channel empty", `{"properties":{"channel":""}}`, api.Session{}, api.ErrNoChannel},
		{"channel null", `{"properties":{"channel":null}}`, api.Session{}, api.ErrNoChannel},
		{"channel number", `{"properties":{"channel":7}}`, api.Session{}, api.ErrNoChannel},
		{"channel list", `{"properties":{"channel":["c"]}}`, api.Session{}, api.ErrNoChannel},
		{"channel elsewhere", `{"channel":"c","x":{"properties":{"channel":"c"}}}`, api.Session{}, api.ErrNoChannel},
		{"channel by a path", `{"properties.channel":"c"}`, api.Session{}, api.ErrNoChannel},
		{"properties list", `{"properties":[{"channel":"c"}]}`, api.Session{}, api.ErrNoChannel},
		{"properties absent", `{}`, api.Session{}, api.ErrNoChannel},

		{"names match exactly", `{"properties":{"channel":"c","Channel":"b"},"Properties":{"channel":"a"}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"names may be escaped", `{"propertie\u0073":{"\u0063hannel":"c"}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"last channel counts", `{"properties":{"channel":"a","channel":"b"}}`, api.Session{Channel: "b", Account: "0"}, nil},
		{"last channel counts though it is wrong", `{"properties":{"channel":"a","channel":null}}`, api.Session{}, api.ErrNoChannel},
		{"last channel counts though escaped", `{"properties":{"channel":"a","ch\u0061nnel":"b"}}`, api.Session{Channel: "b", Account: "0"}, nil},
		{"last uid counts", `{"properties":{"agent_rtc_uid":"1","channel":"a","agent_rtc_uid":"2"}}`, api.Session{Channel: "a", Account: "2"}, nil},
		{"last properties count, unmerged", `{"properties":{"channel":"a","agent_rtc_uid":"1"},"properties":{"channel":"b"}}`, api.Session{Channel: "b", Account: "0"}, nil},

		{"white space", " \n\t{ \"properties\" : { \"channel\" : \"c\" } } \r\n", api.Session{Channel: "c", Account: "0"}, nil},
		{"brackets in strings do not nest", `{"x":"\"` + strings.Repeat("[", 600) + `","properties":{"channel":"c"}}`, api.Session{Channel: "c", Account: "0"}, nil},
		{"deepest", nested(512), api.Session{Channel: "c", Account: "0"}, nil},
		{"too deep", nested(513), api.Session{}, api.ErrNotJSON},
		{"far too deep", strings.Repeat(`{"a":`, 1_000_000), api.Session{}, api.ErrNotJSON},

		{"empty", ``, api.Session{}, api.ErrNotJSON},
		{"list", `[{"properties":{"channel":"c"}}]`, api.Session{}, api.ErrNotJSON},
		{"string", `"properties"`, api.Session{}, api.ErrNotJSON},
		{"null", `null`, api.Session{}, api.ErrNotJSON},
		{"cut short", `{"properties":{"channel":"c"}`, api.Session{}, api.ErrNotJSON},
		{"two documents", `{"properties":{"channel":"c"}}{}`, api.Session{}, api.ErrNotJSON},
		{"trailing comma", `{"properties":{"channel":"c",}}`, api.Session{}, api.ErrNotJSON},
		{"single quotes", `{'properties':{'channel':'c'}}`, api.Session{}, api.ErrNotJSON},
		{"comment", `{"properties":{"channel":"c"}} // x`, api.Session{}, api.ErrNotJSON},
		{"byte order mark", "\ufeff" + `{"properties":{"channel":"c"}}`, api.Session{}, api.ErrNotJSON},
		{"control character in a string", "{\"properties\":{\"channel\":\"c\n\"}}", api.Session{}, api.ErrNotJSON},
		{"form", `name=n&channel=c`, api.Session{}, api.ErrNotJSON},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := api.ParseSession([]byte(test.body))
			if !errors.Is(err, test.err) || got != test.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestSessionErrorsDoNotShowTheBody(t *testing.T) {
	const canary = "canary-7d1f"
	for _, body := range []string{
		canary, `{"properties":{"channel":["` + canary + `"]}}`,
		`{"properties":{"channel":"` + canary + strings.Repeat("x", 64) + `"}}`,
		`{"properties":{"channel":"c","agent_rtc_uid":["` + canary + `"]}}`,
	} {
		_, err := api.ParseSession([]byte(body))
		if err == nil {
			t.Fatal("no error")
		}
		if strings.Contains(err.Error(), canary) {
			t.Error("the error shows what was in the body")
		}
	}
}

// FuzzParseSession checks ParseSession against encoding/json, which also lets the
// last of several members count.
func FuzzParseSession(f *testing.F) {
	files, err := filepath.Glob("testdata/bodies/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no bodies in testdata: ", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := api.ParseSession(body)
		if err != nil {
			return
		}
		if s.Channel == "" || len(s.Channel) > token.MaxChannel || s.Account == "" || len(s.Account) > token.MaxAccount {
			t.Fatalf("accepted a session outside the limits: %+v", s)
		}
		var root, properties map[string]json.RawMessage
		if err := json.Unmarshal(body, &root); err != nil {
			t.Fatalf("accepted what is not JSON: %v", err)
		}
		if err := json.Unmarshal(root["properties"], &properties); err != nil {
			t.Fatalf("accepted without properties: %v", err)
		}
		var channel string
		if err := json.Unmarshal(properties["channel"], &channel); err != nil {
			t.Fatalf("accepted without channel: %v", err)
		}
		// encoding/json puts U+FFFD in the place of bytes that are not UTF-8; gjson
		// keeps them.
		if !strings.Contains(channel, "\ufffd") && channel != s.Channel {
			t.Errorf("channel is %q, by encoding/json %q", s.Channel, channel)
		}
	})
}

func BenchmarkParseSession(b *testing.B) {
	body, err := os.ReadFile("testdata/bodies/full.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := api.ParseSession(body); err != nil {
			b.Fatal(err)
		}
	}
}
