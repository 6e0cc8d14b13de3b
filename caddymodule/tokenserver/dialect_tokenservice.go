package tokenserver

import (
	"errors"
	"fmt"
	"math"
	"net/http"
)

// The dialect token-service is the community's server AgoraIO-Community/agora-token-service.
//
//	GET  /ping                                                       {"message":"pong"}
//	POST /getToken {"tokenType":"rtc","channel":"c","role":"publisher","uid":"u","expire":3600}
//	POST /getToken {"tokenType":"rtm","uid":"u","channel":"c","expire":3600}
//	POST /getToken {"tokenType":"chat","uid":"u","expire":3600}      {"token":"007…"}, {"error":"…"}
//	GET  /rtc/{channel}/{role}/{tokentype}/{uid}/?expiry=3600        {"rtcToken":"007…"}
//	GET  /rtm/{uid}/                                                 {"rtmToken":"007…"}
//	GET  /rte/{channel}/{role}/{tokentype}/{rtcuid}/[{rtmuid}/]      {"rtcToken":"007…","rtmToken":"007…"}
//	GET  /chat/app/, /chat/account/{chatid}/                         {"chatToken":"007…"}
//
// As there, a role that is not publisher is subscriber, a uid of digits is a number,
// tokentype is uid or userAccount, and chat without a uid is a token for the app. An
// RTM token with a channel has RTC in it, for joining a stream channel and publishing
// data: that needs a rule for rtc and rtm, and for publishers. The same goes for the
// rtmToken of /rte; one rule must grant both its tokens.
//
// Otherwise than there, a uid over 4294967295 is an error instead of another uid,
// and the older paths take expiry for the seconds that it says they are: there they
// make tokens that end half a century later.
var tokenServiceEndpoints = []endpoint{
	{
		method: "GET", path: "/ping", refused: refuseTokenService(""),
		granted: func([]minted) answer {
			return jsonAnswer(map[string]string{"message": "pong"})
		},
	},
	{
		method: "POST", path: "/getToken", body: anyBody, read: readGetToken, granted: grantAs("token"),
		refused: func(why *refusal) answer { return jsonAnswer(map[string]string{"error": why.detail}) },
	},
	{
		method: "GET", path: "/rtc/:channel/:role/:tokentype/:uid", read: readTokenServiceRTC, granted: grantAs("rtcToken"),
		refused: refuseTokenService("RTC token"),
	},
	{
		method: "GET", path: "/rtm/:uid", read: readTokenServiceRTM, granted: grantAs("rtmToken"),
		refused: refuseTokenService("RTM token"),
	},
	{
		method: "GET", path: "/rte/:channel/:role/:tokentype/:rtcuid", read: readTokenServiceBoth, granted: grantAs("rtcToken", "rtmToken"),
		refused: refuseTokenService("RTC and RTM token"),
	},
	{
		method: "GET", path: "/rte/:channel/:role/:tokentype/:rtcuid/:rtmuid", read: readTokenServiceBoth, granted: grantAs("rtcToken", "rtmToken"),
		refused: refuseTokenService("RTC and RTM token"),
	},
	{
		method: "GET", path: "/chat/:tokentype", read: readTokenServiceChatApp, granted: grantAs("chatToken"),
		refused: refuseTokenService("Chat token"),
	},
	{
		method: "GET", path: "/chat/account/:chatid", read: readTokenServiceChatUser, granted: grantAs("chatToken"),
		refused: refuseTokenService("Chat token"),
	},
}

// grantAs answers with the tokens under names.
func grantAs(names ...string) func([]minted) answer {
	return func(list []minted) answer {
		tokens := make(map[string]string, len(names))
		for i, name := range names {
			tokens[name] = list[i].token
		}
		return jsonAnswer(tokens)
	}
}

// refuseTokenService answers as the older paths do: with "message" where the
// parameters are at fault, with "error" where there is no token.
func refuseTokenService(what string) func(*refusal) answer {
	return func(why *refusal) answer {
		text := why.detail
		if what != "" {
			text = "Error Generating " + what + ": " + text
		}
		if why.status == http.StatusBadRequest {
			return jsonAnswer(struct {
				Message string `json:"message"`
				Status  int    `json:"status"`
			}{text, why.status})
		}
		return jsonAnswer(struct {
			Error  string `json:"error"`
			Status int    `json:"status"`
		}{text, why.status})
	}
}

