package token

// Role decides what an RTC token's owner may do in the channel.
type Role uint16

// Roles of the RTC builders (rtctokenbuilder2, AgoraIO/Tools).
const (
	// RolePublisher may publish audio, video and data.
	RolePublisher Role = 1
	// RoleSubscriber may only join. The vendor enforces this only for projects
	// that have co-host authentication switched on.
	RoleSubscriber Role = 2
)

// rtcService packs the four privileges for a publisher, only the first for any
// other role, as the vendor's builders do.
func rtcService(channel, account string, role Role, join, audio, video, data uint32) Service {
	p := Privileges{{PrivilegeJoinChannel, join}}
	if role == RolePublisher {
		p = Privileges{
			{PrivilegeJoinChannel, join},
			{PrivilegePublishAudioStream, audio},
			{PrivilegePublishVideoStream, video},
			{PrivilegePublishDataStream, data},
		}
	}
	return Service{Type: ServiceRTC, Channel: channel, Account: account, Privileges: p}
}

// checkRTC checks what all builders of RTC tokens are given.
func checkRTC(appID, channel, account string, expire uint32, privileges ...uint32) error {
	return firstError(checkID(appID), checkChannel(channel), checkAccount(account), checkExpire(expire), checkPrivilegeExpire(privileges...))
}

// NewTokenWithUid returns an RTC token, not yet signed; see BuildTokenWithUid.
func NewTokenWithUid(appID, channel string, uid uint32, role Role, expire, privilegeExpire uint32) (*Token, error) {
	return NewTokenWithUserAccount(appID, channel, UidString(uid), role, expire, privilegeExpire)
}

// BuildTokenWithUid returns an RTC token for a channel (at most 63 bytes) and
// a numeric uid.
//
// The uid 0 matches every user, "*" or a blank channel every channel; patterns
// such as "1*a*2" are matched by the vendor's servers. expire is the token's
// lifetime, 1 to 86400 seconds; privilegeExpire that of its privileges, 0 to
// 86400 seconds. A privilegeExpire of 0 is packed as it is, as the vendor's
// builder does; what it means is documented in contradictory ways (see the
// package documentation), so pass the token's lifetime instead.
func BuildTokenWithUid(appID, appCertificate, channel string, uid uint32, role Role, expire, privilegeExpire uint32) (string, error) {
	t, err := NewTokenWithUid(appID, channel, uid, role, expire, privilegeExpire)
	return sign(t, err, appCertificate)
}

// NewTokenWithUserAccount returns an RTC token, not yet signed; see
// BuildTokenWithUserAccount.
func NewTokenWithUserAccount(appID, channel, account string, role Role, expire, privilegeExpire uint32) (*Token, error) {
	if err := checkRTC(appID, channel, account, expire, privilegeExpire); err != nil {
		return nil, err
	}
	return newToken(appID, expire, rtcService(channel, account, role, privilegeExpire, privilegeExpire, privilegeExpire, privilegeExpire)), nil
}

// BuildTokenWithUserAccount is BuildTokenWithUid for a user account of at most
// 255 bytes. "*" matches every user; the account "0" is not the uid 0.
func BuildTokenWithUserAccount(appID, appCertificate, channel, account string, role Role, expire, privilegeExpire uint32) (string, error) {
	t, err := NewTokenWithUserAccount(appID, channel, account, role, expire, privilegeExpire)
	return sign(t, err, appCertificate)
}

// NewTokenWithUidAndPrivilege returns an RTC token, not yet signed; see
// BuildTokenWithUidAndPrivilege.
func NewTokenWithUidAndPrivilege(appID, channel string, uid uint32, expire, joinExpire, audioExpire, videoExpire, dataExpire uint32) (*Token, error) {
	return NewTokenWithUserAccountAndPrivilege(appID, channel, UidString(uid), expire, joinExpire, audioExpire, videoExpire, dataExpire)
}

// BuildTokenWithUidAndPrivilege is BuildTokenWithUid with a lifetime for each
// privilege: joining, and publishing audio, video and data, each 0 to 86400
// seconds. All four are always packed, a 0 too. A user is removed from the
// channel when the join privilege ends, even if others last longer.
func BuildTokenWithUidAndPrivilege(appID, appCertificate, channel string, uid uint32, expire, joinExpire, audioExpire, videoExpire, dataExpire uint32) (string, error) {
	t, err := NewTokenWithUidAndPrivilege(appID, channel, uid, expire, joinExpire, audioExpire, videoExpire, dataExpire)
	return sign(t, err, appCertificate)
}

