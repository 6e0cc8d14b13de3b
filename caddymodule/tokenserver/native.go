package tokenserver

import (
	"errors"
	"math"
)

// The token server's own endpoint:
//
//	POST /token
//	{"kind":"rtc","channel":"room-7","uid":42,"role":"publisher","expire":3600}
//
// kind, or kinds for several services in one token; channel where the token carries
// one (for education-room-user, the room); uid, a number, or account, a text, where
// it carries one; role, publisher or subscriber, default subscriber, for
// education-room-user also the vendor's number; expire in seconds, default 3600, or
// what the rule allows.
//
//	{"token":"007…","kinds":["rtc"],"channel":"room-7","account":"42","app_id":"…","expires_at":1700003600}
//
// Members that nobody knows are an error, as are those that are there twice.
// Channel and account, which a token of that kind does not carry, are not.
var nativeEndpoints = []endpoint{{
	method:  "POST",
	path:    "/token",
	body:    jsonBody,
	read:    readNative,
	granted: grantNative,
}}

func readNative(in *input) ([]wish, error) {
	o := parseObject(in.body, false)
	var w wish
	var err error
	if w.kinds, err = readKinds(o); err != nil {
		return nil, err
	}
	if text, given := o.text("channel"); given {
		w.channel = textName(text)
	}
	account, hasAccount := o.text("account")
	uid, hasUID := o.number("uid", 0, math.MaxUint32)
	switch {
	case hasAccount && hasUID:
		return nil, errors.New("uid and account are there both: a token has one of them")
	case hasAccount:
		w.account = textName(account)
	case hasUID:
		w.account = uidName(uint32(uid))
	}
	if err := readRole(o, &w); err != nil {
		return nil, err
	}
	expire, _ := o.number("expire", 0, math.MaxUint32)
	w.expire = uint32(expire)
	return []wish{w}, o.end()
}

func readKinds(o *object) ([]kind, error) {
	one, hasKind := o.text("kind")
	several, hasKinds := o.list("kinds")
	switch {
	case o.problem != nil:
		return nil, o.problem
	case hasKind && hasKinds:
		return nil, errors.New("kind and kinds are there both: give one of them")
	case hasKind:
		several = []string{one}
	case !hasKinds:
		return nil, errors.New("kind is required: " + kindNames)
	}
	list := make([]kind, 0, 2)
	for _, name := range several {
		k, ok := parseKind(name)
		if !ok {
			return nil, errors.New("kind must be one of " + kindNames)
		}
		list = append(list, k)
	}
	return list, nil
}

func readRole(o *object, w *wish) error {
	if o.find("role") == nil {
		return o.problem
	}
	if len(w.kinds) == 1 && w.kinds[0] == kindEducationRoomUser && !o.isText("role") {
		room, _ := o.number("role", 1, math.MaxInt16)
		w.room = int16(room)
		return o.problem
	}
	text, _ := o.text("role")
	if o.problem != nil {
		return o.problem
	}
	var ok bool
	if w.role, ok = parseRole(text); !ok {
		return errors.New("role must be publisher or subscriber")
	}
	return nil
}

func grantNative(list []minted) answer {
	m := &list[0]
	out := struct {
		Token     string   `json:"token"`
		Kinds     []string `json:"kinds"`
		Channel   *string  `json:"channel,omitempty"`
		Account   *string  `json:"account,omitempty"`
		AppID     string   `json:"app_id"`
		ExpiresAt int64    `json:"expires_at"`
	}{Token: m.token, Kinds: names(m.wish.kinds), AppID: m.appID, ExpiresAt: m.expiresAt}
	if m.wish.carriesChannel() {
		out.Channel = &m.wish.channel.text
	}
	if m.wish.carriesAccount() {
		out.Account = &m.wish.account.text
	}
	return answer{"application/json", jsonOf(out)}
}
