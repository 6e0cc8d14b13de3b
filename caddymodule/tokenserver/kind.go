//lint:file-ignore SA1019 Tokens of the 006 age are deprecated, and some clients know no others.

package tokenserver

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// kind is a kind of token, by the name that `caddy convoai token` knows it by.
type kind uint8

const (
	kindRTC kind = iota
	kindRTM
	kindConvoAI
	kindChatUser
	kindChatApp
	kindEducationRoomUser
	kindEducationUser
	kindEducationApp
	kindFPA
	kindRTC006
	kindRTM006

	numKinds
)

// kindInfo is what a kind is.
type kindInfo struct {
	name string

	maxChannel int  // bytes of the channel that it carries; 0: none
	maxAccount int  // bytes of the account that it carries; 0: none
	required   bool // neither may be blank
	role       bool // it depends on the role
	app        bool // its privilege is the app's, not a user's

	// grants are the privileges in it, so that one token does not have the same
	// twice.
	grants grants

	// build returns an unsigned token of the kind alone, of AccessToken2.
	build func(appID string, w *wish, expire, privilegeExpire uint32) (*token.Token, error)

	// build006 does so for the kinds of AccessToken, in the place of build.
	build006 func(appID string, w *wish, expiresAt uint32) (*legacy.AccessToken, error)
}

// grants are services by privilege.
type grants uint16

const (
	grantsRTC grants = 1 << iota
	grantsRTM
	grantsChatUser
	grantsChatApp
	grantsEducationRoomUser
	grantsEducationUser
	grantsEducationApp
	grantsFPA
	grants006 // AccessToken holds one service
)

// maxRoom is how long a room of Flexible Classroom may be named: as the builder
// has it.
const maxRoom = token.MaxAccount

// kinds are all kinds.
var kinds = [numKinds]kindInfo{
	kindRTC: {
		name: "rtc", maxChannel: token.MaxChannel, maxAccount: token.MaxAccount, role: true, grants: grantsRTC,
		build: buildRTC,
	},
	kindRTM: {
		name: "rtm", maxAccount: token.MaxRtmUserID, grants: grantsRTM,
		build: func(appID string, w *wish, expire, _ uint32) (*token.Token, error) {
			return token.NewRtmToken(appID, w.accountOf(kindRTM).text, expire)
		},
	},
	kindConvoAI: {
		name: "convoai", maxChannel: token.MaxChannel, maxAccount: token.MaxAccount, required: true, role: true, grants: grantsRTC | grantsRTM,
		build: func(appID string, w *wish, expire, privilegeExpire uint32) (*token.Token, error) {
			return token.NewConvoAI(appID, w.channel.text, w.accountOf(kindConvoAI).text, expire, privilegeExpire)
		},
	},
	kindChatUser: {
		name: "chat-user", maxAccount: token.MaxAccount, grants: grantsChatUser,
		build: func(appID string, w *wish, expire, _ uint32) (*token.Token, error) {
			return token.NewChatUserToken(appID, w.accountOf(kindChatUser).text, expire)
		},
	},
	kindChatApp: {
		name: "chat-app", app: true, grants: grantsChatApp,
		build: func(appID string, _ *wish, expire, _ uint32) (*token.Token, error) {
			return token.NewChatAppToken(appID, expire)
		},
	},
	kindEducationRoomUser: {
		name: "education-room-user", maxChannel: maxRoom, maxAccount: token.MaxAccount, role: true,
		grants: grantsEducationRoomUser | grantsRTM | grantsChatUser,
		build: func(appID string, w *wish, expire, _ uint32) (*token.Token, error) {
			return token.NewRoomUserToken(appID, w.channel.text, w.accountOf(kindEducationRoomUser).text, w.roomRole(), expire)
		},
	},
	kindEducationUser: {
		name: "education-user", maxAccount: token.MaxAccount, grants: grantsEducationUser,
		build: func(appID string, w *wish, expire, _ uint32) (*token.Token, error) {
			return token.NewUserToken(appID, w.accountOf(kindEducationUser).text, expire)
		},
	},
	kindEducationApp: {
		name: "education-app", app: true, grants: grantsEducationApp,
		build: func(appID string, _ *wish, expire, _ uint32) (*token.Token, error) {
			return token.NewAppToken(appID, expire)
		},
	},
	kindFPA: {
		name: "fpa", grants: grantsFPA,
		// The vendor's builder gives it 24 hours. Here the token's lifetime is that
		// of the rule, as for any other kind, and its privilege remains what the
		// vendor packs: 0.
		build: func(appID string, _ *wish, expire, _ uint32) (*token.Token, error) {
			t, err := token.NewFpaToken(appID)
			if err == nil {
				t.Expire = expire
			}
			return t, err
		},
	},
	kindRTC006: {
		name: "rtc-006", maxChannel: token.MaxChannel, maxAccount: token.MaxAccount, role: true, grants: grants006,
		build006: func(appID string, w *wish, expiresAt uint32) (*legacy.AccessToken, error) {
			role := legacy.RoleSubscriber
			if w.role == rolePublisher {
				role = legacy.RolePublisher
			}
			return legacy.NewTokenWithUserAccount(appID, w.channel.text, w.accountOf(kindRTC006).text, role, expiresAt)
		},
	},
	kindRTM006: {
		name: "rtm-006", maxAccount: token.MaxRtmUserID, grants: grants006,
		build006: func(appID string, w *wish, expiresAt uint32) (*legacy.AccessToken, error) {
			return legacy.NewRtmToken(appID, w.accountOf(kindRTM006).text, expiresAt)
		},
	},
}

