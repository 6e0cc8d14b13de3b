package api

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Body is the body of a join or a call that has been read: whose it is, and
// which of the members that the vendor's SDKs fill in it lacks. A member that is
// absent, null or "" is lacking; whatever else stands in its place, stays.
//
// These are the members, and when they are filled:
//
//   - properties.token, a token for the session.
//   - sip.rtc_token of a call, if it has an object sip: a token for sip.rtc_uid
//     in the session's channel. The uid is read like the agent's.
//   - properties.avatar.params, if avatar is an object whose enable is not false:
//     agora_appid and agora_channel for the vendor "generic" alone, for which an
//     absent params is made; agora_token, a token for agora_uid in the session's
//     channel, for the vendors "heygen", "liveavatar" and "generic" if agora_uid
//     is a decimal number of 32 bits, as number or string.
//
// Source of the avatar's rules: enrichAvatarParams, agentkit/agent.go in
// AgoraIO/agora-agents-go. Where that refuses an agora_uid because it is no
// number, Body leaves the avatar as it is, for the vendor to judge.
type Body struct {
	Session Session

	raw     []byte
	channel string // properties.channel as it is written there, if it is to be filled in
	gaps    []gap  // in the order of their places
	few     [1]gap // most bodies lack a token alone
}

// ErrGatewayAccount is what can be wrong with a call beside what is wrong with a
// session.
var ErrGatewayAccount = errors.New("sip.rtc_uid must be a string of at most 255 bytes, or digits")

// gap is a place in a body where something is to be filled in. It replaces
// raw[start:end], which is null, "" or nothing at all, by
//
//	,"name":beforeVALUEafter
//
// of which only the value must be there.
type gap struct {
	start, end    int
	comma         bool
	name          string
	before, after string
	value         value
	account       string // of a token
}

// value says what is filled in.
type value uint8

const (
	newToken value = iota
	appID
	channel
)

