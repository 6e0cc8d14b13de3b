package legacy

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/internal/strictjson"
)

// A Spec is an AccessToken "006" in JSON, to look at and to build from:
//
//	{"version":"006","app_id":"970CA35de60c44645bbae8a215061b33","issued_at":1111111,"salt":1,
//	 "privileges":{"1":1446455471},"crc_channel":3598290253,"crc_uid":1478602263,"signature":"unchecked"}
//
// To build from it, add "channel", "uid" (a string; a number stands for the
// numeric uid) and "app_certificate": the token itself does not have them.
type Spec struct {
	Token          *AccessToken
	Signature      token.SignatureStatus // only written
	AppCertificate string                // only read
}

// MarshalJSON writes the token. It never writes the app certificate.
func (s Spec) MarshalJSON() ([]byte, error) {
	t := s.Token
	if t == nil {
		return nil, errors.New("spec without a token")
	}
	status := s.Signature
	if status == "" {
		status = token.SignatureUnchecked
	}
	b := fmt.Appendf(nil, `{"version":"006","app_id":%q,"issued_at":%d,"salt":%d,"privileges":{`, t.AppID, t.IssuedAt, t.Salt)
	for i, p := range t.Privileges {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"%d":%d`, uint16(p.ID), p.ExpiresAt)
	}
	b = fmt.Appendf(b, `},"crc_channel":%d,"crc_uid":%d,"signature":%q`, t.CRCChannel, t.CRCUid, string(status))
	if t.Unsorted {
		b = append(b, `,"unsorted":true`...)
	}
	return append(b, '}'), nil
}

// ReadSpec reads a token to build, in the form that Spec's MarshalJSON writes
// with "channel", "uid" and "app_certificate" added. "app_id" and
// "privileges" are required; without "issued_at" and "salt" they are set as
// NewAccessToken does. "crc_channel" and "crc_uid" may be left out; if they are
// there, channel and uid must fit them. "signature" is ignored.
func ReadSpec(r io.Reader) (*Spec, error) {
	return strictjson.Document("spec", r, token.MaxSpec, parseSpec)
}

func parseSpec(data json.RawMessage) (*Spec, error) {
	members, err := strictjson.Object("it", data)
	if err != nil {
		return nil, err
	}
	spec := &Spec{Token: NewAccessToken("", "", "")}
	t := spec.Token
	given := make(map[string]bool)
	for _, m := range members {
		given[m.Name] = true
		switch m.Name {
		case "version":
			var v string
			if v, err = strictjson.String(m.Name, m.Value); err == nil && v != accessTokenVersion {
				err = fmt.Errorf("%w %q: this one is built from %q", token.ErrUnsupportedVersion, v, accessTokenVersion)
			}
		case "app_id":
			if t.AppID, err = strictjson.String(m.Name, m.Value); err == nil && !token.ValidID(t.AppID) {
				err = token.ErrAppID
			}
		case "app_certificate":
			if spec.AppCertificate, err = strictjson.String(m.Name, m.Value); err == nil && !token.ValidID(spec.AppCertificate) {
				err = token.ErrAppCertificate
			}
		case "issued_at":
			t.IssuedAt, err = strictjson.Uint32(m.Name, m.Value)
		case "salt":
			t.Salt, err = strictjson.Uint32(m.Name, m.Value)
		case "crc_channel":
			t.CRCChannel, err = strictjson.Uint32(m.Name, m.Value)
		case "crc_uid":
			t.CRCUid, err = strictjson.Uint32(m.Name, m.Value)
		case "channel":
			t.Channel, err = strictjson.String(m.Name, m.Value)
		case "uid":
			t.UID, err = specUID(m)
		case "privileges":
			t.Privileges, err = specPrivileges(m)
		case "unsorted":
			t.Unsorted, err = strictjson.Bool(m.Name, m.Value)
		case "signature":
		default:
			err = fmt.Errorf("unknown member %q", m.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"app_id", "privileges"} {
		if !given[name] {
			return nil, fmt.Errorf("%q is missing", name)
		}
	}
	if given["crc_channel"] && crc32.ChecksumIEEE([]byte(t.Channel)) != t.CRCChannel {
		return nil, errors.New(`"channel" does not fit "crc_channel": add the token's channel, or leave the checksum out`)
	}
	if given["crc_uid"] && crc32.ChecksumIEEE([]byte(t.UID)) != t.CRCUid {
		return nil, errors.New(`"uid" does not fit "crc_uid": add the token's uid, or leave the checksum out`)
	}
	return spec, nil
}

func specUID(m strictjson.Member) (string, error) {
	if n, err := strictjson.Integer(m.Name, m.Value, 0, math.MaxUint32); err == nil {
		return token.UidString(uint32(n)), nil
	}
	s, err := strictjson.String(m.Name, m.Value)
	if err != nil {
		return "", errors.New("uid must be a string, or a number from 0 to " + strconv.FormatUint(math.MaxUint32, 10))
	}
	return s, nil
}

func specPrivileges(m strictjson.Member) ([]Privilege, error) {
	numbers, err := strictjson.Numbers(m, "privilege")
	if err != nil {
		return nil, err
	}
	list := make([]Privilege, len(numbers))
	for i, n := range numbers {
		list[i] = Privilege{PrivilegeID(n.Key), n.Value}
	}
	return list, nil
}
