package token

import (
	"crypto/md5"
	"encoding/hex"
)

// noRole is packed where an education token is not for one room.
const noRole int16 = -1

func educationService(room, user string, role int16, privilege PrivilegeID, expire uint32) Service {
	return Service{Type: ServiceEducation, Room: room, Account: user, Role: role, Privileges: Privileges{{privilege, expire}}}
}

// NewRoomUserToken returns an education token, not yet signed; see
// BuildRoomUserToken.
func NewRoomUserToken(appID, room, user string, role int16, expire uint32) (*Token, error) {
	if err := firstError(checkID(appID), checkName("room", room, MaxAccount), checkAccount(user), checkExpire(expire)); err != nil {
		return nil, err
	}
	// MD5 only derives the Chat user name that the vendor's servers expect.
	chatUser := md5.Sum([]byte(user))
	return newToken(appID, expire,
		rtmService(user, expire),
		chatService(hex.EncodeToString(chatUser[:]), PrivilegeChatUser, expire),
		educationService(room, user, role, PrivilegeEducationRoomUser, expire)), nil
}

// BuildRoomUserToken returns a token with which a user enters a room of
// Flexible Classroom in a role, with RTM and Chat for that user
// (educationtokenbuilder and apaastokenbuilder in the vendor's code). Room and
// user may have 255 bytes; expire is the lifetime of the token and of its
// privileges, 1 to 86400 seconds.
func BuildRoomUserToken(appID, appCertificate, room, user string, role int16, expire uint32) (string, error) {
	t, err := NewRoomUserToken(appID, room, user, role, expire)
	return sign(t, err, appCertificate)
}

// NewUserToken returns an education token, not yet signed; see BuildUserToken.
func NewUserToken(appID, user string, expire uint32) (*Token, error) {
	if err := firstError(checkID(appID), checkAccount(user), checkExpire(expire)); err != nil {
		return nil, err
	}
	return newToken(appID, expire, educationService("", user, noRole, PrivilegeEducationUser, expire)), nil
}

// BuildUserToken returns an education token for a user outside rooms;
// BuildRoomUserToken otherwise.
func BuildUserToken(appID, appCertificate, user string, expire uint32) (string, error) {
	t, err := NewUserToken(appID, user, expire)
	return sign(t, err, appCertificate)
}

// NewAppToken returns an education token, not yet signed; see BuildAppToken.
func NewAppToken(appID string, expire uint32) (*Token, error) {
	if err := firstError(checkID(appID), checkExpire(expire)); err != nil {
		return nil, err
	}
	return newToken(appID, expire, educationService("", "", noRole, PrivilegeEducationApp, expire)), nil
}

// BuildAppToken returns an education token for a server's REST calls;
// BuildRoomUserToken otherwise.
func BuildAppToken(appID, appCertificate string, expire uint32) (string, error) {
	t, err := NewAppToken(appID, expire)
	return sign(t, err, appCertificate)
}
