package tokenserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// rulesOf returns the rules of a directive.
func rulesOf(t testing.TB, directive string) []*rule {
	t.Helper()
	var h Handler
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("convoai_token_server {\n" + directive + "\n}")); err != nil {
		t.Fatal(err)
	}
	var list []*rule
	for i := range h.Allow {
		r, err := h.Allow[i].compile(i + 1)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// rtcFor is the commonest wish.
func rtcFor(channel, account string, r role) wish {
	return wish{kinds: []kind{kindRTC}, channel: textName(channel), account: textName(account), role: r}
}

// "A signed-in user may join room-* as publisher only with the account equal to
// their user ID", and variations.
func TestWhatARuleGrants(t *testing.T) {
	const own = "channels room-*\naccounts {user}\nroles publisher"
	and := func(kinds ...kind) func(*wish) { return func(w *wish) { w.kinds = kinds } }
	account := func(n name) func(*wish) { return func(w *wish) { w.account = n } }
	for _, test := range []struct {
		name, rule, user string
		wish             wish
		change           func(*wish)
		refusedBy        string // the lines; "" is granted
	}{
		{"own account", own, "42", rtcFor("room-7", "42", rolePublisher), nil, ""},
		{"own account as a number", own, "42", rtcFor("room-7", "", rolePublisher), account(uidName(42)), ""},
		{"another account", own, "42", rtcFor("room-7", "43", rolePublisher), nil, "accounts"},
		{"another account as a number", own, "42", rtcFor("room-7", "", rolePublisher), account(uidName(43)), "accounts"},
		{"another channel", own, "42", rtcFor("lobby", "42", rolePublisher), nil, "channels"},
		{"role that is not named", own, "42", rtcFor("room-7", "42", roleSubscriber), nil, "roles"},
		{"nobody signed in", own, "", rtcFor("room-7", "42", rolePublisher), nil, "accounts"},
		{"nobody signed in, blank account", own, "", rtcFor("room-7", "", rolePublisher), nil, "accounts wildcards"},
		{"number with zeros before it", own, "7", rtcFor("room-7", "007", rolePublisher), nil, "accounts"},
		{"user with zeros before it", own, "007", rtcFor("room-7", "7", rolePublisher), nil, "accounts"},

		{"publisher where none is named", "channels *\naccounts *", "", rtcFor("c", "a", rolePublisher), nil, "roles"},
		{"subscriber by default", "channels *\naccounts *", "", rtcFor("c", "a", roleSubscriber), nil, ""},
		{"both roles", "channels *\naccounts *\nroles publisher subscriber", "", rtcFor("c", "a", roleSubscriber), nil, ""},
		{"no channels", "accounts *", "", rtcFor("c", "a", roleSubscriber), nil, "channels"},
		{"no accounts", "channels *", "", rtcFor("c", "a", roleSubscriber), nil, "accounts"},
		{"nothing", "", "", rtcFor("c", "a", roleSubscriber), nil, "channels accounts"},

		{"a user of several", "users ann b*\nchannels *\naccounts *", "bob", rtcFor("c", "a", roleSubscriber), nil, ""},
		{"a user of none", "users ann b*\nchannels *\naccounts *", "eve", rtcFor("c", "a", roleSubscriber), nil, "users"},
		{"any user", "users *\nchannels *\naccounts *", "eve", rtcFor("c", "a", roleSubscriber), nil, ""},
		{"any user, but nobody", "users *\nchannels *\naccounts *", "", rtcFor("c", "a", roleSubscriber), nil, "users"},
		{"a user called *", "users ann\nchannels *\naccounts {user}", "*", rtcFor("c", "ann", roleSubscriber), nil, "users accounts"},

		{"wildcard channel", "channels *\naccounts *", "", rtcFor("*", "a", roleSubscriber), nil, "wildcards"},
		{"wildcard within a channel", "channels *\naccounts *", "", rtcFor("room-*", "a", roleSubscriber), nil, "wildcards"},
		{"blank channel", "channels *\naccounts *", "", rtcFor("", "a", roleSubscriber), nil, "wildcards"},
		{"channel of spaces", "channels *\naccounts *", "", rtcFor("  ", "a", roleSubscriber), nil, "wildcards"},
		{"wildcard account", "channels *\naccounts *", "", rtcFor("c", "1*a*2", roleSubscriber), nil, "wildcards"},
		{"blank account", "channels *\naccounts *", "", rtcFor("c", "", roleSubscriber), nil, "wildcards"},
		{"uid 0", "channels *\naccounts *", "", rtcFor("c", "", roleSubscriber), account(uidName(0)), "wildcards"},
		{"account 0", "channels *\naccounts *", "", rtcFor("c", "0", roleSubscriber), nil, "wildcards"},
		{"account 00", "channels *\naccounts *", "", rtcFor("c", "00", roleSubscriber), nil, "wildcards"},
		{"account 10", "channels *\naccounts *", "", rtcFor("c", "10", roleSubscriber), nil, ""},
		{"uid 0 by its form", "channels *\naccounts 0", "", rtcFor("c", "", roleSubscriber), account(uidName(0)), "wildcards"},
		{"wildcards on", "channels *\naccounts *\nwildcards on", "", rtcFor("*", "", roleSubscriber), nil, ""},
		{"wildcards on, uid 0", "channels *\naccounts 0\nwildcards on", "", rtcFor("", "", roleSubscriber), account(uidName(0)), ""},
		{"wildcards off", "channels *\naccounts *\nwildcards off", "", rtcFor("*", "a", roleSubscriber), nil, "wildcards"},
		{"wildcard wider than the pattern", "channels room-*\naccounts *\nwildcards on", "", rtcFor("*", "a", roleSubscriber), nil, "channels"},
		{"wildcard as wide as the pattern", "channels room-*\naccounts *\nwildcards on", "", rtcFor("room-*", "a", roleSubscriber), nil, ""},
		{"a user called * with wildcards on", "channels c\naccounts {user}\nwildcards on", "*", rtcFor("c", "*", roleSubscriber), nil, "accounts"},
		{"a user called * asks for another", "channels c\naccounts {user}\nwildcards on", "*", rtcFor("c", "ann", roleSubscriber), nil, "accounts"},
		{"a user called 0 with wildcards on", "channels c\naccounts {user}\nwildcards on", "0", rtcFor("c", "", roleSubscriber), account(uidName(0)), "accounts"},

		{"rtm where rtc is named", "channels *\naccounts *", "", rtcFor("c", "a", roleSubscriber), and(kindRTM), "kinds"},
		{"rtc and rtm where rtc is named", "channels *\naccounts *", "", rtcFor("c", "a", roleSubscriber), and(kindRTC, kindRTM), "kinds"},
		{"rtc and rtm where rtm is named", "channels *\naccounts *\nkinds rtm", "", rtcFor("c", "a", roleSubscriber), and(kindRTM, kindRTC), "kinds"},
		{"rtc and rtm where both are", "channels *\naccounts *\nkinds rtc rtm", "", rtcFor("c", "a", roleSubscriber), and(kindRTC, kindRTM), ""},
		{"convoai where rtc and rtm are named", "channels *\naccounts *\nkinds rtc rtm\nroles publisher", "", rtcFor("c", "a", rolePublisher), and(kindConvoAI), "kinds"},
		{"convoai", "channels *\naccounts *\nkinds convoai\nroles publisher", "", rtcFor("c", "a", roleSubscriber), and(kindConvoAI), ""},
		{"convoai for a subscriber", "channels *\naccounts *\nkinds convoai", "", rtcFor("c", "a", roleSubscriber), and(kindConvoAI), "roles"},
		{"rtc where convoai is named", "channels *\naccounts *\nkinds convoai", "", rtcFor("c", "a", roleSubscriber), nil, "kinds"},
		{"chat-app where chat-user is named", "accounts *\nkinds chat-user", "", wish{}, and(kindChatApp), "kinds"},
		{"chat-app", "kinds chat-app", "", wish{}, and(kindChatApp), ""},
		{"education-app where nothing is", "channels *\naccounts *", "", wish{}, and(kindEducationApp), "kinds"},
		{"006 where 007 is named", "channels *\naccounts *", "", rtcFor("c", "a", roleSubscriber), and(kindRTC006), "kinds"},

		{"rtm needs no channel and no role", "accounts a\nkinds rtm\nroles publisher", "", wish{account: textName("a")}, and(kindRTM), ""},
		{"rtm with a channel that it does not carry", "accounts a\nkinds rtm", "", rtcFor("lobby", "a", rolePublisher), and(kindRTM), ""},
		{"fpa needs neither", "kinds fpa", "", wish{}, and(kindFPA), ""},
		{"student", "channels *\naccounts *\nkinds education-room-user", "", rtcFor("c", "a", roleSubscriber), and(kindEducationRoomUser), ""},
		{"teacher", "channels *\naccounts *\nkinds education-room-user", "", rtcFor("c", "a", rolePublisher), and(kindEducationRoomUser), "roles"},
		{"teacher by number", "channels *\naccounts *\nkinds education-room-user", "", wish{
			kinds: []kind{kindEducationRoomUser}, channel: textName("c"), account: textName("a"), room: roomTeacher,
		}, nil, "roles"},
		{"other role by number", "channels *\naccounts *\nkinds education-room-user", "", wish{
			kinds: []kind{kindEducationRoomUser}, channel: textName("c"), account: textName("a"), room: 3,
		}, nil, "roles"},
		{"student by number", "channels *\naccounts *\nkinds education-room-user", "", wish{
			kinds: []kind{kindEducationRoomUser}, channel: textName("c"), account: textName("a"), room: roomStudent,
		}, nil, ""},
		{"stream channel", "channels *\naccounts *\nkinds rtc rtm", "", wish{
			kinds: []kind{kindRTC, kindRTM}, channel: textName("c"), account: textName("a"), stream: true,
		}, nil, "roles"},

		{"chat account of its own", "channels *\naccounts a\nkinds rtc chat-user", "", wish{
			kinds: []kind{kindRTC, kindChatUser}, channel: textName("c"), account: textName("a"), chatUser: textName("b"),
		}, nil, "accounts"},
		{"chat account of its own that is a wildcard", "channels *\naccounts *\nkinds rtc chat-user", "", wish{
			kinds: []kind{kindRTC, kindChatUser}, channel: textName("c"), account: textName("a"), chatUser: textName(""),
		}, nil, "wildcards"},
		{"education account of its own", "accounts a\nkinds education-user", "", wish{
			kinds: []kind{kindEducationUser}, account: textName("a"), educationUser: textName("b"),
		}, nil, "accounts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := rulesOf(t, "allow {\n"+test.rule+"\n}")
			if test.change != nil {
				test.change(&test.wish)
			}
			if got := strings.Join(rules[0].against(&test.wish, test.user).names(), " "); got != test.refusedBy {
				t.Errorf("refused by %q, want %q", got, test.refusedBy)
			}
		})
	}
}

