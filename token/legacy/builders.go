package legacy

import (
	"fmt"

	"github.com/caddy-convoai/convoai/token"
)

// Role decides what the owner of an RTC token may do in the channel.
type Role uint16

// Roles of the RTC builders (RtcTokenBuilder, AgoraIO/Tools).
const (
	RoleAttendee   Role = 0   // as RolePublisher
	RolePublisher  Role = 1   // may publish audio, video and data
	RoleSubscriber Role = 2   // may only join
	RoleAdmin      Role = 101 // as RolePublisher
)

func checkName(field, name string, limit int) error {
	if len(name) > limit {
		return &token.RangeError{Field: field, Rule: fmt.Sprintf("must have at most %d bytes", limit)}
	}
	return nil
}

// NewTokenWithUserAccount returns an RTC token, not yet signed; see
// BuildTokenWithUserAccount.
func NewTokenWithUserAccount(appID, channel, account string, role Role, expiresAt uint32) (*AccessToken, error) {
	if !token.ValidID(appID) {
		return nil, token.ErrAppID
	}
	if err := checkName("channel", channel, token.MaxChannel); err != nil {
		return nil, err
	}
	if err := checkName("account", account, token.MaxAccount); err != nil {
		return nil, err
	}
	t := NewAccessToken(appID, channel, account)
	t.SetPrivilege(PrivilegeJoinChannel, expiresAt)
	switch role {
	case RoleAttendee, RolePublisher, RoleAdmin:
		t.SetPrivilege(PrivilegePublishAudioStream, expiresAt)
		t.SetPrivilege(PrivilegePublishVideoStream, expiresAt)
		t.SetPrivilege(PrivilegePublishDataStream, expiresAt)
	}
	return t, nil
}

// BuildTokenWithUserAccount returns an RTC token "006" for a channel (at most
// 63 bytes) and a user account (at most 255 bytes). Its privileges end at a
// point in time in Unix seconds, not, as those of AccessToken2, after a number
// of seconds.
//
// Deprecated: use token.BuildTokenWithUserAccount.
func BuildTokenWithUserAccount(appID, appCertificate, channel, account string, role Role, expiresAt uint32) (string, error) {
	t, err := NewTokenWithUserAccount(appID, channel, account, role, expiresAt)
	if err != nil {
		return "", err
	}
	return t.Sign(appCertificate)
}

// BuildTokenWithUID is BuildTokenWithUserAccount for a numeric uid; 0 stands
// for any user.
//
// Deprecated: use token.BuildTokenWithUid.
func BuildTokenWithUID(appID, appCertificate, channel string, uid uint32, role Role, expiresAt uint32) (string, error) {
	return BuildTokenWithUserAccount(appID, appCertificate, channel, token.UidString(uid), role, expiresAt)
}

// NewRtmToken returns an RTM token, not yet signed; see BuildRtmToken.
func NewRtmToken(appID, userAccount string, expiresAt uint32) (*AccessToken, error) {
	if !token.ValidID(appID) {
		return nil, token.ErrAppID
	}
	if err := checkName("account", userAccount, token.MaxRtmUserID); err != nil {
		return nil, err
	}
	t := NewAccessToken(appID, userAccount, "")
	t.SetPrivilege(PrivilegeRtmLogin, expiresAt)
	return t, nil
}

// BuildRtmToken returns an RTM token "006" for a user account of at most 64
// bytes: RtmTokenBuilder.BuildToken in the vendor's code, whose role argument
// has only one value. The login ends at a point in time in Unix seconds.
//
// Deprecated: use token.BuildRtmToken.
func BuildRtmToken(appID, appCertificate, userAccount string, expiresAt uint32) (string, error) {
	t, err := NewRtmToken(appID, userAccount, expiresAt)
	if err != nil {
		return "", err
	}
	return t.Sign(appCertificate)
}

