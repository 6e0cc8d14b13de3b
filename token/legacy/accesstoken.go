package legacy

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/internal/wire"
)

const accessTokenVersion = "006"

// maxAccessToken is the longest "006" token that is looked at: a full message
// of 65535 bytes with what stands around it, in base64.
const maxAccessToken = len(accessTokenVersion) + 32 + (2+sha256.Size+4+4+2+wire.MaxString+2)/3*4

// PrivilegeID names a privilege of an AccessToken.
type PrivilegeID uint16

// Privileges of AccessToken "006" (AgoraIO/Tools, AccessToken.h).
const (
	PrivilegeJoinChannel               PrivilegeID = 1
	PrivilegePublishAudioStream        PrivilegeID = 2
	PrivilegePublishVideoStream        PrivilegeID = 3
	PrivilegePublishDataStream         PrivilegeID = 4
	PrivilegePublishAudioCDN           PrivilegeID = 5
	PrivilegePublishVideoCDN           PrivilegeID = 6
	PrivilegeRequestPublishAudioStream PrivilegeID = 7
	PrivilegeRequestPublishVideoStream PrivilegeID = 8
	PrivilegeRequestPublishDataStream  PrivilegeID = 9
	PrivilegeInvitePublishAudioStream  PrivilegeID = 10
	PrivilegeInvitePublishVideoStream  PrivilegeID = 11
	PrivilegeInvitePublishDataStream   PrivilegeID = 12
	PrivilegeAdministrateChannel       PrivilegeID = 101
	PrivilegeRtmLogin                  PrivilegeID = 1000
)

var privilegeNames = map[PrivilegeID]string{
	PrivilegeJoinChannel:               "join channel",
	PrivilegePublishAudioStream:        "publish audio",
	PrivilegePublishVideoStream:        "publish video",
	PrivilegePublishDataStream:         "publish data",
	PrivilegePublishAudioCDN:           "publish audio to a CDN",
	PrivilegePublishVideoCDN:           "publish video to a CDN",
	PrivilegeRequestPublishAudioStream: "request to publish audio",
	PrivilegeRequestPublishVideoStream: "request to publish video",
	PrivilegeRequestPublishDataStream:  "request to publish data",
	PrivilegeInvitePublishAudioStream:  "invite to publish audio",
	PrivilegeInvitePublishVideoStream:  "invite to publish video",
	PrivilegeInvitePublishDataStream:   "invite to publish data",
	PrivilegeAdministrateChannel:       "administrate channel",
	PrivilegeRtmLogin:                  "rtm login",
}

// String returns a few words for the privilege.
func (p PrivilegeID) String() string {
	if name, ok := privilegeNames[p]; ok {
		return name
	}
	return fmt.Sprintf("privilege %d", uint16(p))
}

// A Privilege grants one thing until a point in time, in Unix seconds; 0 is
// packed as it is, and by the vendor's documents means: without end.
type Privilege struct {
	ID        PrivilegeID
	ExpiresAt uint32
}

// An AccessToken is an AccessToken "006".
//
// Deprecated: use token.Token.
type AccessToken struct {
	// AppID is 32 hexadecimal digits.
	AppID string
	// IssuedAt is what the format calls ts, in Unix seconds. The vendor's
	// builders put the time of issue plus 24 hours there.
	IssuedAt uint32
	// Salt diversifies the signature.
	Salt uint32
	// Privileges are packed in ascending order of their IDs, each ID once.
	Privileges []Privilege

	// Channel and UID are what the token is for. The string has only their
	// checksums, so after ParseAccessToken they are empty: set them before
	// Verify or Sign. The UID is the decimal uid or the user account; "" stands
	// for the uid 0. An RTM token has the user as channel and no UID.
	Channel, UID string

	// CRCChannel and CRCUid are the checksums (CRC-32, IEEE) as parsed. Sign
	// computes them from Channel and UID.
	CRCChannel, CRCUid uint32

	// Unsorted makes Sign pack the privileges in the order they are in.
	// ParseAccessToken sets it for a token that is not in ascending order.
	Unsorted bool

	signature string
	message   string
}

// NewAccessToken returns a token with no privileges, dated as the vendor's
// builders do, with a random salt.
func NewAccessToken(appID, channel, uid string) *AccessToken {
	return &AccessToken{AppID: appID, Channel: channel, UID: uid, IssuedAt: now() + 24*60*60, Salt: token.RandomSalt()}
}

// Format returns "006".
func (*AccessToken) Format() string { return accessTokenVersion }

// SetPrivilege grants a privilege until a point in time in Unix seconds.
func (t *AccessToken) SetPrivilege(id PrivilegeID, expiresAt uint32) {
	for i := range t.Privileges {
		if t.Privileges[i].ID == id {
			t.Privileges[i].ExpiresAt = expiresAt
			return
		}
	}
	t.Privileges = append(t.Privileges, Privilege{id, expiresAt})
}

// RemovePrivilege takes a privilege away.
func (t *AccessToken) RemovePrivilege(id PrivilegeID) {
	t.Privileges = slices.DeleteFunc(t.Privileges, func(p Privilege) bool { return p.ID == id })
}