func TestOneRuleMustGrantAll(t *testing.T) {
	rules := rulesOf(t, `
		allow a {
			kinds rtc
			channels *
			accounts *
		}
		allow b {
			kinds rtm
			accounts *
			max_expire 10m
		}
		allow c {
			kinds rtc rtm
			channels c
			accounts 1 2
			max_expire 2h
		}`)
	rtc, rtm := rtcFor("c", "1", roleSubscriber), wish{kinds: []kind{kindRTM}, account: textName("1")}
	elsewhere := rtcFor("d", "1", roleSubscriber)
	both := rtcFor("d", "1", roleSubscriber)
	both.kinds = []kind{kindRTC, kindRTM}
	for _, test := range []struct {
		name    string
		wishes  []wish
		want    string
		nearest string
	}{
		{"the one with the longest lifetime", []wish{rtc}, "c", ""},
		{"the only one", []wish{elsewhere}, "a", ""},
		{"two tokens", []wish{rtc, rtm}, "c", ""},
		{"two tokens that no rule grants together", []wish{elsewhere, rtm}, "", "a kinds"},
		{"one token that no rule grants", []wish{both}, "", "a kinds"},
	} {
		d := decide(rules, test.wishes, []string{""})
		got := ""
		if d.rule != nil {
			got = d.rule.name
		}
		if got != test.want {
			t.Errorf("%s: rule %q, want %q", test.name, got, test.want)
		}
		if nearest := ""; d.rule == nil {
			nearest = fmt.Sprint(d.nearest.name, " ", strings.Join(d.missing.names(), " "))
			if nearest != test.nearest {
				t.Errorf("%s: nearest %q, want %q", test.name, nearest, test.nearest)
			}
		}
	}
	if d := decide(nil, []wish{rtc}, nil); d.rule != nil || d.nearest != nil {
		t.Error("granted without a rule")
	}
	slices.Reverse(rules)
	if d := decide(rules, []wish{rtc}, []string{""}); d.rule == nil || d.rule.name != "c" {
		t.Error("the order of the rules makes a difference")
	}
}

