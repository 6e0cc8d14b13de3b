package token

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	vendor "github.com/AgoraIO-Community/go-tokenbuilder/accesstoken2"
	vendorchat "github.com/AgoraIO-Community/go-tokenbuilder/chatTokenBuilder"
	vendorrtc "github.com/AgoraIO-Community/go-tokenbuilder/rtctokenbuilder2"
	vendorrtm "github.com/AgoraIO-Community/go-tokenbuilder/rtmtokenbuilder2"
)

// The vendor's Go code as of go-tokenbuilder v1.4.0 holds one service of each
// type and knows five of the eight.

const crossChecks = 3000

type source struct{ *rand.Rand }

func newSource() source { return source{rand.New(rand.NewPCG(7, 7))} }

func (r source) text(limit int) string {
	b := make([]byte, r.IntN(limit+1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func (r source) id() string {
	const digits = "0123456789abcdefABCDEF"
	b := make([]byte, 32)
	for i := range b {
		b[i] = digits[r.IntN(len(digits))]
	}
	return string(b)
}

func (r source) privileges() Privileges {
	var p Privileges
	for range r.IntN(5) {
		p.Set(PrivilegeID(r.UintN(8)), r.Uint32()>>r.UintN(32))
	}
	return p
}

// services returns each of the given types or not, in random order.
func (r source) services(types ...ServiceType) []Service {
	var list []Service
	for _, i := range r.Perm(len(types)) {
		if r.IntN(2) == 0 {
			continue
		}
		list = append(list, Service{
			Type: types[i], Privileges: r.privileges(), Channel: r.text(70), Account: r.text(300), Room: r.text(40), Role: int16(r.Uint32()),
		})
	}
	if len(list) == 0 {
		list = append(list, Service{Type: types[0]})
	}
	return list
}

func (r source) token(types ...ServiceType) *Token {
	return &Token{AppID: r.id(), IssuedAt: r.Uint32(), Expire: r.Uint32(), Salt: r.Uint32(), Services: r.services(types...)}
}

var vendorTypes = []ServiceType{ServiceRTC, ServiceRTM, ServiceFPA, ServiceChat, ServiceEducation}

// toVendor is the same token in the vendor's types.
func toVendor(t *Token, certificate string) *vendor.AccessToken {
	v := vendor.NewAccessToken(t.AppID, certificate, t.Expire)
	v.IssueTs, v.Salt = t.IssuedAt, t.Salt
	for _, s := range t.Services {
		var service vendor.IService
		var base *vendor.Service
		switch s.Type {
		case ServiceRTC:
			x := vendor.NewServiceRtc(s.Channel, s.Account)
			service, base = x, x.Service
		case ServiceRTM:
			x := vendor.NewServiceRtm(s.Account)
			service, base = x, x.Service
		case ServiceFPA:
			x := vendor.NewServiceFpa()
			service, base = x, x.Service
		case ServiceChat:
			x := vendor.NewServiceChat(s.Account)
			service, base = x, x.Service
		case ServiceEducation:
			x := vendor.NewServiceApaas(s.Room, s.Account, s.Role)
			service, base = x, x.Service
		}
		for _, p := range s.Privileges {
			base.AddPrivilege(uint16(p.ID), p.Expire)
		}
		v.AddService(service)
	}
	return v
}

// sameAsVendor compares what the vendor's parser read with a token.
func sameAsVendor(t *testing.T, v *vendor.AccessToken, tok *Token) {
	t.Helper()
	if v.AppId != tok.AppID || v.IssueTs != tok.IssuedAt || v.Expire != tok.Expire || v.Salt != tok.Salt || len(v.Services) != len(tok.Services) {
		t.Fatalf("vendor read %+v", v)
	}
	for _, s := range tok.Services {
		var got string
		var privileges map[uint16]uint32
		want := fmt.Sprintf("%q", []string{s.Account})
		switch x := v.Services[uint16(s.Type)].(type) {
		case *vendor.ServiceRtc:
			got, privileges, want = fmt.Sprintf("%q", []string{x.ChannelName, x.Uid}), x.Privileges, fmt.Sprintf("%q", []string{s.Channel, s.Account})
		case *vendor.ServiceRtm:
			got, privileges = fmt.Sprintf("%q", []string{x.UserId}), x.Privileges
		case *vendor.ServiceFpa:
			got, privileges = want, x.Privileges
		case *vendor.ServiceChat:
			got, privileges = fmt.Sprintf("%q", []string{x.UserId}), x.Privileges
		case *vendor.ServiceApaas:
			got, privileges, want = fmt.Sprintf("%q %d", []string{x.RoomUuid, x.UserUuid}, x.Role), x.Privileges, fmt.Sprintf("%q %d", []string{s.Room, s.Account}, s.Role)
		default:
			t.Fatalf("vendor read %T for %s", x, s.Type)
		}
		if got != want {
			t.Fatalf("%s: vendor read %s, want %s", s.Type, got, want)
		}
		if len(privileges) != len(s.Privileges) {
			t.Fatalf("%s: vendor read privileges %v, want %v", s.Type, privileges, s.Privileges)
		}
		for _, p := range s.Privileges {
			if e, ok := privileges[uint16(p.ID)]; !ok || e != p.Expire {
				t.Fatalf("%s: vendor read privileges %v, want %v", s.Type, privileges, s.Privileges)
			}
		}
	}
}

func TestVendorReadsOurTokensAndWeReadTheirs(t *testing.T) {
	r := newSource()
	for range crossChecks {
		tok, certificate := r.token(vendorTypes...), r.id()
		ours, err := tok.Sign(certificate)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := toVendor(tok, certificate).Build()
		if err != nil {
			t.Fatal(err)
		}
		if a, b := inflated(t, ours), inflated(t, theirs); !bytes.Equal(a, b) {
			t.Fatalf("ours\n%x\ntheirs\n%x", a, b)
		}
		v := vendor.CreateAccessToken()
		if ok, err := v.Parse(ours); !ok || err != nil {
			t.Fatalf("vendor cannot read ours: %t, %v", ok, err)
		}
		sameAsVendor(t, v, tok)
		parsed, err := Parse(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if err := parsed.Verify(certificate); err != nil {
			t.Fatal(err)
		}
		sameAsVendor(t, v, parsed)
		again, err := parsed.Sign(certificate)
		if err != nil || again != ours {
			t.Fatalf("rebuilt from theirs: another string, %v", err)
		}
	}
}

func TestBuildersMatchTheVendorsBuilders(t *testing.T) {
	r := newSource()
	for range crossChecks / 30 {
		id, cert := r.id(), r.id()
		channel, account, user := r.text(MaxChannel), r.text(MaxAccount), r.text(MaxRtmUserID)
		uid := r.Uint32() >> r.UintN(33)
		role := uint16(r.UintN(4))
		life := func() uint32 { return r.Uint32N(MaxExpire) + 1 }
		e, p, a, v, d, m := life(), life()-1, life(), life(), life(), life()
		for _, c := range []struct {
			name         string
			ours, theirs func() (string, error)
		}{
			{"BuildTokenWithUid",
				func() (string, error) { return BuildTokenWithUid(id, cert, channel, uid, Role(role), e, p) },
				func() (string, error) {
					return vendorrtc.BuildTokenWithUid(id, cert, channel, uid, vendorrtc.Role(role), e, p)
				}},
			{"BuildTokenWithUserAccount",
				func() (string, error) {
					return BuildTokenWithUserAccount(id, cert, channel, account, Role(role), e, p)
				},
				func() (string, error) {
					return vendorrtc.BuildTokenWithUserAccount(id, cert, channel, account, vendorrtc.Role(role), e, p)
				}},
			{"BuildTokenWithUidAndPrivilege",
				func() (string, error) { return BuildTokenWithUidAndPrivilege(id, cert, channel, uid, e, p, a, v, d) },
				func() (string, error) {
					return vendorrtc.BuildTokenWithUidAndPrivilege(id, cert, channel, uid, e, p, a, v, d)
				}},
			{"BuildTokenWithUserAccountAndPrivilege",
				func() (string, error) {
					return BuildTokenWithUserAccountAndPrivilege(id, cert, channel, account, e, p, a, v, d)
				},
				func() (string, error) {
					return vendorrtc.BuildTokenWithUserAccountAndPrivilege(id, cert, channel, account, e, p, a, v, d)
				}},
			{"BuildTokenWithRtm",
				func() (string, error) { return BuildTokenWithRtm(id, cert, channel, account, Role(role), e, p) },
				func() (string, error) {
					return vendorrtc.BuildTokenWithRtm(id, cert, channel, account, vendorrtc.Role(role), e, p)
				}},
			{"BuildTokenWithRtm2",
				func() (string, error) {
					return BuildTokenWithRtm2(id, cert, channel, account, Role(role), e, p, a, v, d, user, m)
				},
				func() (string, error) {
					return vendorrtc.BuildTokenWithRtm2(id, cert, channel, account, vendorrtc.Role(role), e, p, a, v, d, user, m)
				}},
			{"BuildRtmToken",
				func() (string, error) { return BuildRtmToken(id, cert, user, e) },
				func() (string, error) { return vendorrtm.BuildToken(id, cert, user, e) }},
			{"BuildChatUserToken",
				func() (string, error) { return BuildChatUserToken(id, cert, account, e) },
				func() (string, error) { return vendorchat.BuildChatUserToken(id, cert, account, e) }},
			{"BuildChatAppToken",
				func() (string, error) { return BuildChatAppToken(id, cert, e) },
				func() (string, error) { return vendorchat.BuildChatAppToken(id, cert, e) }},
			{"BuildConvoAIToken",
				func() (string, error) { return BuildConvoAIToken(id, cert, channel+".", account+".", e, p) },
				func() (string, error) {
					if p == 0 { // as the SDKs that call this builder do
						return vendorrtc.BuildTokenWithRtm(id, cert, channel+".", account+".", vendorrtc.RolePublisher, e, e)
					}
					return vendorrtc.BuildTokenWithRtm(id, cert, channel+".", account+".", vendorrtc.RolePublisher, e, p)
				}},
		} {
			if c.name == "BuildConvoAIToken" && (len(channel) == MaxChannel || len(account) == MaxAccount) {
				continue
			}
			ours, err := c.ours()
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			theirs, err := c.theirs()
			if err != nil {
				t.Fatalf("%s: vendor: %v", c.name, err)
			}
			if a, b := withoutChance(t, ours), withoutChance(t, theirs); a != b {
				t.Fatalf("%s: ours\n%s\ntheirs\n%s", c.name, a, b)
			}
		}
	}
}

// withoutChance shows a token without its time and salt.
func withoutChance(t *testing.T, s string) string {
	t.Helper()
	tok, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	tok.IssuedAt, tok.Salt = 0, 0
	return shown(t, tok)
}

func TestVendorCannotReadWhatItTruncates(t *testing.T) {
	// Why Sign refuses: the vendor writes the length modulo 65536.
	long := strings.Repeat("x", 70_000)
	s, err := vendorrtc.BuildTokenWithUserAccount(testAppID, testCertificate, "c", long, 1, 60, 60)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(s)
	if err == nil && tok.Services[0].Account == long {
		t.Error("read back whole: the format has changed")
	}
}
