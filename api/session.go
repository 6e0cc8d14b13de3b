package api

import (
	"errors"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/caddy-convoai/convoai/token"
)

// AssignedAccount is the account of an agent that is given a uid by the vendor.
const AssignedAccount = "0"

// Session is what a join or call body says of the agent's session.
type Session struct {
	Channel string // properties.channel
	Account string // properties.agent_rtc_uid, AssignedAccount where it is absent or empty
}

// What can be wrong with a body that a session is read from.
var (
	ErrNotJSON        = errors.New("the body is not a JSON object in UTF-8 (or is nested deeper than 512 levels)")
	ErrNoChannel      = errors.New("properties.channel is missing, empty or not a string")
	ErrChannelTooLong = errors.New("properties.channel must be shorter than 64 bytes")
	ErrChannelText    = errors.New("properties.channel must not have control characters or broken escapes in it")
	ErrAccount        = errors.New("properties.agent_rtc_uid must be a string of at most 255 bytes without control characters, or digits")
)

// ParseSession reads the channel and the agent's uid from the body of a join or
// a call. Members are matched by their exact names; of several with one name the
// last counts, as with nearly every parser, so that the token is for what the
// vendor will read. An agent uid that is absent, null or empty is "0", with which
// the vendor assigns one; a number without sign, fraction and exponent is taken
// by its digits, because some clients send one.
func ParseSession(body []byte) (Session, error) {
	root, err := parseObject(body)
	if err != nil {
		return Session{}, err
	}
	var properties [1]gjson.Result
	members(root, []string{"properties"}, properties[:])
	if !properties[0].IsObject() {
		return Session{}, ErrNoChannel
	}
	var m [2]gjson.Result
	members(properties[0], []string{"channel", "agent_rtc_uid"}, m[:])
	return sessionOf(m[0], m[1])
}

// sessionOf checks the members that make a session. The result shares no memory
// with the body, because it may be kept for long, as the key of a cache.
func sessionOf(channel, uid gjson.Result) (Session, error) {
	switch {
	case channel.Type != gjson.String || channel.Str == "":
		return Session{}, ErrNoChannel
	case len(channel.Str) > token.MaxChannel:
		return Session{}, ErrChannelTooLong
	case !plain(channel.Str):
		return Session{}, ErrChannelText
	}
	account, ok := accountOf(uid)
	if !ok {
		return Session{}, ErrAccount
	}
	both := channel.Str + account // one copy
	return Session{Channel: both[:len(channel.Str)], Account: both[len(channel.Str):]}, nil
}

// accountOf reads the uid of whom a token is for.
func accountOf(uid gjson.Result) (account string, ok bool) {
	switch {
	case missing(uid):
		return AssignedAccount, true
	case uid.Type == gjson.String:
		account = uid.Str
	case uid.Type == gjson.Number && strings.Trim(uid.Raw, "0123456789") == "":
		account = uid.Raw
	default:
		return "", false
	}
	return account, len(account) <= token.MaxAccount && plain(account)
}
