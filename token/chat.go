package token

func chatService(userID string, privilege PrivilegeID, expire uint32) Service {
	return Service{Type: ServiceChat, Account: userID, Privileges: Privileges{{privilege, expire}}}
}

// NewChatUserToken returns a Chat token, not yet signed; see BuildChatUserToken.
func NewChatUserToken(appID, userID string, expire uint32) (*Token, error) {
	if err := firstError(checkID(appID), checkAccount(userID), checkExpire(expire)); err != nil {
		return nil, err
	}
	return newToken(appID, expire, chatService(userID, PrivilegeChatUser, expire)), nil
}

// BuildChatUserToken returns a token with which a user (at most 255 bytes)
// signs in to Chat. expire is the lifetime of the token and of its privilege,
// 1 to 86400 seconds.
func BuildChatUserToken(appID, appCertificate, userID string, expire uint32) (string, error) {
	t, err := NewChatUserToken(appID, userID, expire)
	return sign(t, err, appCertificate)
}

// NewChatAppToken returns a Chat token, not yet signed; see BuildChatAppToken.
func NewChatAppToken(appID string, expire uint32) (*Token, error) {
	if err := firstError(checkID(appID), checkExpire(expire)); err != nil {
		return nil, err
	}
	return newToken(appID, expire, chatService("", PrivilegeChatApp, expire)), nil
}

// BuildChatAppToken returns a token with which a server calls Chat's REST API:
// it may do everything in the app. BuildChatUserToken otherwise.
func BuildChatAppToken(appID, appCertificate string, expire uint32) (string, error) {
	t, err := NewChatAppToken(appID, expire)
	return sign(t, err, appCertificate)
}