// Sign returns the token string for Channel and UID. See Token.
func (t *AccessToken) Sign(appCertificate string) (string, error) {
	if err := checkIDs(t.AppID, appCertificate); err != nil {
		return "", err
	}
	message, err := t.packMessage()
	if err != nil {
		return "", err
	}
	b := wire.AppendString(nil, string(t.sign(appCertificate, message)))
	b = wire.AppendUint32(b, crc32.ChecksumIEEE([]byte(t.Channel)))
	b = wire.AppendUint32(b, crc32.ChecksumIEEE([]byte(t.UID)))
	b = wire.AppendString(b, message)
	return accessTokenVersion + t.AppID + base64.StdEncoding.EncodeToString(b), nil
}

func (t *AccessToken) sign(appCertificate, message string) []byte {
	return mac(sha256.New, []byte(appCertificate), t.AppID, t.Channel, t.UID, message)
}

func (t *AccessToken) packMessage() (string, error) {
	list := slices.Clone(t.Privileges)
	slices.SortFunc(list, func(a, b Privilege) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(list); i++ {
		if list[i].ID == list[i-1].ID {
			return "", fmt.Errorf("privilege %d is there twice", list[i].ID)
		}
	}
	if t.Unsorted {
		list = t.Privileges
	}
	if len(list) > maxPrivileges {
		return "", fmt.Errorf("%w: more than %d privileges", token.ErrTooLarge, maxPrivileges)
	}
	b := wire.AppendUint32(nil, t.Salt)
	b = wire.AppendUint32(b, t.IssuedAt)
	b = wire.AppendUint16(b, uint16(len(list)))
	for _, p := range list {
		b = wire.AppendUint16(b, uint16(p.ID))
		b = wire.AppendUint32(b, p.ExpiresAt)
	}
	return string(b), nil
}

// maxPrivileges is what fits into a packed string behind salt, time and count.
const maxPrivileges = (wire.MaxString - 4 - 4 - 2) / (2 + 4)

// ParseAccessToken reads an AccessToken "006". Channel and UID remain empty.
//
// Deprecated: the format; see token.Parse for AccessToken2.
func ParseAccessToken(s string) (*AccessToken, error) {
	rest, ok := strings.CutPrefix(s, accessTokenVersion)
	if !ok {
		return nil, unreadable(s)
	}
	if len(s) > maxAccessToken {
		return nil, corrupt("longer than a token can be")
	}
	if len(rest) < 32 || !token.ValidID(rest[:32]) {
		return nil, corrupt("its %v", token.ErrAppID)
	}
	content, err := decodeBase64(rest[32:])
	if err != nil {
		return nil, err
	}
	r := wire.NewReader(content)
	t := &AccessToken{AppID: rest[:32], signature: r.String(), CRCChannel: r.Uint32(), CRCUid: r.Uint32(), message: r.String()}
	if r.Err() != nil || len(t.signature) != sha256.Size {
		return nil, corrupt("content ends early")
	}
	if r.Len() > 0 {
		return nil, corrupt("data behind its end")
	}
	return t, t.readMessage()
}

func (t *AccessToken) readMessage() error {
	r := wire.NewReader(t.message)
	t.Salt, t.IssuedAt = r.Uint32(), r.Uint32()
	for range r.Uint16() {
		t.Privileges = append(t.Privileges, Privilege{PrivilegeID(r.Uint16()), r.Uint32()})
		if r.Err() != nil {
			break
		}
	}
	if r.Err() != nil {
		return corrupt("content ends early")
	}
	if r.Len() > 0 {
		return corrupt("data behind its end")
	}
	byID := func(a, b Privilege) int { return cmp.Compare(a.ID, b.ID) }
	t.Unsorted = !slices.IsSortedFunc(t.Privileges, byID)
	if _, err := t.packMessage(); err != nil {
		return corrupt("%v", err)
	}
	return nil
}

// decodeBase64 decodes what follows a version, as the vendor's code encodes it.
func decodeBase64(s string) (string, error) {
	if strings.ContainsAny(s, "\r\n") {
		return "", corrupt("line break within")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return "", corrupt("not base64, or cut short")
	}
	return string(b), nil
}

// Verify checks the signature for Channel and UID, which must be set. See
// Token.
func (t *AccessToken) Verify(appCertificate string) error {
	if t.message == "" {
		return token.ErrNotParsed
	}
	if err := checkIDs(t.AppID, appCertificate); err != nil {
		return err
	}
	if crc32.ChecksumIEEE([]byte(t.Channel)) != t.CRCChannel {
		return fmt.Errorf("%w: the token is for another channel", token.ErrSignature)
	}
	if crc32.ChecksumIEEE([]byte(t.UID)) != t.CRCUid {
		return fmt.Errorf("%w: the token is for another uid", token.ErrSignature)
	}
	if subtle.ConstantTimeCompare([]byte(t.signature), t.sign(appCertificate, t.message)) != 1 {
		return token.ErrSignature
	}
	return nil
}

// ExpiresAt returns when the last privilege ends, in Unix seconds, and whether
// there is such a time: there is none if a privilege has no end.
func (t *AccessToken) ExpiresAt() (at uint32, ok bool) {
	for _, p := range t.Privileges {
		if p.ExpiresAt == 0 {
			return math.MaxUint32, false
		}
		at = max(at, p.ExpiresAt)
	}
	return at, true
}

// CheckTime returns an error that matches token.ErrExpired if no privilege is
// left.
func (t *AccessToken) CheckTime(now time.Time) error {
	if at, ok := t.ExpiresAt(); ok {
		return expired(now, at)
	}
	return nil
}
