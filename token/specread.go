package token

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/caddy-convoai/convoai/token/internal/strictjson"
)

// ReadSpec reads a token to build, in the form that Spec's MarshalJSON writes,
// with "app_certificate" added if the caller should not supply it.
//
// "app_id", "expire" and "services" are required; so is, in each service,
// "type" or "name". Without "issued_at" the token is issued now, without
// "salt" it gets a random one; without "role" a
// service for education has the role -1. "expires_at" and "signature" are ignored.
// A member that is unknown, of the wrong type, there twice, or foreign to the
// service's type is an error that names it, and never the certificate. Vendor
// limits are not checked: see Token.Warnings.
func ReadSpec(r io.Reader) (*Spec, error) {
	return strictjson.Document("spec", r, MaxSpec, parseSpec)
}

func parseSpec(data json.RawMessage) (*Spec, error) {
	members, err := strictjson.Object("it", data)
	if err != nil {
		return nil, err
	}
	spec := &Spec{Token: newToken("", 0)}
	t := spec.Token
	given := make(map[string]bool)
	for _, m := range members {
		given[m.Name] = true
		switch m.Name {
		case "version":
			var v string
			if v, err = strictjson.String(m.Name, m.Value); err == nil && v != Version {
				err = fmt.Errorf("%w %q: this one is built from %q", ErrUnsupportedVersion, v, Version)
			}
		case "app_id":
			if t.AppID, err = strictjson.String(m.Name, m.Value); err == nil {
				err = checkID(t.AppID)
			}
		case "app_certificate":
			if spec.AppCertificate, err = strictjson.String(m.Name, m.Value); err == nil && !ValidID(spec.AppCertificate) {
				err = ErrAppCertificate
			}
		case "issued_at":
			t.IssuedAt, err = strictjson.Uint32(m.Name, m.Value)
		case "expire":
			t.Expire, err = strictjson.Uint32(m.Name, m.Value)
		case "salt":
			t.Salt, err = strictjson.Uint32(m.Name, m.Value)
		case "expires_at", "signature":
		case "unsorted":
			t.Unsorted, err = strictjson.Bool(m.Name, m.Value)
		case "services":
			t.Services, err = specServices(m)
		case "unparsed":
			t.Unparsed, err = specUnparsed(m)
		default:
			err = unknownMember(m.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"app_id", "expire", "services"} {
		if !given[name] {
			return nil, fmt.Errorf("%q is missing", name)
		}
	}
	return spec, nil
}

func unknownMember(name string) error { return fmt.Errorf("unknown member %q", name) }

// specText reads a string or {"hex":"…"}.
func specText(what string, data json.RawMessage) (string, error) {
	s, err := strictjson.String(what, data)
	if err == nil {
		return s, nil
	}
	members, objectErr := strictjson.Object(what, data)
	if objectErr != nil {
		return "", err
	}
	if len(members) != 1 || members[0].Name != "hex" {
		return "", fmt.Errorf(`%s must be a string or {"hex":"…"}`, what)
	}
	b, err := specHex(what, members[0].Value)
	return string(b), err
}

func specHex(what string, data json.RawMessage) ([]byte, error) {
	s, err := strictjson.String(what, data)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s must be hexadecimal digits", what)
	}
	return b, nil
}

func specUnparsed(m strictjson.Member) (u Unparsed, err error) {
	members, err := strictjson.Object(m.Name, m.Value)
	if err != nil {
		return u, err
	}
	for _, m := range members {
		switch m.Name {
		case "services":
			var n int64
			n, err = strictjson.Integer("unparsed services", m.Value, 0, maxServices)
			u.Services = int(n)
		case "data":
			u.Data, err = specHex("unparsed data", m.Value)
		default:
			err = unknownMember("unparsed " + m.Name)
		}
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

func specServices(m strictjson.Member) ([]Service, error) {
	list, err := strictjson.Array(m.Name, m.Value, maxServices)
	if err != nil {
		return nil, err
	}
	services := make([]Service, len(list))
	for i, data := range list {
		if services[i], err = specService(data); err != nil {
			return nil, fmt.Errorf("service %d: %w", i+1, err)
		}
	}
	return services, nil
}

func specService(data json.RawMessage) (Service, error) {
	members, err := strictjson.Object("it", data)
	if err != nil {
		return Service{}, err
	}
	st, err := specServiceType(members)
	if err != nil {
		return Service{}, err
	}
	s := Service{Type: st}
	if st == ServiceEducation {
		s.Role = noRole
	}
	for _, m := range members {
		switch {
		case m.Name == "type" || m.Name == "name":
		case m.Name == "privileges":
			s.Privileges, err = specPrivileges(m)
		case m.Name == "channel" && st.hasChannel():
			s.Channel, err = specText(m.Name, m.Value)
		case m.Name == "account" && st.hasAccount():
			s.Account, err = specText(m.Name, m.Value)
		case m.Name == "room" && st == ServiceEducation:
			s.Room, err = specText(m.Name, m.Value)
		case m.Name == "role" && st == ServiceEducation:
			var n int64
			n, err = strictjson.Integer(m.Name, m.Value, math.MinInt16, math.MaxInt16)
			s.Role = int16(n)
		case m.Name == "permissions" && st == ServiceRTM2:
			s.Permissions, err = specPermissions(m)
		default:
			err = fmt.Errorf("unknown member %q for %s", m.Name, st)
		}
		if err != nil {
			return Service{}, err
		}
	}
	return s, nil
}

// specServiceType takes the type from either member; if both are there they
// must say the same.
func specServiceType(members []strictjson.Member) (st ServiceType, err error) {
	byName := ServiceType(0)
	for _, m := range members {
		switch m.Name {
		case "type":
			n, err := strictjson.Integer(m.Name, m.Value, int64(ServiceRTC), int64(ServiceRTM2))
			if err != nil {
				return 0, err
			}
			st = ServiceType(n)
		case "name":
			name, err := strictjson.String(m.Name, m.Value)
			if err != nil {
				return 0, err
			}
			if byName = serviceByName(name); byName == 0 {
				return 0, fmt.Errorf("unknown service name %q", name)
			}
		}
	}
	switch {
	case st == 0 && byName == 0:
		return 0, errors.New(`"type" is missing`)
	case st == 0:
		return byName, nil
	case byName != 0 && byName != st:
		return 0, fmt.Errorf("type %d is %s, not %s", st, st, byName)
	}
	return st, nil
}

func serviceByName(name string) ServiceType {
	for st := ServiceRTC; st.Known(); st++ {
		if st.String() == name {
			return st
		}
	}
	return 0
}

func specPrivileges(m strictjson.Member) (Privileges, error) {
	numbers, err := strictjson.Numbers(m, "privilege")
	if err != nil {
		return nil, err
	}
	list := make(Privileges, len(numbers))
	for i, n := range numbers {
		list[i] = Privilege{PrivilegeID(n.Key), n.Value}
	}
	return list, nil
}

func specPermissions(m strictjson.Member) (Permissions, error) {
	resources, err := strictjson.Object(m.Name, m.Value)
	if err != nil {
		return nil, err
	}
	list := make(Permissions, len(resources))
	for i, m := range resources {
		resource, err := strictjson.Key("permissions", m.Name, math.MaxUint16)
		if err != nil {
			return nil, err
		}
		list[i].Resource = ResourceType(resource)
		members, err := strictjson.Object("permissions of resource "+m.Name, m.Value)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			kind, err := strictjson.Key("permissions", m.Name, math.MaxUint16)
			if err != nil {
				return nil, err
			}
			names, err := specNames(m)
			if err != nil {
				return nil, err
			}
			list[i].Permissions = append(list[i].Permissions, Permission{Type: PermissionType(kind), Names: names})
		}
	}
	return list, nil
}

func specNames(m strictjson.Member) ([]string, error) {
	list, err := strictjson.Array("permission "+m.Name, m.Value, math.MaxUint16)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, data := range list {
		if names[i], err = specText("permission name", data); err != nil {
			return nil, err
		}
	}
	return names, nil
}
