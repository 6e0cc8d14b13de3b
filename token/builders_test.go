package token

import (
	"crypto/md5"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func privileges(tok *Token) string {
	var parts []string
	for _, s := range tok.Services {
		p := fmt.Sprint(s.Type)
		for _, e := range s.Privileges {
			p += fmt.Sprintf(" %d=%d", e.ID, e.Expire)
		}
		parts = append(parts, fmt.Sprintf("%s ch=%q acc=%q room=%q role=%d", p, s.Channel, s.Account, s.Room, s.Role))
	}
	return strings.Join(parts, "; ")
}

func TestBuildersPackWhatTheVendorsDo(t *testing.T) {
	const id, cert = testAppID, testCertificate
	var perms Permissions
	perms.Add(ResourceUsers, PermissionWrite, "u")
	md5u := fmt.Sprintf("%x", md5.Sum([]byte("user")))
	for name, c := range map[string]struct {
		build  func() (string, error)
		expire uint32
		want   string
	}{
		"uid, publisher": {func() (string, error) { return BuildTokenWithUid(id, cert, "c", 7, RolePublisher, 10, 20) }, 10,
			`rtc 1=20 2=20 3=20 4=20 ch="c" acc="7" room="" role=0`},
		"uid, subscriber": {func() (string, error) {
			return BuildTokenWithUid(id, cert, "c", math.MaxUint32, RoleSubscriber, 10, 20)
		}, 10,
			`rtc 1=20 ch="c" acc="4294967295" room="" role=0`},
		"uid, other role": {func() (string, error) { return BuildTokenWithUid(id, cert, "c", 7, 0, 10, 20) }, 10,
			`rtc 1=20 ch="c" acc="7" room="" role=0`},
		"uid 0": {func() (string, error) { return BuildTokenWithUid(id, cert, "c", 0, RolePublisher, 10, 0) }, 10,
			`rtc 1=0 2=0 3=0 4=0 ch="c" acc="" room="" role=0`},
		"account 0": {func() (string, error) { return BuildTokenWithUserAccount(id, cert, "c", "0", RoleSubscriber, 10, 0) }, 10,
			`rtc 1=0 ch="c" acc="0" room="" role=0`},
		"wildcards": {func() (string, error) {
			return BuildTokenWithUserAccount(id, cert, "*", "1*a*2", RoleSubscriber, 10, 1)
		}, 10,
			`rtc 1=1 ch="*" acc="1*a*2" room="" role=0`},
		"blank channel": {func() (string, error) { return BuildTokenWithUserAccount(id, cert, "", "*", RoleSubscriber, 10, 1) }, 10,
			`rtc 1=1 ch="" acc="*" room="" role=0`},
		"uid, each privilege": {func() (string, error) { return BuildTokenWithUidAndPrivilege(id, cert, "c", 7, 10, 1, 0, 3, 4) }, 10,
			`rtc 1=1 2=0 3=3 4=4 ch="c" acc="7" room="" role=0`},
		"account, each privilege": {func() (string, error) {
			return BuildTokenWithUserAccountAndPrivilege(id, cert, "c", "a", 10, 1, 2, 3, 4)
		}, 10, `rtc 1=1 2=2 3=3 4=4 ch="c" acc="a" room="" role=0`},
		"rtm beside": {func() (string, error) { return BuildTokenWithRtm(id, cert, "c", "a", RoleSubscriber, 10, 20) }, 10,
			`rtc 1=20 ch="c" acc="a" room="" role=0; rtm 1=10 ch="" acc="a" room="" role=0`},
		"rtm2 beside": {func() (string, error) {
			return BuildTokenWithRtm2(id, cert, "c", "a", RolePublisher, 10, 1, 2, 3, 4, "m", 30)
		}, 10, `rtc 1=1 2=2 3=3 4=4 ch="c" acc="a" room="" role=0; rtm 1=30 ch="" acc="m" room="" role=0`},
		"rtm2 beside, subscriber": {func() (string, error) {
			return BuildTokenWithRtm2(id, cert, "c", "a", RoleSubscriber, 10, 1, 2, 3, 4, "m", 30)
		}, 10, `rtc 1=1 ch="c" acc="a" room="" role=0; rtm 1=30 ch="" acc="m" room="" role=0`},
		"rtm": {func() (string, error) { return BuildRtmToken(id, cert, "m", 10) }, 10,
			`rtm 1=10 ch="" acc="m" room="" role=0`},
		"permissions": {func() (string, error) { return BuildTokenWithPermissions(id, cert, "m", perms, 10) }, 10,
			`rtm2 1=10 ch="" acc="m" room="" role=0`},
		"chat user": {func() (string, error) { return BuildChatUserToken(id, cert, "u", 10) }, 10,
			`chat 1=10 ch="" acc="u" room="" role=0`},
		"chat app": {func() (string, error) { return BuildChatAppToken(id, cert, 10) }, 10,
			`chat 2=10 ch="" acc="" room="" role=0`},
		"room user": {func() (string, error) { return BuildRoomUserToken(id, cert, "room", "user", 3, 10) }, 10,
			`rtm 1=10 ch="" acc="user" room="" role=0; chat 1=10 ch="" acc="` + md5u + `" room="" role=0; education 1=10 ch="" acc="user" room="room" role=3`},
		"education user": {func() (string, error) { return BuildUserToken(id, cert, "user", 10) }, 10,
			`education 2=10 ch="" acc="user" room="" role=-1`},
		"education app": {func() (string, error) { return BuildAppToken(id, cert, 10) }, 10,
			`education 3=10 ch="" acc="" room="" role=-1`},
		"fpa": {func() (string, error) { return BuildFpaToken(id, cert) }, 86400,
			`fpa 1=0 ch="" acc="" room="" role=0`},
		"convoai": {func() (string, error) { return BuildConvoAIToken(id, cert, "c", "0", 10, 0) }, 10,
			`rtc 1=10 2=10 3=10 4=10 ch="c" acc="0" room="" role=0; rtm 1=10 ch="" acc="0" room="" role=0`},
		"convoai, privileges": {func() (string, error) { return BuildConvoAIToken(id, cert, "c", "a", 10, 5) }, 10,
			`rtc 1=5 2=5 3=5 4=5 ch="c" acc="a" room="" role=0; rtm 1=10 ch="" acc="a" room="" role=0`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.build()
			if err != nil {
				t.Fatal(err)
			}
			tok, err := Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := tok.Verify(cert); err != nil {
				t.Error(err)
			}
			if got := privileges(tok); got != c.want || tok.Expire != c.expire || tok.AppID != id {
				t.Errorf("lifetime %d\n%s\nwant %d\n%s", tok.Expire, got, c.expire, c.want)
			}
			if len(tok.Services) == 1 && tok.Services[0].Type == ServiceRTM2 {
				if got := fmt.Sprint(tok.Services[0].Permissions); got != fmt.Sprint(perms) {
					t.Errorf("permissions %s", got)
				}
			}
		})
	}
}