// buildRTC is the vendor's builder with an account; for an RTM stream channel, the
// privileges that go-tokenbuilder gives with its argument streamName.
func buildRTC(appID string, w *wish, expire, privilegeExpire uint32) (*token.Token, error) {
	role := token.RoleSubscriber
	if w.role == rolePublisher && !w.stream {
		role = token.RolePublisher
	}
	t, err := token.NewTokenWithUserAccount(appID, w.channel.text, w.accountOf(kindRTC).text, role, expire, privilegeExpire)
	if err == nil && w.stream {
		t.Services[0].Privileges.Set(token.PrivilegePublishDataStream, privilegeExpire)
	}
	return t, err
}

func (k kind) info() *kindInfo { return &kinds[k] }

func (k kind) String() string { return kinds[k].name }

// is006 reports whether a token of the kind is an AccessToken, which ends at a
// point in time and holds nothing of another kind.
func (k kind) is006() bool { return kinds[k].build006 != nil }

// parseKind returns the kind of a name.
func parseKind(name string) (kind, bool) {
	for k := range numKinds {
		if kinds[k].name == name {
			return k, true
		}
	}
	return 0, false
}

// kindNames are the names of all kinds, for errors.
var kindNames = func() string {
	names := make([]string, numKinds)
	for k := range names {
		names[k] = kinds[k].name
	}
	return strings.Join(names, ", ")
}()

// kindSet is a set of kinds.
type kindSet uint16

func setOf(list ...kind) kindSet {
	var set kindSet
	for _, k := range list {
		set |= 1 << k
	}
	return set
}

func (s kindSet) has(k kind) bool { return s&(1<<k) != 0 }

// includes reports whether all of other are in s.
func (s kindSet) includes(other kindSet) bool { return other&^s == 0 }

func (s kindSet) list() []kind {
	list := make([]kind, 0, bits.OnesCount16(uint16(s)))
	for k := range numKinds {
		if s.has(k) {
			list = append(list, k)
		}
	}
	return list
}

// names are the names of kinds, in their order.
func names(list []kind) []string {
	out := make([]string, len(list))
	for i, k := range list {
		out[i] = k.String()
	}
	return out
}

// checkTogether checks that kinds can be in one token.
func checkTogether(list []kind) error {
	var have grants
	for i, k := range list {
		info := k.info()
		switch {
		case slices.Contains(list[:i], k):
			return fmt.Errorf("kind %s is there twice", k)
		case len(list) > 1 && k.is006():
			return fmt.Errorf("kind %s cannot be in one token with others", k)
		case have&info.grants != 0:
			return fmt.Errorf("kind %s grants again what another kind of the request does", k)
		}
		have |= info.grants
	}
	return nil
}
