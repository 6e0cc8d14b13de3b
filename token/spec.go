package token

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// MaxSpec is the largest spec in bytes that ReadSpec reads.
const MaxSpec = 1 << 20

// A SignatureStatus is what is known about a token's signature.
type SignatureStatus string

// The signature statuses. The zero value counts as SignatureUnchecked.
const (
	SignatureValid     SignatureStatus = "valid"
	SignatureInvalid   SignatureStatus = "invalid"
	SignatureUnchecked SignatureStatus = "unchecked"
)

// A Spec is a token in JSON, to look at and to build from:
//
//	{"version":"007","app_id":"970CA35de60c44645bbae8a215061b33","issued_at":1700000000,"expire":3600,"salt":12345678,
//	 "expires_at":1700003600,"signature":"valid",
//	 "services":[{"type":1,"name":"rtc","privileges":{"1":3600},"channel":"room-1","account":"1001"},
//	             {"type":7,"name":"education","privileges":{"2":600},"room":"","account":"u","role":-1},
//	             {"type":8,"name":"rtm2","privileges":{"1":600},"account":"u","permissions":{"0":{"0":["a","b"]}}}]}
//
// In "permissions" the first key is the resource, the second the permission.
// A string that is not valid UTF-8 is written as {"hex":"…"}. Two members
// appear for unusual tokens only: "unsorted":true, and
// "unparsed":{"services":1,"data":"…"} with the bytes in hexadecimal (see the
// fields of Token).
type Spec struct {
	Token          *Token
	Signature      SignatureStatus // only written
	AppCertificate string          // only read, from "app_certificate"
}

// MarshalJSON writes the token. It never writes the app certificate.
func (s Spec) MarshalJSON() ([]byte, error) {
	t := s.Token
	if t == nil {
		return nil, errors.New("spec without a token")
	}
	w := &specWriter{}
	w.open('{')
	w.member("version", Version)
	w.text("app_id", t.AppID)
	w.member("issued_at", t.IssuedAt)
	w.member("expire", t.Expire)
	w.member("salt", t.Salt)
	w.member("expires_at", t.ExpiresAt().Unix())
	if s.Signature == "" {
		s.Signature = SignatureUnchecked
	}
	w.member("signature", string(s.Signature))
	if t.Unsorted {
		w.member("unsorted", true)
	}
	w.key("services")
	w.open('[')
	for i := range t.Services {
		w.service(&t.Services[i])
	}
	w.close(']')
	if t.Unparsed.Services > 0 || len(t.Unparsed.Data) > 0 {
		w.key("unparsed")
		w.open('{')
		w.member("services", t.Unparsed.Services)
		w.member("data", hex.EncodeToString(t.Unparsed.Data))
		w.close('}')
	}
	w.close('}')
	return w.b, nil
}

// A specWriter appends JSON whose objects keep the order of a token's lists,
// which maps would lose.
type specWriter struct{ b []byte }

func (w *specWriter) open(c byte)  { w.comma(); w.b = append(w.b, c) }
func (w *specWriter) close(c byte) { w.b = append(w.b, c) }

// comma separates a value from the one before it.
func (w *specWriter) comma() {
	if n := len(w.b); n > 0 && !bytes.ContainsRune([]byte("{[:,"), rune(w.b[n-1])) {
		w.b = append(w.b, ',')
	}
}

func (w *specWriter) key(name string) {
	w.comma()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

// value appends a number, a boolean or a valid string.
func (w *specWriter) value(v any) {
	w.comma()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("token: " + err.Error()) // not with values of those kinds
	}
	w.b = append(w.b, bytes.TrimRight(b.Bytes(), "\n")...)
}

func (w *specWriter) member(name string, v any) {
	w.key(name)
	w.value(v)
}

// textValue appends a packed string, which may contain any bytes.
func (w *specWriter) textValue(s string) {
	if utf8.ValidString(s) {
		w.value(s)
		return
	}
	w.open('{')
	w.member("hex", hex.EncodeToString([]byte(s)))
	w.close('}')
}

func (w *specWriter) text(name, s string) {
	w.key(name)
	w.textValue(s)
}

func (w *specWriter) service(s *Service) {
	w.open('{')
	w.member("type", uint16(s.Type))
	w.member("name", s.Type.String())
	w.key("privileges")
	w.open('{')
	for _, p := range s.Privileges {
		w.member(strconv.Itoa(int(p.ID)), p.Expire)
	}
	w.close('}')
	if s.Type.hasChannel() {
		w.text("channel", s.Channel)
	}
	if s.Type == ServiceEducation {
		w.text("room", s.Room)
	}
	if s.Type.hasAccount() {
		w.text("account", s.Account)
	}
	if s.Type == ServiceEducation {
		w.member("role", s.Role)
	}
	if s.Type == ServiceRTM2 {
		w.permissions(s.Permissions)
	}
	w.close('}')
}

func (w *specWriter) permissions(list Permissions) {
	w.key("permissions")
	w.open('{')
	for _, r := range list {
		w.key(strconv.Itoa(int(r.Resource)))
		w.open('{')
		for _, p := range r.Permissions {
			w.key(strconv.Itoa(int(p.Type)))
			w.open('[')
			for _, name := range p.Names {
				w.textValue(name)
			}
			w.close(']')
		}
		w.close('}')
	}
	w.close('}')
}
