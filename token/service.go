package token

import (
	"slices"
	"strconv"
)

// ServiceType is the kind of a Service (AccessToken2, AgoraIO/Tools).
type ServiceType uint16

// The service types. Streaming, FCDN and RTM2 came with the reference of July
// 2026; older parsers do not know them. Conversational AI calls take an RTC
// token, usually with RTM beside it. The vendor's newest code also has the
// types 9 (ConvoAI) and 10 (STT), without fields of their own; Parse keeps them
// in Unparsed.
const (
	ServiceRTC       ServiceType = 1
	ServiceRTM       ServiceType = 2
	ServiceStreaming ServiceType = 3
	ServiceFPA       ServiceType = 4
	ServiceChat      ServiceType = 5
	ServiceFCDN      ServiceType = 6
	ServiceEducation ServiceType = 7 // "APaaS" in the vendor's code
	ServiceRTM2      ServiceType = 8
)

var serviceNames = [...]string{
	ServiceRTC: "rtc", ServiceRTM: "rtm", ServiceStreaming: "streaming", ServiceFPA: "fpa",
	ServiceChat: "chat", ServiceFCDN: "fcdn", ServiceEducation: "education", ServiceRTM2: "rtm2",
}

// Known reports whether the type is one of the constants above.
func (st ServiceType) Known() bool { return st >= ServiceRTC && st <= ServiceRTM2 }

// String returns rtc, rtm, streaming, fpa, chat, fcdn, education or rtm2, and
// "service-N" for other types.
func (st ServiceType) String() string {
	if st.Known() {
		return serviceNames[st]
	}
	return "service-" + strconv.Itoa(int(st))
}

// PrivilegeID names a privilege within its service's type.
type PrivilegeID uint16

// Privileges by service type (AccessToken2, AgoraIO/Tools).
const (
	PrivilegeJoinChannel        PrivilegeID = 1 // RTC
	PrivilegePublishAudioStream PrivilegeID = 2 // RTC
	PrivilegePublishVideoStream PrivilegeID = 3 // RTC
	PrivilegePublishDataStream  PrivilegeID = 4 // RTC

	PrivilegeLogin PrivilegeID = 1 // RTM, RTM2, FPA

	PrivilegePublishMixStream PrivilegeID = 1 // Streaming
	PrivilegePublishRawStream PrivilegeID = 2 // Streaming

	PrivilegeChatUser PrivilegeID = 1 // Chat
	PrivilegeChatApp  PrivilegeID = 2 // Chat

	PrivilegeFCDNPublish PrivilegeID = 1 // FCDN
	PrivilegeFCDNPlay    PrivilegeID = 2 // FCDN

	PrivilegeEducationRoomUser PrivilegeID = 1 // Education
	PrivilegeEducationUser     PrivilegeID = 2 // Education
	PrivilegeEducationApp      PrivilegeID = 3 // Education
)

var privilegeNames = [...][]string{
	ServiceRTC:       {"join channel", "publish audio", "publish video", "publish data"},
	ServiceRTM:       {"login"},
	ServiceStreaming: {"publish mixed stream", "publish raw stream"},
	ServiceFPA:       {"login"},
	ServiceChat:      {"chat user", "chat app"},
	ServiceFCDN:      {"publish", "play"},
	ServiceEducation: {"room user", "user", "app"},
	ServiceRTM2:      {"login"},
}

// PrivilegeName returns a few words for a privilege, or "privilege N" for one
// that is not documented.
func PrivilegeName(st ServiceType, id PrivilegeID) string {
	if st.Known() && id >= 1 && int(id) <= len(privilegeNames[st]) {
		return privilegeNames[st][id-1]
	}
	return "privilege " + strconv.Itoa(int(id))
}

// A Privilege grants one thing for a number of seconds from the token's
// IssuedAt. What 0 means is documented in three contradictory ways; see the
// package documentation.
type Privilege struct {
	ID     PrivilegeID
	Expire uint32
}