// NewTokenWithUserAccountAndPrivilege returns an RTC token, not yet signed;
// see BuildTokenWithUserAccountAndPrivilege.
func NewTokenWithUserAccountAndPrivilege(appID, channel, account string, expire, joinExpire, audioExpire, videoExpire, dataExpire uint32) (*Token, error) {
	if err := checkRTC(appID, channel, account, expire, joinExpire, audioExpire, videoExpire, dataExpire); err != nil {
		return nil, err
	}
	return newToken(appID, expire, rtcService(channel, account, RolePublisher, joinExpire, audioExpire, videoExpire, dataExpire)), nil
}

// BuildTokenWithUserAccountAndPrivilege is BuildTokenWithUidAndPrivilege for a
// user account.
func BuildTokenWithUserAccountAndPrivilege(appID, appCertificate, channel, account string, expire, joinExpire, audioExpire, videoExpire, dataExpire uint32) (string, error) {
	t, err := NewTokenWithUserAccountAndPrivilege(appID, channel, account, expire, joinExpire, audioExpire, videoExpire, dataExpire)
	return sign(t, err, appCertificate)
}

// NewTokenWithRtm returns an RTC and RTM token, not yet signed; see
// BuildTokenWithRtm.
func NewTokenWithRtm(appID, channel, account string, role Role, expire, privilegeExpire uint32) (*Token, error) {
	if err := checkRTC(appID, channel, account, expire, privilegeExpire); err != nil {
		return nil, err
	}
	return newToken(appID, expire,
		rtcService(channel, account, role, privilegeExpire, privilegeExpire, privilegeExpire, privilegeExpire),
		rtmService(account, expire)), nil
}

// BuildTokenWithRtm returns a token for RTC, as BuildTokenWithUserAccount
// does, and for RTM with the same account and the token's lifetime.
//
// The vendor documents at most 64 bytes for an RTM user ID; since the token
// remains good for RTC, only the account's limit of 255 bytes is enforced.
func BuildTokenWithRtm(appID, appCertificate, channel, account string, role Role, expire, privilegeExpire uint32) (string, error) {
	t, err := NewTokenWithRtm(appID, channel, account, role, expire, privilegeExpire)
	return sign(t, err, appCertificate)
}

// NewTokenWithRtm2 returns an RTC and RTM token, not yet signed; see
// BuildTokenWithRtm2.
func NewTokenWithRtm2(appID, channel, rtcAccount string, rtcRole Role, rtcExpire, joinExpire, audioExpire, videoExpire, dataExpire uint32, rtmUserID string, rtmExpire uint32) (*Token, error) {
	if err := firstError(checkRTC(appID, channel, rtcAccount, rtcExpire, joinExpire, audioExpire, videoExpire, dataExpire, rtmExpire),
		checkName("rtm user ID", rtmUserID, MaxRtmUserID)); err != nil {
		return nil, err
	}
	return newToken(appID, rtcExpire,
		rtcService(channel, rtcAccount, rtcRole, joinExpire, audioExpire, videoExpire, dataExpire),
		rtmService(rtmUserID, rtmExpire)), nil
}

// BuildTokenWithRtm2 returns a token for RTC and for RTM (service type 2, not
// RTM2) with an account and lifetimes of their own. The token's lifetime is
// rtcExpire; the publishing lifetimes only matter for RolePublisher; rtmExpire
// may be 0 to 86400 seconds. The RTM user ID may have 64 bytes.
func BuildTokenWithRtm2(appID, appCertificate, channel, rtcAccount string, rtcRole Role, rtcExpire, joinExpire, audioExpire, videoExpire, dataExpire uint32, rtmUserID string, rtmExpire uint32) (string, error) {
	t, err := NewTokenWithRtm2(appID, channel, rtcAccount, rtcRole, rtcExpire, joinExpire, audioExpire, videoExpire, dataExpire, rtmUserID, rtmExpire)
	return sign(t, err, appCertificate)
}