// SimpleRole is a role of SimpleTokenBuilder, which numbers them otherwise
// than RtcTokenBuilder.
type SimpleRole uint16

// Roles of SimpleTokenBuilder (AgoraIO/Tools, Go and Perl).
const (
	SimpleRoleAttendee   SimpleRole = 1
	SimpleRolePublisher  SimpleRole = 2
	SimpleRoleSubscriber SimpleRole = 3
	SimpleRoleAdmin      SimpleRole = 4
)

var simplePrivileges = map[SimpleRole][]PrivilegeID{
	SimpleRoleAttendee: {
		PrivilegeJoinChannel, PrivilegePublishAudioStream, PrivilegePublishVideoStream, PrivilegePublishDataStream,
	},
	SimpleRolePublisher: {
		PrivilegeJoinChannel, PrivilegePublishAudioStream, PrivilegePublishVideoStream, PrivilegePublishDataStream,
		PrivilegePublishAudioCDN, PrivilegePublishVideoCDN,
		PrivilegeInvitePublishAudioStream, PrivilegeInvitePublishVideoStream, PrivilegeInvitePublishDataStream,
	},
	SimpleRoleSubscriber: {
		PrivilegeJoinChannel,
		PrivilegeRequestPublishAudioStream, PrivilegeRequestPublishVideoStream, PrivilegeRequestPublishDataStream,
	},
	SimpleRoleAdmin: {
		PrivilegeJoinChannel, PrivilegePublishAudioStream, PrivilegePublishVideoStream, PrivilegePublishDataStream,
		PrivilegeAdministrateChannel,
	},
}

// A SimpleTokenBuilder builds an AccessToken "006" privilege by privilege.
//
// Deprecated: use package token.
type SimpleTokenBuilder struct {
	Token          *AccessToken
	AppCertificate string
}

// CreateSimpleTokenBuilder returns a builder for a channel and a numeric uid;
// 0 stands for any user.
//
// Deprecated: use package token.
func CreateSimpleTokenBuilder(appID, appCertificate, channel string, uid uint32) *SimpleTokenBuilder {
	return CreateSimpleTokenBuilder2(appID, appCertificate, channel, token.UidString(uid))
}

// CreateSimpleTokenBuilder2 returns a builder for a channel and a user account.
//
// Deprecated: use package token.
func CreateSimpleTokenBuilder2(appID, appCertificate, channel, account string) *SimpleTokenBuilder {
	return &SimpleTokenBuilder{Token: NewAccessToken(appID, channel, account), AppCertificate: appCertificate}
}

// InitPrivileges adds a role's privileges, without end. An unknown role is an
// error.
func (b *SimpleTokenBuilder) InitPrivileges(role SimpleRole) error {
	list, ok := simplePrivileges[role]
	if !ok {
		return fmt.Errorf("role %d is not one of SimpleTokenBuilder's, 1 to 4", role)
	}
	for _, p := range list {
		b.Token.SetPrivilege(p, 0)
	}
	return nil
}

// InitTokenBuilder takes over app ID, time, salt and privileges of a token.
func (b *SimpleTokenBuilder) InitTokenBuilder(origin string) error {
	t, err := ParseAccessToken(origin)
	if err != nil {
		return err
	}
	t.Channel, t.UID = b.Token.Channel, b.Token.UID
	b.Token = t
	return nil
}

// SetPrivilege grants a privilege until a point in time in Unix seconds.
func (b *SimpleTokenBuilder) SetPrivilege(id PrivilegeID, expiresAt uint32) {
	b.Token.SetPrivilege(id, expiresAt)
}

// RemovePrivilege takes a privilege away.
func (b *SimpleTokenBuilder) RemovePrivilege(id PrivilegeID) { b.Token.RemovePrivilege(id) }

// BuildToken returns the token string.
func (b *SimpleTokenBuilder) BuildToken() (string, error) { return b.Token.Sign(b.AppCertificate) }
