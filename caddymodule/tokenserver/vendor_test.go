package tokenserver

import (
	"testing"

	"github.com/AgoraIO-Community/go-tokenbuilder/accesstoken2"

	"github.com/caddy-convoai/convoai/token"
)

// verifyWithVendor checks that the vendor's own parser finds in a token what ours
// does.
func verifyWithVendor(t testing.TB, text string) {
	t.Helper()
	parsed := granted(t, text)
	theirs := accesstoken2.CreateAccessToken()
	if ok, err := theirs.Parse(text); !ok || err != nil {
		t.Errorf("the vendor's parser: %t, %v", ok, err)
		return
	}
	if theirs.AppId != parsed.AppID || theirs.Expire != parsed.Expire || theirs.IssueTs != parsed.IssuedAt || theirs.Salt != parsed.Salt {
		t.Errorf("the vendor's parser reads %+v, ours %+v", theirs, parsed)
	}
	seen := map[token.ServiceType]bool{}
	for _, service := range parsed.Services {
		seen[service.Type] = true
	}
	if len(theirs.Services) != len(seen) {
		t.Errorf("the vendor's parser reads %d services, ours %d", len(theirs.Services), len(seen))
	}
	for _, service := range parsed.Services {
		if len(seen) < len(parsed.Services) {
			break // the vendor's parser keeps one of each type
		}
		var privileges map[uint16]uint32
		var channel, account string
		switch s := theirs.Services[uint16(service.Type)].(type) {
		case *accesstoken2.ServiceRtc:
			privileges, channel, account = s.Privileges, s.ChannelName, s.Uid
		case *accesstoken2.ServiceRtm:
			privileges, account = s.Privileges, s.UserId
		case *accesstoken2.ServiceChat:
			privileges, account = s.Privileges, s.UserId
		case *accesstoken2.ServiceApaas:
			privileges, account = s.Privileges, s.UserUuid
		case *accesstoken2.ServiceFpa:
			privileges = s.Privileges
		default:
			t.Errorf("the vendor's parser reads no service %s", service.Type)
			continue
		}
		if channel != service.Channel || account != service.Account || len(privileges) != len(service.Privileges) {
			t.Errorf("%s: the vendor's parser reads %q, %q, %v", service.Type, channel, account, privileges)
		}
		for _, p := range service.Privileges {
			if privileges[uint16(p.ID)] != p.Expire {
				t.Errorf("%s: the vendor's parser reads privileges %v, ours %v", service.Type, privileges, service.Privileges)
			}
		}
	}
}