// ParseBody reads the body of a call of op, which is Join or Call. Names and
// duplicates are treated as in ParseSession: of several members with one name
// the last is read and filled, the others stay. The Body takes body over. Errors
// are those of ParseSession, and
// ErrGatewayAccount.
func ParseBody(op *Operation, body []byte) (*Body, error) {
	root, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	var top [2]gjson.Result
	members(root, []string{"properties", "sip"}, top[:])
	properties, sip := top[0], top[1]
	if !properties.IsObject() {
		return nil, ErrNoChannel
	}
	var m [4]gjson.Result
	end := members(properties, []string{"channel", "agent_rtc_uid", "token", "avatar"}, m[:])
	session, err := sessionOf(m[0], m[1])
	if err != nil {
		return nil, err
	}
	b := &Body{Session: session, raw: body}
	b.gaps = b.few[:0]
	in := placeIn(properties, end)
	b.lack(&in, "token", m[2], newToken, session.Account)
	b.readAvatar(m[3])
	if op == Call {
		if err := b.readGateway(sip); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(b.gaps, func(g gap) bool { return g.value == channel }) {
		b.channel = strings.Clone(m[0].Raw)
	}
	slices.SortStableFunc(b.gaps, func(x, y gap) int { return cmp.Compare(x.start, y.start) })
	return b, nil
}

// readGateway reads the side of a call that is a telephone.
func (b *Body) readGateway(sip gjson.Result) error {
	if !sip.IsObject() {
		return nil
	}
	var m [2]gjson.Result
	in := placeIn(sip, members(sip, []string{"rtc_uid", "rtc_token"}, m[:]))
	if !missing(m[1]) {
		return nil
	}
	account, ok := accountOf(m[0])
	if !ok {
		return ErrGatewayAccount
	}
	b.lack(&in, "rtc_token", m[1], newToken, strings.Clone(account))
	return nil
}

const genericAvatar = "generic"

// avatarsWithToken are the vendors of avatars that join the channel by themselves
// and so need a token. Source: IsAvatarTokenManaged in AgoraIO/agora-agents-go.
var avatarsWithToken = map[string]bool{"heygen": true, "liveavatar": true, genericAvatar: true}

// readAvatar reads properties.avatar.
func (b *Body) readAvatar(avatar gjson.Result) {
	if !avatar.IsObject() {
		return
	}
	var m [3]gjson.Result
	in := placeIn(avatar, members(avatar, []string{"enable", "vendor", "params"}, m[:]))
	enable, vendor, params := m[0], m[1], m[2]
	if enable.Type == gjson.False || vendor.Type != gjson.String || !avatarsWithToken[vendor.Str] {
		return
	}
	generic := vendor.Str == genericAvatar
	if !params.IsObject() {
		if generic && missing(params) {
			b.lackParams(&in, params)
		}
		return
	}
	var p [4]gjson.Result
	in = placeIn(params, members(params, []string{"agora_appid", "agora_channel", "agora_token", "agora_uid"}, p[:]))
	if generic {
		b.lack(&in, "agora_appid", p[0], appID, "")
		b.lack(&in, "agora_channel", p[1], channel, "")
	}
	if account, ok := avatarAccount(p[3]); ok {
		b.lack(&in, "agora_token", p[2], newToken, account)
	}
}

// avatarAccount reads agora_uid as the SDKs do: as a number, without zeros in
// front.
func avatarAccount(uid gjson.Result) (account string, ok bool) {
	text := uid.Raw
	if uid.Type == gjson.String {
		text = uid.Str
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return strconv.FormatUint(n, 10), err == nil
}

// lackParams notes that a generic avatar has no params.
func (b *Body) lackParams(in *place, params gjson.Result) {
	first := in.gap("params", params)
	first.before = `{"agora_appid":`
	first.value = appID
	second := gap{start: first.end, end: first.end, comma: true, name: "agora_channel", after: `}`, value: channel}
	b.gaps = append(b.gaps, first, second)
}

// lack notes that a member is to be filled, if it is missing.
func (b *Body) lack(in *place, name string, member gjson.Result, v value, account string) {
	if !missing(member) {
		return
	}
	g := in.gap(name, member)
	g.value, g.account = v, account
	b.gaps = append(b.gaps, g)
}

// place is where a further member of an object goes: behind those it has.
type place struct {
	at    int
	comma bool
}

// placeIn returns the place in object, whose last value ends at end; 0 if it has
// none.
func placeIn(object gjson.Result, end int) place {
	if end == 0 {
		return place{at: object.Index + len("{")}
	}
	return place{at: end, comma: true}
}

// gap returns where the value of a member goes: in the place of the one it has,
// or into a new member.
func (p *place) gap(name string, member gjson.Result) gap {
	if member.Exists() {
		return gap{start: member.Index, end: member.Index + len(member.Raw)}
	}
	g := gap{start: p.at, end: p.at, comma: p.comma, name: name}
	p.comma = true
	return g
}

// Room is the capacity, in bytes, that lets Complete fill a gap of a body where
// it stands.
const Room = 512

// Lacks reports whether the body lacks anything.
func (b *Body) Lacks() bool { return len(b.gaps) > 0 }

// Complete returns the body with its gaps filled: app is the app's ID, and mint
// returns a new token for a channel and an account, AssignedAccount for one that
// the vendor assigns. Every other byte stays as it was: order, white space,
// numbers, escapes, duplicates. A body that lacks nothing is returned itself. An
// error is one of mint.
//
// A Body is completed once: the bytes that it was read from, and those up to
// their capacity, are overwritten.
func (b *Body) Complete(app string, mint func(channel, account string) (string, error)) ([]byte, error) {
	if !b.Lacks() {
		return b.raw, nil
	}
	out := b.raw
	// From the end on, so that the places of the gaps before stay what they are.
	for _, g := range slices.Backward(b.gaps) {
		text := make([]byte, 0, Room)
		if g.comma {
			text = append(text, ',')
		}
		if g.name != "" {
			text = append(append(append(text, '"'), g.name...), `":`...)
		}
		text = append(text, g.before...)
		switch g.value {
		case newToken:
			made, err := mint(b.Session.Channel, g.account)
			if err != nil {
				return nil, err
			}
			text = gjson.AppendJSONString(text, made)
		case appID:
			text = gjson.AppendJSONString(text, app)
		case channel:
			text = append(text, b.channel...)
		}
		text = append(text, g.after...)
		out = slices.Replace(out, g.start, g.end, text...)
	}
	return out, nil
}
