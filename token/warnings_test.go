package token

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWarningsNameWhatIsUnusual(t *testing.T) {
	rtc := func(channel, account string, p ...Privilege) []Service {
		return []Service{{Type: ServiceRTC, Channel: channel, Account: account, Privileges: p}}
	}
	for name, c := range map[string]struct {
		token Token
		want  []string // a part of each warning, in order
	}{
		"usual":             {Token{Expire: 60, Services: rtc("a-Z 9!#$%&()+-:;<=.>?@[]^_{}|~,", "1", Privilege{1, 60})}, nil},
		"lifetime 0":        {Token{Services: rtc("c", "1")}, []string{"lifetime is 0"}},
		"lifetime of a day": {Token{Expire: MaxExpire, Services: rtc("c", "1")}, nil},
		"lifetime over":     {Token{Expire: MaxExpire + 1, Services: rtc("c", "1")}, []string{"over 24 hours"}},
		"no service":        {Token{Expire: 60}, []string{"no service"}},
		"privilege 0":       {Token{Expire: 60, Services: rtc("c", "1", Privilege{2, 0})}, []string{`lifetime 0 for publish audio;`}},
		"outlives":          {Token{Expire: 60, Services: rtc("c", "1", Privilege{1, 61})}, []string{`longer than the token's lifetime: join channel`}},
		"fpa":               {Token{Expire: 60, Services: []Service{{Type: ServiceFPA, Privileges: Privileges{{1, 0}}}}}, nil},
		"channel of 63":     {Token{Expire: 60, Services: rtc(strings.Repeat("c", 63), "1")}, nil},
		"channel of 64":     {Token{Expire: 60, Services: rtc(strings.Repeat("c", 64), "1")}, []string{"64 bytes"}},
		"blank channel":     {Token{Expire: 60, Services: rtc("", "1")}, []string{"channel name is a wildcard"}},
		"channel wildcard":  {Token{Expire: 60, Services: rtc("a*", "1")}, []string{"channel name is a wildcard"}},
		"odd channel":       {Token{Expire: 60, Services: rtc("日本", "1")}, []string{"channel name has characters outside"}},
		"account 0":         {Token{Expire: 60, Services: rtc("c", "0")}, []string{`the text "0"`}},
		"uid 0":             {Token{Expire: 60, Services: rtc("c", "")}, []string{"is the uid 0"}},
		"account wildcard":  {Token{Expire: 60, Services: rtc("c", "*")}, []string{"account is a wildcard"}},
		"account of 255":    {Token{Expire: 60, Services: rtc("c", strings.Repeat("a", 255))}, nil},
		"account of 256":    {Token{Expire: 60, Services: rtc("c", strings.Repeat("a", 256))}, []string{"255 bytes"}},
		"odd account":       {Token{Expire: 60, Services: rtc("c", "é")}, []string{"outside ASCII"}},
		"rtm of 65":         {Token{Expire: 60, Services: []Service{{Type: ServiceRTM, Account: strings.Repeat("a", 65)}}}, []string{"64 bytes"}},
		"rtm 0":             {Token{Expire: 60, Services: []Service{{Type: ServiceRTM, Account: "0"}}}, nil},
		"room":              {Token{Expire: 60, Services: []Service{{Type: ServiceEducation, Room: strings.Repeat("r", 256)}}}, []string{"room has more"}},
		"unknown":           {Token{Expire: 60, Unparsed: Unparsed{Services: 2, Data: []byte{1}}}, []string{"2 of its services"}},
		"behind":            {Token{Expire: 60, Services: rtc("c", "1"), Unparsed: Unparsed{Data: []byte{1}}}, []string{"1 bytes follow"}},
		"unsorted":          {Token{Expire: 60, Services: rtc("c", "1"), Unsorted: true}, []string{"ascending order"}},
		"several":           {Token{Services: rtc("*", "0", Privilege{1, 0})}, []string{"lifetime is 0", "lifetime 0 for", "wildcard", `"0"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.token.Warnings()
			if len(got) != len(c.want) {
				t.Fatalf("%q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("%q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}

func TestConvoAICallsNeedRTCAndTheRightTime(t *testing.T) {
	tok := &Token{IssuedAt: 100, Expire: 10, Services: []Service{{Type: ServiceRTC}}}
	for _, c := range []struct {
		at   int64
		want error
	}{{100, nil}, {109, nil}, {99, ErrNotYetValid}, {110, ErrExpired}} {
		if err := tok.CheckConvoAI(time.Unix(c.at, 0)); !errors.Is(err, c.want) {
			t.Errorf("at %d: %v", c.at, err)
		}
	}
	tok.Services[0].Type = ServiceRTM
	if err := tok.CheckConvoAI(time.Unix(100, 0)); !errors.Is(err, ErrNoRTC) {
		t.Errorf("without RTC: %v", err)
	}
}