func TestLifetimes(t *testing.T) {
	for _, test := range []struct {
		maxExpire                      time.Duration
		asked, askedPrivileges         uint32
		wantExpire, wantPrivilegeExire uint32
	}{
		{0, 0, 0, 3600, 3600},
		{0, 60, 0, 60, 60},
		{0, 3600, 0, 3600, 3600},
		{0, 3601, 0, 3600, 3600},
		{0, 1<<32 - 1, 1<<32 - 1, 3600, 3600},
		{0, 600, 60, 600, 60},
		{0, 60, 600, 60, 60},
		{10 * time.Minute, 0, 0, 600, 600},
		{24 * time.Hour, 0, 0, 3600, 3600},
		{24 * time.Hour, 86401, 0, 86400, 86400},
		{time.Second, 5, 5, 1, 1},
		{1500 * time.Millisecond, 5, 5, 1, 1},
	} {
		r, err := (&Rule{MaxExpire: caddy.Duration(test.maxExpire)}).compile(1)
		if err != nil {
			t.Fatal(err)
		}
		expire, privilegeExpire := r.lifetime(&wish{expire: test.asked, privilegeExpire: test.askedPrivileges})
		if expire != test.wantExpire || privilegeExpire != test.wantPrivilegeExire {
			t.Errorf("%+v: got %d and %d", test, expire, privilegeExpire)
		}
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for name, r := range map[string]Rule{
		"kind":                 {Kinds: []string{"rtc", "RTC"}},
		"legacy kind":          {Kinds: []string{"dynamic-key-5"}},
		"role":                 {Roles: []string{"admin"}},
		"blank pattern":        {Channels: []string{""}},
		"placeholder":          {Accounts: []string{"{http.auth.user.id}"}},
		"user within users":    {Users: []string{"{user}"}},
		"short lifetime":       {MaxExpire: caddy.Duration(time.Second - 1)},
		"negative lifetime":    {MaxExpire: caddy.Duration(-time.Hour)},
		"long lifetime":        {MaxExpire: caddy.Duration(24*time.Hour + 1)},
		"placeholder in users": {Users: []string{"{header.X}"}},
	} {
		if _, err := r.compile(1); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What can be in one token is what the vendor's server puts into one, each
// privilege once.
func TestKindsTogether(t *testing.T) {
	for _, test := range []struct {
		kinds string
		ok    bool
	}{
		{"rtc", true},
		{"rtc rtm", true},
		{"rtm rtc chat-user education-user fpa", true},
		{"chat-user chat-app", true},
		{"education-user education-app", true},
		{"education-room-user rtc", true},
		{"rtc rtc", false},
		{"convoai", true},
		{"convoai rtc", false},
		{"convoai rtm", false},
		{"convoai chat-user", true},
		{"education-room-user rtm", false},
		{"education-room-user chat-user", false},
		{"rtc-006", true},
		{"rtc-006 rtm-006", false},
		{"rtc rtm-006", false},
		{"rtm-006 rtc", false},
	} {
		var list []kind
		for _, name := range strings.Fields(test.kinds) {
			k, ok := parseKind(name)
			if !ok {
				t.Fatal(name)
			}
			list = append(list, k)
		}
		if err := checkTogether(list); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.kinds, err)
		}
	}
}

func TestDoubtsAboutRules(t *testing.T) {
	for _, test := range []struct{ rule, want string }{
		{"channels *\naccounts {user}", ""},
		{"kinds rtm\naccounts {user}", ""},
		{"users admin\nkinds chat-app", ""},
		{"channels *", "it grants nothing"},
		{"accounts *", "it grants nothing"},
		{"kinds rtc rtm\nusers *\naccounts *", ""}, // rtm alone
		{"channels *\naccounts *\nwildcards on", "wildcards are on"},
		{"kinds chat-app", "administrator"},
		{"kinds education-app rtc", "administrator"},
		{"kinds rtc rtm\nchannels *\naccounts *", "REST API"},
		{"kinds convoai\nchannels *\naccounts *", "REST API"},
		{"kinds rtc education-room-user\nchannels *\naccounts *", "REST API"}, // a classroom has RTM
		{"kinds rtm education-room-user\nchannels *\naccounts *", ""},
		{"kinds convoai\nusers *\nchannels *\naccounts *", ""},
	} {
		got := rulesOf(t, "allow {\n"+test.rule+"\n}")[0].doubts()
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
			t.Errorf("%q: %q, want %q", test.rule, got, test.want)
		}
	}
}
