//lint:file-ignore SA1019 The older token formats are deprecated, and can be minted and inspected all the same.

package command

import (
	"fmt"
	"math"
	"strconv"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// tokenKinds are the kinds that `token` mints, in the order of its help.
var tokenKinds = []tokenKind{
	{name: "convoai", short: "RTC and RTM, as the vendor's SDKs sign Conversational AI calls",
		takes: "channel account uid expire privilege-expire issued-at salt", mint: mintConvoAI},
	{name: "rtc", short: "To join an RTC channel",
		takes: "channel account uid role expire privilege-expire issued-at salt", mint: mintRTC},
	{name: "rtm", short: "To log in to RTM (Signaling)",
		takes: "account uid expire issued-at salt", mint: mintRTM},
	{name: "chat-user", short: "For a Chat user",
		takes: "account uid expire issued-at salt", mint: mintChatUser},
	{name: "chat-app", short: "For Chat's REST API: may do everything in the app",
		takes: "expire issued-at salt", mint: mintChatApp},
	{name: "education-room-user", short: "For a user in a room of Flexible Classroom",
		takes: "room channel account uid role expire issued-at salt", mint: mintRoomUser},
	{name: "education-user", short: "For a user of Flexible Classroom",
		takes: "account uid expire issued-at salt", mint: mintEducationUser},
	{name: "education-app", short: "For Flexible Classroom's REST API",
		takes: "expire issued-at salt", mint: mintEducationApp},
	{name: "fpa", short: "For the Full-path Accelerator; always 24 hours",
		takes: "issued-at salt", mint: mintFPA},

	{name: "rtc-006", short: "To join an RTC channel, AccessToken 006 (replaced by rtc)",
		takes: "channel account uid role expires-at issued-at salt", mint: mintRTC006},
	{name: "rtm-006", short: "To log in to RTM, AccessToken 006 (replaced by rtm)",
		takes: "account uid expires-at issued-at salt", mint: mintRTM006},
	{name: "dynamic-key-1", short: "DynamicKey 1 (replaced by rtc)",
		takes: "channel issued-at salt", ignores: "uid expires-at service account", mint: mintDynamicKey(1)},
	{name: "dynamic-key-2", short: "DynamicKey 2 (replaced by rtc)",
		takes: "channel uid expires-at issued-at salt", ignores: "service account", mint: mintDynamicKey(2)},
	{name: "dynamic-key-3", short: "DynamicKey 3 (replaced by rtc)",
		takes: "channel uid expires-at issued-at salt", ignores: "service account", mint: mintDynamicKey(3)},
	{name: "dynamic-key-4", short: "DynamicKey 4 (replaced by rtc)",
		takes: "channel uid expires-at issued-at salt service", ignores: "account", mint: mintDynamicKey(4)},
	{name: "dynamic-key-5", short: "DynamicKey 5 (replaced by rtc)",
		takes: "channel uid expires-at issued-at salt service allow-upload", ignores: "account", mint: mintDynamicKey(5)},
	{name: "signaling", short: "Token of the first Signaling SDK (replaced by rtm)",
		takes: "account expires-at", ignores: "channel uid issued-at salt", mint: mintSignaling},
}

func mintConvoAI(f *tokenFlags, keys appKeys) (string, error) {
	if err := f.requireChannel(); err != nil {
		return "", err
	}
	account, err := f.user()
	if err != nil {
		return "", err
	}
	expire, privilege, err := f.lifetimes()
	if err != nil {
		return "", err
	}
	t, err := token.NewConvoAI(keys.appID, f.channel, account, expire, privilege)
	return f.sign(t, err, keys.appCertificate)
}

func mintRTC(f *tokenFlags, keys appKeys) (string, error) {
	if err := f.requireChannel(); err != nil {
		return "", err
	}
	account, err := f.rtcAccount()
	if err != nil {
		return "", err
	}
	role := token.RolePublisher
	switch f.role {
	case "", "publisher":
	case "subscriber":
		role = token.RoleSubscriber
	default:
		return "", fmt.Errorf("--role must be publisher or subscriber")
	}
	expire, privilege, err := f.lifetimes()
	if err != nil {
		return "", err
	}
	t, err := token.NewTokenWithUserAccount(keys.appID, f.channel, account, role, expire, privilege)
	return f.sign(t, err, keys.appCertificate)
}

// forUser mints with a function that takes a user and a lifetime.
func (f *tokenFlags) forUser(keys appKeys, build func(appID, user string, expire uint32) (*token.Token, error)) (string, error) {
	user, err := f.user()
	if err != nil {
		return "", err
	}
	expire, _, err := f.lifetimes()
	if err != nil {
		return "", err
	}
	t, err := build(keys.appID, user, expire)
	return f.sign(t, err, keys.appCertificate)
}

// forApp mints with a function that takes a lifetime.
func (f *tokenFlags) forApp(keys appKeys, build func(appID string, expire uint32) (*token.Token, error)) (string, error) {
	expire, _, err := f.lifetimes()
	if err != nil {
		return "", err
	}
	t, err := build(keys.appID, expire)
	return f.sign(t, err, keys.appCertificate)
}

func mintRTM(f *tokenFlags, keys appKeys) (string, error) { return f.forUser(keys, token.NewRtmToken) }
func mintChatUser(f *tokenFlags, keys appKeys) (string, error) {
	return f.forUser(keys, token.NewChatUserToken)
}
func mintEducationUser(f *tokenFlags, keys appKeys) (string, error) {
	return f.forUser(keys, token.NewUserToken)
}
func mintChatApp(f *tokenFlags, keys appKeys) (string, error) {
	return f.forApp(keys, token.NewChatAppToken)
}
func mintEducationApp(f *tokenFlags, keys appKeys) (string, error) {
	return f.forApp(keys, token.NewAppToken)
}

func mintRoomUser(f *tokenFlags, keys appKeys) (string, error) {
	room := f.room
	switch {
	case f.Changed("room") && f.Changed("channel"):
		return "", fmt.Errorf("--room and --channel mean the same here: give one of them")
	case f.Changed("channel"):
		room = f.channel
	case !f.Changed("room"):
		return "", fmt.Errorf("which room? Give --room")
	}
	role, err := strconv.ParseInt(f.role, 10, 16)
	if err != nil {
		return "", fmt.Errorf("--role must be given as a number from %d to %d", math.MinInt16, math.MaxInt16)
	}
	return f.forUser(keys, func(appID, user string, expire uint32) (*token.Token, error) {
		return token.NewRoomUserToken(appID, room, user, int16(role), expire)
	})
}

func mintFPA(f *tokenFlags, keys appKeys) (string, error) {
	t, err := token.NewFpaToken(keys.appID)
	return f.sign(t, err, keys.appCertificate)
}

// end returns when a token of the older formats ends: in 24 hours by default.
func (f *tokenFlags) end() (uint32, error) {
	return f.number("expires-at", f.expiresAt, uint32(f.now.Unix())+token.MaxExpire)
}

// sign006 is sign for an AccessToken 006.
func (f *tokenFlags) sign006(t *legacy.AccessToken, err error, appCertificate string) (string, error) {
	if err != nil {
		return "", err
	}
	if t.IssuedAt, err = f.number("issued-at", f.issuedAt, uint32(f.now.Unix())+token.MaxExpire); err != nil {
		return "", err
	}
	if t.Salt, err = f.number("salt", f.salt, t.Salt); err != nil {
		return "", err
	}
	return t.Sign(appCertificate)
}

var roles006 = map[string]legacy.Role{
	"": legacy.RolePublisher, "publisher": legacy.RolePublisher, "subscriber": legacy.RoleSubscriber,
	"attendee": legacy.RoleAttendee, "admin": legacy.RoleAdmin,
}

func mintRTC006(f *tokenFlags, keys appKeys) (string, error) {
	if err := f.requireChannel(); err != nil {
		return "", err
	}
	account, err := f.rtcAccount()
	if err != nil {
		return "", err
	}
	role, ok := roles006[f.role]
	if !ok {
		return "", fmt.Errorf("--role must be publisher, subscriber, attendee or admin")
	}
	end, err := f.end()
	if err != nil {
		return "", err
	}
	t, err := legacy.NewTokenWithUserAccount(keys.appID, f.channel, account, role, end)
	return f.sign006(t, err, keys.appCertificate)
}

func mintRTM006(f *tokenFlags, keys appKeys) (string, error) {
	user, err := f.user()
	if err != nil {
		return "", err
	}
	end, err := f.end()
	if err != nil {
		return "", err
	}
	t, err := legacy.NewRtmToken(keys.appID, user, end)
	return f.sign006(t, err, keys.appCertificate)
}

func mintDynamicKey(version int) func(*tokenFlags, appKeys) (string, error) {
	return func(f *tokenFlags, keys appKeys) (string, error) {
		if err := f.requireChannel(); err != nil {
			return "", err
		}
		k := &legacy.DynamicKey{Version: version, AppID: keys.appID, Channel: f.channel, Salt: token.RandomSalt()}
		var err error
		if k.IssuedAt, err = f.number("issued-at", f.issuedAt, uint32(f.now.Unix())); err != nil {
			return "", err
		}
		if k.Salt, err = f.number("salt", f.salt, k.Salt); err != nil {
			return "", err
		}
		if version >= 2 {
			if k.UID, err = f.number("uid", f.uid, 0); err != nil {
				return "", err
			}
			if k.ExpiresAt, err = f.end(); err != nil {
				return "", err
			}
		}
		if version >= 4 {
			if k.Service, err = legacy.ParseService(f.service); err != nil {
				return "", fmt.Errorf("--%w", err)
			}
		}
		if version == 5 {
			if err := f.permission(k); err != nil {
				return "", err
			}
		}
		return k.Sign(keys.appCertificate)
	}
}

// permission adds --allow-upload to a key for in-channel permission.
func (f *tokenFlags) permission(k *legacy.DynamicKey) error {
	switch permission := k.Service == legacy.ServiceInChannelPermission; {
	case !permission && f.Changed("allow-upload"):
		return fmt.Errorf("--allow-upload belongs to --service in-channel-permission")
	case permission && f.allowUpload != legacy.AllowUploadNone && f.allowUpload != legacy.AllowUploadAudioVideo:
		return fmt.Errorf("--service in-channel-permission needs --allow-upload 0 or 3")
	case permission:
		k.Extra = []legacy.Extra{{Key: legacy.ExtraAllowUpload, Value: f.allowUpload}}
	}
	return nil
}

func mintSignaling(f *tokenFlags, keys appKeys) (string, error) {
	if !f.Changed("account") {
		return "", fmt.Errorf("whose token? Give --account")
	}
	end, err := f.end()
	if err != nil {
		return "", err
	}
	return legacy.GenerateSignalingToken(f.account, keys.appID, keys.appCertificate, end)
}
