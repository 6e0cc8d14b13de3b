package token

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"github.com/caddy-convoai/convoai/token/internal/wire"
)

// maxPacked is MaxPayload with the block that stands in front of the content.
const maxPacked = sha256.BlockSize + MaxPayload

// appendContent appends what the signature covers.
func (t *Token) appendContent(b []byte) ([]byte, error) {
	count := len(t.Services) + t.Unparsed.Services
	if count == 0 {
		return b, ErrNoService
	}
	if t.Unparsed.Services < 0 || count > maxServices {
		return b, fmt.Errorf("%w: %d services, at most %d", ErrTooLarge, count, maxServices)
	}
	b = wire.AppendString(b, t.AppID)
	b = wire.AppendUint32(b, t.IssuedAt)
	b = wire.AppendUint32(b, t.Expire)
	b = wire.AppendUint32(b, t.Salt)
	b = wire.AppendUint16(b, uint16(count))
	p := packer{b: b, unsorted: t.Unsorted}
	for _, s := range inOrder(&p, t.Services, func(s Service) ServiceType { return s.Type }) {
		p.service(s)
		// Checked here as well, so that no input makes the buffer much larger.
		if p.err != nil || len(p.b) > maxPacked {
			break
		}
	}
	p.b = append(p.b, t.Unparsed.Data...)
	if p.err == nil && len(p.b) > maxPacked {
		p.err = fmt.Errorf("%w: at most %d bytes", ErrTooLarge, MaxPayload)
	}
	return p.b, p.err
}

// A packer appends to b until the first error.
type packer struct {
	b        []byte
	unsorted bool
	err      error
}

func (p *packer) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *packer) string(field, s string) {
	if len(s) > wire.MaxString {
		p.fail(fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, field, wire.MaxString))
		return
	}
	p.b = wire.AppendString(p.b, s)
}

func (p *packer) count(what string, n int) {
	if n > math.MaxUint16 {
		p.fail(fmt.Errorf("%w: more than %d %s", ErrTooLarge, math.MaxUint16, what))
		return
	}
	p.b = wire.AppendUint16(p.b, uint16(n))
}

func (p *packer) service(s Service) {
	if !s.Type.Known() {
		p.fail(fmt.Errorf("unknown service type %d", s.Type))
		return
	}
	p.b = wire.AppendUint16(p.b, uint16(s.Type))
	p.privileges(s.Privileges)
	if s.Type.hasChannel() {
		p.string("channel", s.Channel)
	}
	if s.Type == ServiceEducation {
		p.string("room", s.Room)
	}
	if s.Type.hasAccount() {
		p.string("account", s.Account)
	}
	if s.Type == ServiceEducation {
		p.b = wire.AppendUint16(p.b, uint16(s.Role))
	}
	if s.Type == ServiceRTM2 {
		p.permissions(s.Permissions)
	}
}

func (p *packer) privileges(list Privileges) {
	list = inOrder(p, list, func(e Privilege) PrivilegeID { return e.ID })
	unique(p, "privilege", list, func(e Privilege) PrivilegeID { return e.ID })
	p.count("privileges", len(list))
	for _, e := range list {
		p.b = wire.AppendUint16(p.b, uint16(e.ID))
		p.b = wire.AppendUint32(p.b, e.Expire)
	}
}

func (p *packer) permissions(list Permissions) {
	resource := func(r ResourcePermissions) ResourceType { return r.Resource }
	kind := func(e Permission) PermissionType { return e.Type }
	list = inOrder(p, list, resource)
	unique(p, "resource", list, resource)
	p.count("resources", len(list))
	for _, r := range list {
		p.b = wire.AppendUint16(p.b, uint16(r.Resource))
		perms := inOrder(p, r.Permissions, kind)
		unique(p, "permission", perms, kind)
		p.count("permissions", len(perms))
		for _, e := range perms {
			p.b = wire.AppendUint16(p.b, uint16(e.Type))
			p.count("names", len(e.Names))
			for _, name := range e.Names {
				p.string("permission name", name)
			}
		}
	}
}

// inOrder returns list in ascending order of its keys, equal keys in the order
// they are in; the list itself, unchanged, if nothing is to be done.
func inOrder[S ~[]E, E any, K cmp.Ordered](p *packer, list S, key func(E) K) S {
	byKey := func(a, b E) int { return cmp.Compare(key(a), key(b)) }
	if p.unsorted || slices.IsSortedFunc(list, byKey) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, byKey)
	return list
}

// unique fails if a key is in the list twice: it would be packed twice, and
// which of the two holds is up to the reader.
func unique[E any, K ~uint16](p *packer, what string, list []E, key func(E) K) {
	if keyOrder(list, key) == repeated {
		p.fail(fmt.Errorf("a %s is there twice", what))
	}
}

// An ordering is the order that a list's keys are in.
type ordering int

const (
	ascending ordering = iota
	mixed
	repeated // a key is there twice
)

func keyOrder[E any, K ~uint16](list []E, key func(E) K) ordering {
	order := ascending
	for i := 1; i < len(list); i++ {
		switch a, b := key(list[i-1]), key(list[i]); {
		case a == b:
			return repeated
		case a > b:
			order = mixed
		}
	}
	if order == ascending {
		return ascending
	}
	seen := make(map[K]struct{}, len(list))
	for _, e := range list {
		if _, ok := seen[key(e)]; ok {
			return repeated
		}
		seen[key(e)] = struct{}{}
	}
	return mixed
}
