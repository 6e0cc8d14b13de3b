package token

func rtmService(userID string, expire uint32) Service {
	return Service{Type: ServiceRTM, Account: userID, Privileges: Privileges{{PrivilegeLogin, expire}}}
}

// NewRtmToken returns an RTM token, not yet signed; see BuildRtmToken.
func NewRtmToken(appID, userID string, expire uint32) (*Token, error) {
	if err := firstError(checkID(appID), checkName("account", userID, MaxRtmUserID), checkExpire(expire)); err != nil {
		return nil, err
	}
	return newToken(appID, expire, rtmService(userID, expire)), nil
}

// BuildRtmToken returns a token for RTM (Signaling): rtmtokenbuilder2.BuildToken
// in the vendor's code. The user ID may have 64 bytes; expire is the lifetime
// of the token and of its privilege, 1 to 86400 seconds.
func BuildRtmToken(appID, appCertificate, userID string, expire uint32) (string, error) {
	t, err := NewRtmToken(appID, userID, expire)
	return sign(t, err, appCertificate)
}

// NewTokenWithPermissions returns an RTM2 token, not yet signed; see
// BuildTokenWithPermissions.
func NewTokenWithPermissions(appID, userID string, permissions Permissions, expire uint32) (*Token, error) {
	t, err := NewRtmToken(appID, userID, expire)
	if err != nil {
		return nil, err
	}
	t.Services[0].Type = ServiceRTM2
	t.Services[0].Permissions = permissions
	return t, nil
}

// BuildTokenWithPermissions returns a token for RTM2 (service type 8), with
// permissions for channels, groups and users: BuildRtmToken otherwise.
func BuildTokenWithPermissions(appID, appCertificate, userID string, permissions Permissions, expire uint32) (string, error) {
	t, err := NewTokenWithPermissions(appID, userID, permissions, expire)
	return sign(t, err, appCertificate)
}