// Privileges are the privileges of a service: each ID at most once, packed in
// ascending order of the IDs.
type Privileges []Privilege

// Get returns the lifetime of a privilege in seconds, and whether it is there.
func (p Privileges) Get(id PrivilegeID) (expire uint32, ok bool) {
	for _, e := range p {
		if e.ID == id {
			return e.Expire, true
		}
	}
	return 0, false
}

// Set gives a privilege a lifetime in seconds, adding it if it is not there.
func (p *Privileges) Set(id PrivilegeID, expire uint32) {
	for i := range *p {
		if (*p)[i].ID == id {
			(*p)[i].Expire = expire
			return
		}
	}
	*p = append(*p, Privilege{ID: id, Expire: expire})
}

// A Service is one service that a token is for. Which fields are packed
// depends on the type; the others are ignored:
//
//	rtc, streaming, fcdn  Channel, Account
//	rtm, chat             Account
//	fpa                   none
//	education             Room, Account, Role
//	rtm2                  Account, Permissions
//
// Strings are packed byte for byte; each may have up to 65535 bytes.
type Service struct {
	Type       ServiceType
	Privileges Privileges
	Channel    string
	Account    string // user account, decimal uid, RTM or Chat user ID; "" stands for uid 0
	Room       string
	Role       int16 // in the room; -1 where there is none

	Permissions Permissions
}

func (st ServiceType) hasChannel() bool {
	return st == ServiceRTC || st == ServiceStreaming || st == ServiceFCDN
}

func (st ServiceType) hasAccount() bool { return st != ServiceFPA }

// ResourceType is what an RTM2 permission is about.
type ResourceType uint16

// Resource types of RTM2 permissions (AccessToken2, AgoraIO/Tools).
const (
	ResourceMessageChannels ResourceType = 0
	ResourceStreamChannels  ResourceType = 1
	ResourceGroupChannels   ResourceType = 2
	ResourceServerGroups    ResourceType = 3
	ResourceUsers           ResourceType = 4
)

var resourceNames = [...]string{"message channels", "stream channels", "group channels", "server groups", "users"}

// String returns the resource in words.
func (r ResourceType) String() string {
	if int(r) < len(resourceNames) {
		return resourceNames[r]
	}
	return "resource " + strconv.Itoa(int(r))
}

// PermissionType is what an RTM2 permission allows.
type PermissionType uint16

// Permission types of RTM2 (AccessToken2, AgoraIO/Tools).
const (
	PermissionRead  PermissionType = 0
	PermissionWrite PermissionType = 1
)

// String returns the permission in words.
func (p PermissionType) String() string {
	switch p {
	case PermissionRead:
		return "read"
	case PermissionWrite:
		return "write"
	}
	return "permission " + strconv.Itoa(int(p))
}

// A Permission allows one kind of access to the named resources. Names keep
// their order and their duplicates.
type Permission struct {
	Type  PermissionType
	Names []string
}

// ResourcePermissions are the permissions for one type of resource, each type
// of permission at most once.
type ResourcePermissions struct {
	Resource    ResourceType
	Permissions []Permission
}

// Permissions are the permissions of an RTM2 service: each resource at most
// once, packed in ascending order.
type Permissions []ResourcePermissions

// Add allows a kind of access to further names of a resource.
func (p *Permissions) Add(resource ResourceType, permission PermissionType, names ...string) {
	i := slices.IndexFunc(*p, func(r ResourcePermissions) bool { return r.Resource == resource })
	if i < 0 {
		i = len(*p)
		*p = append(*p, ResourcePermissions{Resource: resource})
	}
	perms := &(*p)[i].Permissions
	j := slices.IndexFunc(*perms, func(e Permission) bool { return e.Type == permission })
	if j < 0 {
		j = len(*perms)
		*perms = append(*perms, Permission{Type: permission})
	}
	(*perms)[j].Names = append((*perms)[j].Names, names...)
}
