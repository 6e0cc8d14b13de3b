package tokenserver

import (
	"errors"
	"math"
	"net/http"
	"strconv"
)

// The dialect rtc is the server that the vendor's guide "Secure authentication with
// tokens" has its readers write, and that its sample clients for Android, iOS and the
// Web ask.
//
//	POST /fetch_rtc_token
//	{"uid":1234,"ChannelName":"demo","role":1}
//
//	{"code":"200","token":"007…"}
//	{"code":"400","token":"what is wrong"}
//
// The code is a text, and where there is no token the error is in its place. Role 1
// is a publisher, 2 a subscriber. As there, a channel or uid that is left out is a
// blank one, which is a wildcard. Otherwise than there, where tokens live for 40
// seconds to show how they are renewed, they live as long as a rule allows, an hour
// at most, and pages of listed origins alone may ask.
var rtcEndpoints = []endpoint{{
	method:    "POST",
	path:      "/fetch_rtc_token",
	body:      anyBody,
	preflight: http.StatusOK,
	read:      readRTC,
	granted:   func(list []minted) answer { return rtcAnswer(http.StatusOK, list[0].token) },
	refused:   func(why *refusal) answer { return rtcAnswer(why.status, why.detail) },
}}

func rtcAnswer(status int, token string) answer {
	return answer{"application/json", jsonOf(struct {
		Code  string `json:"code"`
		Token string `json:"token"`
	}{strconv.Itoa(status), token})}
}

func readRTC(in *input) ([]wish, error) {
	o := parseObject(in.body, true)
	uid, _ := o.number("uid", 0, math.MaxUint32)
	channel, _ := o.text("ChannelName")
	role, hasRole := o.number("role", 0, math.MaxUint32)
	w := wish{kinds: []kind{kindRTC}, channel: textName(channel), account: uidName(uint32(uid))}
	switch {
	case o.problem != nil:
	case role == 1:
		w.role = rolePublisher
	case hasRole && role != 2:
		return nil, errors.New("role must be 1, a publisher, or 2, a subscriber")
	}
	return []wish{w}, o.end()
}