// Each builder with one argument at its limit and one beyond.
func TestBuildersRefuseWhatIsOutOfRange(t *testing.T) {
	const id, cert = testAppID, testCertificate
	text := func(n int) string { return strings.Repeat("x", n) }
	type build = func() error
	drop := func(_ string, err error) error { return err }
	for _, c := range []struct {
		name     string
		ok, over build
	}{
		{"uid channel",
			func() error { return drop(BuildTokenWithUid(id, cert, text(63), 1, 1, 1, 1)) },
			func() error { return drop(BuildTokenWithUid(id, cert, text(64), 1, 1, 1, 1)) }},
		{"channel bytes, not characters",
			func() error { return drop(BuildTokenWithUid(id, cert, strings.Repeat("é", 31), 1, 1, 1, 1)) },
			func() error { return drop(BuildTokenWithUid(id, cert, strings.Repeat("é", 32), 1, 1, 1, 1)) }},
		{"uid expire high",
			func() error { return drop(BuildTokenWithUid(id, cert, "c", 1, 1, 86400, 1)) },
			func() error { return drop(BuildTokenWithUid(id, cert, "c", 1, 1, 86401, 1)) }},
		{"uid expire low",
			func() error { return drop(BuildTokenWithUid(id, cert, "c", 1, 1, 1, 1)) },
			func() error { return drop(BuildTokenWithUid(id, cert, "c", 1, 1, 0, 1)) }},
		{"uid privilege",
			func() error { return drop(BuildTokenWithUid(id, cert, "c", 1, 1, 1, 86400)) },
			func() error { return drop(BuildTokenWithUid(id, cert, "c", 1, 1, 1, 86401)) }},
		{"account",
			func() error { return drop(BuildTokenWithUserAccount(id, cert, "c", text(255), 1, 1, 1)) },
			func() error { return drop(BuildTokenWithUserAccount(id, cert, "c", text(256), 1, 1, 1)) }},
		{"account of each privilege",
			func() error {
				return drop(BuildTokenWithUserAccountAndPrivilege(id, cert, "c", text(255), 1, 1, 1, 1, 1))
			},
			func() error {
				return drop(BuildTokenWithUserAccountAndPrivilege(id, cert, "c", text(256), 1, 1, 1, 1, 1))
			}},
		{"data privilege",
			func() error { return drop(BuildTokenWithUidAndPrivilege(id, cert, "c", 1, 1, 1, 1, 1, 86400)) },
			func() error { return drop(BuildTokenWithUidAndPrivilege(id, cert, "c", 1, 1, 1, 1, 1, 86401)) }},
		{"rtm beside, account",
			func() error { return drop(BuildTokenWithRtm(id, cert, "c", text(255), 1, 1, 1)) },
			func() error { return drop(BuildTokenWithRtm(id, cert, "c", text(256), 1, 1, 1)) }},
		{"rtm2 beside, user ID",
			func() error { return drop(BuildTokenWithRtm2(id, cert, "c", "a", 1, 1, 1, 1, 1, 1, text(64), 1)) },
			func() error { return drop(BuildTokenWithRtm2(id, cert, "c", "a", 1, 1, 1, 1, 1, 1, text(65), 1)) }},
		{"rtm2 beside, login",
			func() error { return drop(BuildTokenWithRtm2(id, cert, "c", "a", 1, 1, 1, 1, 1, 1, "m", 86400)) },
			func() error { return drop(BuildTokenWithRtm2(id, cert, "c", "a", 1, 1, 1, 1, 1, 1, "m", 86401)) }},
		{"rtm user ID",
			func() error { return drop(BuildRtmToken(id, cert, text(64), 1)) },
			func() error { return drop(BuildRtmToken(id, cert, text(65), 1)) }},
		{"permissions expire",
			func() error { return drop(BuildTokenWithPermissions(id, cert, "m", nil, 1)) },
			func() error { return drop(BuildTokenWithPermissions(id, cert, "m", nil, 0)) }},
		{"chat user",
			func() error { return drop(BuildChatUserToken(id, cert, text(255), 1)) },
			func() error { return drop(BuildChatUserToken(id, cert, text(256), 1)) }},
		{"chat app expire",
			func() error { return drop(BuildChatAppToken(id, cert, 86400)) },
			func() error { return drop(BuildChatAppToken(id, cert, 86401)) }},
		{"room",
			func() error { return drop(BuildRoomUserToken(id, cert, text(255), "u", 1, 1)) },
			func() error { return drop(BuildRoomUserToken(id, cert, text(256), "u", 1, 1)) }},
		{"education user",
			func() error { return drop(BuildUserToken(id, cert, text(255), 1)) },
			func() error { return drop(BuildUserToken(id, cert, text(256), 1)) }},
		{"education app expire",
			func() error { return drop(BuildAppToken(id, cert, 1)) },
			func() error { return drop(BuildAppToken(id, cert, 0)) }},
		{"convoai channel",
			func() error { return drop(BuildConvoAIToken(id, cert, text(63), "a", 1, 0)) },
			func() error { return drop(BuildConvoAIToken(id, cert, text(64), "a", 1, 0)) }},
		{"convoai no channel",
			func() error { return drop(BuildConvoAIToken(id, cert, "*", "a", 1, 0)) },
			func() error { return drop(BuildConvoAIToken(id, cert, "", "a", 1, 0)) }},
		{"convoai no account",
			func() error { return drop(BuildConvoAIToken(id, cert, "c", "0", 1, 0)) },
			func() error { return drop(BuildConvoAIToken(id, cert, "c", "", 1, 0)) }},
		{"convoai expire",
			func() error { return drop(BuildConvoAIToken(id, cert, "c", "a", 86400, 0)) },
			func() error { return drop(BuildConvoAIToken(id, cert, "c", "a", 0, 0)) }},
	} {
		if err := c.ok(); err != nil {
			t.Errorf("%s: at the limit: %v", c.name, err)
		}
		err := c.over()
		var out *RangeError
		if !errors.Is(err, ErrOutOfRange) || !errors.As(err, &out) || out.Field == "" || out.Rule == "" {
			t.Errorf("%s: beyond the limit: %v", c.name, err)
		}
	}
	for name, err := range map[string]error{
		"rtc":       drop(BuildTokenWithUid("", cert, "c", 1, 1, 1, 1)),
		"rtc each":  drop(BuildTokenWithUidAndPrivilege("", cert, "c", 1, 1, 1, 1, 1, 1)),
		"rtc rtm":   drop(BuildTokenWithRtm("", cert, "c", "a", 1, 1, 1)),
		"rtc rtm2":  drop(BuildTokenWithRtm2("", cert, "c", "a", 1, 1, 1, 1, 1, 1, "m", 1)),
		"rtm":       drop(BuildRtmToken("", cert, "m", 1)),
		"chat user": drop(BuildChatUserToken("", cert, "m", 1)),
		"chat app":  drop(BuildChatAppToken("", cert, 1)),
		"room user": drop(BuildRoomUserToken("", cert, "r", "u", 1, 1)),
		"user":      drop(BuildUserToken("", cert, "u", 1)),
		"app":       drop(BuildAppToken("", cert, 1)),
		"fpa":       drop(BuildFpaToken("", cert)),
		"convoai":   drop(BuildConvoAIToken("", cert, "c", "a", 1, 1)),
	} {
		if !errors.Is(err, ErrAppID) {
			t.Errorf("%s without an app ID: %v", name, err)
		}
	}
	if err := drop(BuildFpaToken(id, "")); !errors.Is(err, ErrAppCertificate) {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestExpiresInFollowsTheSDKs(t *testing.T) {
	for _, c := range []struct {
		name    string
		f       func(float64) (uint32, bool, error)
		n       float64
		seconds uint32
		capped  bool
		ok      bool
	}{
		{"hours", ExpiresInHours, 1, 3600, false, true},
		{"hours", ExpiresInHours, 24, 86400, false, true},
		{"hours", ExpiresInHours, 24.001, 86400, true, true},
		{"hours", ExpiresInHours, 1e300, 86400, true, true},
		{"hours", ExpiresInHours, math.Inf(1), 86400, true, true},
		{"hours", ExpiresInHours, 0.5, 1800, false, true},
		{"hours", ExpiresInHours, 0, 0, false, false},
		{"hours", ExpiresInHours, -1, 0, false, false},
		{"hours", ExpiresInHours, math.NaN(), 0, false, false},
		{"hours", ExpiresInHours, 0.0001, 0, false, false},
		{"minutes", ExpiresInMinutes, 1, 60, false, true},
		{"minutes", ExpiresInMinutes, 1440, 86400, false, true},
		{"minutes", ExpiresInMinutes, 1441, 86400, true, true},
		{"minutes", ExpiresInMinutes, 0, 0, false, false},
	} {
		seconds, capped, err := c.f(c.n)
		if seconds != c.seconds || capped != c.capped || (err == nil) != c.ok {
			t.Errorf("%v %s: %d, %t, %v", c.n, c.name, seconds, capped, err)
		}
		if err != nil && !errors.Is(err, ErrOutOfRange) {
			t.Errorf("%v %s: %v", c.n, c.name, err)
		}
	}
	if seconds, capped, err := ExpiresIn(90*time.Second + time.Millisecond); seconds != 90 || capped || err != nil {
		t.Errorf("90.001s: %d, %t, %v", seconds, capped, err)
	}
	if _, _, err := ExpiresIn(999 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "expires_in must be between 1 and 86400 seconds (24h)") {
		t.Errorf("0.999s: %v", err)
	}
}

func TestNamesOfTypesAndPrivileges(t *testing.T) {
	names := "rtc rtm streaming fpa chat fcdn education rtm2"
	for i, want := range strings.Fields(names) {
		if got := ServiceType(i + 1).String(); got != want {
			t.Errorf("service %d is %q", i+1, got)
		}
	}
	for st, known := range map[ServiceType]bool{0: false, 1: true, 8: true, 9: false, 65535: false} {
		if st.Known() != known {
			t.Errorf("type %d known: %t", st, !known)
		}
	}
	for _, c := range [][2]string{
		{ServiceType(9).String(), "service-9"},
		{PrivilegeName(ServiceRTC, PrivilegeJoinChannel), "join channel"},
		{PrivilegeName(ServiceRTC, PrivilegePublishDataStream), "publish data"},
		{PrivilegeName(ServiceRTC, 5), "privilege 5"},
		{PrivilegeName(ServiceRTC, 0), "privilege 0"},
		{PrivilegeName(ServiceEducation, PrivilegeEducationApp), "app"},
		{PrivilegeName(9, 1), "privilege 1"},
		{ResourceMessageChannels.String(), "message channels"},
		{ResourceUsers.String(), "users"},
		{ResourceType(5).String(), "resource 5"},
		{PermissionRead.String(), "read"},
		{PermissionWrite.String(), "write"},
		{PermissionType(2).String(), "permission 2"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
}

func TestPrivilegesAndPermissionsByKey(t *testing.T) {
	var p Privileges
	p.Set(2, 20)
	p.Set(1, 10)
	p.Set(2, 21)
	if fmt.Sprint(p) != "[{2 21} {1 10}]" {
		t.Error(p)
	}
	if v, ok := p.Get(2); v != 21 || !ok {
		t.Error(v, ok)
	}
	if v, ok := p.Get(3); v != 0 || ok {
		t.Error(v, ok)
	}
	var m Permissions
	m.Add(1, 0, "a")
	m.Add(1, 1, "b")
	m.Add(1, 0, "c", "a")
	m.Add(0, 0)
	if fmt.Sprint(m) != "[{stream channels [{read [a c a]} {write [b]}]} {message channels [{read []}]}]" {
		t.Error(m)
	}
}
