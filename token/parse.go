package token

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-convoai/convoai/token/internal/wire"
)

// maxText is the longest token string that Parse looks at: MaxPayload bytes
// that do not compress, in base64, with room for the compressor's own bytes.
const maxText = len(Version) + (MaxPayload+MaxPayload/64)/3*4

// Parse reads a token string of version "007". It does not check the
// signature or the time: see Verify and CheckTime. Every compressor's output
// is accepted.
//
// Errors match ErrNotToken, ErrUnsupportedVersion or ErrCorrupt. Parse never
// panics and uses bounded memory, whatever the input. From the first service
// of an unknown type on, the content is kept in Unparsed; the token can still
// be verified.
func Parse(s string) (*Token, error) {
	if err := checkVersion(s); err != nil {
		return nil, err
	}
	if len(s) > maxText {
		return nil, corrupt("longer than a token can be")
	}
	f := inflaters.Get().(*inflater)
	defer f.release()

	// The decoder would skip line breaks, which no token contains.
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return nil, corrupt("line break within")
	}
	text := append(f.decoded[:0], s[len(Version):]...)
	f.decoded = text
	n, err := base64.StdEncoding.Strict().Decode(text, text)
	if err != nil {
		return nil, corrupt("not base64, or cut short")
	}
	content, err := f.inflate(text[:n], MaxPayload+signatureHead)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot decompress: %w", ErrCorrupt, err)
	}
	return parseContent(string(content))
}

// checkVersion tells other strings from tokens, and other versions from "007".
func checkVersion(s string) error {
	if strings.HasPrefix(s, Version) {
		return nil
	}
	if len(s) > len(Version) && strings.HasPrefix(s, "00") && s[2] >= '1' && s[2] <= '9' {
		return fmt.Errorf("%w %q", ErrUnsupportedVersion, s[:len(Version)])
	}
	return ErrNotToken
}

// A header is what stands in front of the services.
type header struct {
	appID                  string
	issuedAt, expire, salt uint32
	services               int
	rest                   wire.Reader
}

func readHeader(signed string) (h header) {
	r := wire.NewReader(signed)
	h.appID = r.String()
	h.issuedAt, h.expire, h.salt = r.Uint32(), r.Uint32(), r.Uint32()
	h.services = int(r.Uint16())
	h.rest = r
	return h
}

func parseContent(content string) (*Token, error) {
	r := wire.NewReader(content)
	signature := r.String()
	if len(signature) != sha256.Size {
		return nil, corrupt("no signature in front")
	}
	signed := r.Rest()
	h := readHeader(signed)
	if h.rest.Err() != nil {
		return nil, corrupt("content ends early")
	}
	if !ValidID(h.appID) {
		return nil, corrupt("its %v", ErrAppID)
	}
	if h.services > maxServices {
		return nil, corrupt("more services than a token can have")
	}
	room := new(parseRoom)
	t := &room.token
	*t = Token{
		AppID: h.appID, IssuedAt: h.issuedAt, Expire: h.expire, Salt: h.salt,
		Services: room.services[:0], signature: signature, signed: signed,
	}
	u := unpacker{Reader: h.rest, free: room.privileges[:]}
	if err := t.readServices(&u, h.services); err != nil {
		return nil, err
	}
	return t, nil
}

// parseRoom is what a token for RTC and RTM needs, in one allocation.
type parseRoom struct {
	token      Token
	services   [2]Service
	privileges [5]Privilege
}

func (t *Token) readServices(u *unpacker, count int) error {
	for i := range count {
		before := u.Rest()
		st := ServiceType(u.Uint16())
		if u.Err() == nil && !st.Known() {
			// What follows cannot be read: a service does not say its length.
			t.Unparsed = Unparsed{Services: count - i, Data: []byte(before)}
			break
		}
		t.Services = append(t.Services, u.service(st))
		if err := u.failure(); err != nil {
			return err
		}
	}
	if t.Unparsed.Services == 0 && u.Len() > 0 {
		t.Unparsed.Data = []byte(u.Rest())
	}
	t.Unsorted = u.unsorted || !slices.IsSortedFunc(t.Services, func(a, b Service) int { return int(a.Type) - int(b.Type) })
	return nil
}

// An unpacker is a packer's reverse.
type unpacker struct {
	wire.Reader
	free     []Privilege // room for privileges
	unsorted bool
	err      error
}

func (u *unpacker) failure() error {
	if u.Err() != nil {
		return corrupt("content ends early")
	}
	return u.err
}

func (u *unpacker) service(st ServiceType) Service {
	s := Service{Type: st, Privileges: u.privileges()}
	if st.hasChannel() {
		s.Channel = u.String()
	}
	if st == ServiceEducation {
		s.Room = u.String()
	}
	if st.hasAccount() {
		s.Account = u.String()
	}
	if st == ServiceEducation {
		s.Role = int16(u.Uint16())
	}
	if st == ServiceRTM2 {
		s.Permissions = u.permissions()
	}
	return s
}

func (u *unpacker) privileges() Privileges {
	const size = 2 + 4
	n := int(u.Uint16())
	if n == 0 || n > u.Len()/size {
		u.require(n * size)
		return nil
	}
	var list Privileges
	if n <= len(u.free) {
		// Appending to a service's privileges must not reach the next one's.
		list, u.free = u.free[:0:n], u.free[n:]
	} else {
		list = make(Privileges, 0, n)
	}
	for range n {
		list = append(list, Privilege{ID: PrivilegeID(u.Uint16()), Expire: u.Uint32()})
	}
	u.keys("privilege", keyOrder(list, func(e Privilege) PrivilegeID { return e.ID }))
	return list
}

func (u *unpacker) permissions() Permissions {
	var list Permissions
	for range u.Uint16() {
		if u.Err() != nil {
			return nil
		}
		r := ResourcePermissions{Resource: ResourceType(u.Uint16())}
		for range u.Uint16() {
			if u.Err() != nil {
				return nil
			}
			e := Permission{Type: PermissionType(u.Uint16())}
			for range u.Uint16() {
				if u.Err() != nil {
					return nil
				}
				e.Names = append(e.Names, u.String())
			}
			r.Permissions = append(r.Permissions, e)
		}
		u.keys("permission", keyOrder(r.Permissions, func(e Permission) PermissionType { return e.Type }))
		list = append(list, r)
	}
	u.keys("resource", keyOrder(list, func(r ResourcePermissions) ResourceType { return r.Resource }))
	return list
}

// require fails unless n more bytes are there.
func (u *unpacker) require(n int) {
	if u.Len() < n && u.err == nil {
		u.err = corrupt("content ends early")
	}
}

// keys notes whether a map's keys were packed in ascending order, and fails if
// one is there twice.
func (u *unpacker) keys(what string, order ordering) {
	if order == repeated && u.err == nil {
		u.err = corrupt("a %s is there twice", what)
	}
	u.unsorted = u.unsorted || order != ascending
}