var (
	errNoChannel = errors.New("invalid: missing channel name")
	errNoUser    = errors.New("invalid: missing user ID or account")
)

func readGetToken(in *input) ([]wish, error) {
	o := parseObject(in.body, true)
	kind, _ := o.text("tokenType")
	channel, _ := o.text("channel")
	role, _ := o.text("role")
	uid, _ := o.text("uid")
	seconds, _ := o.number("expire", 0, math.MaxUint32)
	if err := o.end(); err != nil {
		return nil, err
	}
	expire := uint32(seconds)
	switch {
	case kind == "chat" && uid == "":
		return chatApp(expire), nil
	case kind == "chat":
		return chatUser(uid, expire), nil
	case kind != "rtc" && kind != "rtm":
		return nil, said("Unsupported tokenType")
	case kind == "rtc" && channel == "":
		return nil, errNoChannel
	case uid == "":
		return nil, errNoUser
	case kind == "rtm":
		return []wish{rtmWish(uid, channel, expire)}, nil
	}
	account, err := accountOrUID(uid)
	return []wish{rtcWish(channel, role, account, expire)}, err
}

// accountOrUID takes digits for a number.
func accountOrUID(text string) (name, error) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return textName(text), nil
		}
	}
	uid, err := parseUint32(text)
	if err != nil {
		return name{}, fmt.Errorf("uid %w", err)
	}
	return uidName(uid), nil
}

func rtcWish(channel, role string, account name, expire uint32) wish {
	w := wish{kinds: []kind{kindRTC}, channel: textName(channel), account: account, expire: expire}
	if role == "publisher" {
		w.role = rolePublisher
	}
	return w
}

// rtmWish asks for RTM, and for a stream channel where there is one.
func rtmWish(user, channel string, expire uint32) wish {
	w := wish{kinds: []kind{kindRTM}, account: textName(user), expire: expire}
	if channel != "" {
		w.kinds = []kind{kindRTC, kindRTM}
		w.channel = textName(channel)
		w.stream = true
	}
	return w
}

func readTokenServiceRTC(in *input) ([]wish, error) {
	expire, err := expiry(in)
	if err != nil {
		return nil, err
	}
	w, err := rtcOfPath(in, expire)
	return []wish{w}, err
}

func rtcOfPath(in *input, expire uint32) (wish, error) {
	channel, role, kind, uid := in.params[0], in.params[1], in.params[2], in.params[3]
	switch kind {
	case "userAccount":
		return rtcWish(channel, role, textName(uid), expire), nil
	case "uid":
		number, err := parseUint32(uid)
		if err != nil {
			return wish{}, fmt.Errorf("uid %w", err)
		}
		return rtcWish(channel, role, uidName(number), expire), nil
	}
	return wish{}, said("Unknown Tokentype: " + quoted(kind))
}

func readTokenServiceRTM(in *input) ([]wish, error) {
	expire, err := expiry(in)
	if err != nil {
		return nil, err
	}
	user := in.params[0]
	if user == "0" {
		return nil, errors.New(`invalid RTM User ID: "0"`)
	}
	return []wish{rtmWish(user, "", expire)}, nil
}

func readTokenServiceBoth(in *input) ([]wish, error) {
	expire, err := expiry(in)
	if err != nil {
		return nil, err
	}
	rtc, err := rtcOfPath(in, expire)
	if err != nil {
		return nil, err
	}
	user := in.params[3]
	if len(in.params) > 4 {
		user = in.params[4]
	} else if user == "0" {
		return nil, errors.New(`failed to parse rtm user ID. Cannot be empty or "0"`)
	}
	return []wish{rtc, rtmWish(user, in.params[0], expire)}, nil
}

func readTokenServiceChatApp(in *input) ([]wish, error) {
	expire, err := expiry(in)
	switch {
	case err != nil:
		return nil, err
	case in.params[0] == "account":
		return nil, errors.New("userAccount type requires chat ID")
	case in.params[0] != "app":
		return nil, errors.New(`token type must be "userAccount" or "app"`)
	}
	return chatApp(expire), nil
}

func readTokenServiceChatUser(in *input) ([]wish, error) {
	expire, err := expiry(in)
	if err != nil {
		return nil, err
	}
	return chatUser(in.params[0], expire), nil
}

func expiry(in *input) (uint32, error) {
	v := parseValues(in.query)
	seconds := v.seconds("expiry")
	return seconds, v.problem
}
