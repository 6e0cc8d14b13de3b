package tokenserver

import (
	"errors"
	"math"

	"github.com/caddy-convoai/convoai/api"
)

// The dialect docker is the vendor's container agoracn/token and its guide
// "Deploy a token generator through Docker". Source: go/docker/server.go, AgoraIO/Tools.
//
//	POST /token/generate
//	{"channelName":"channel_name_test","uid":"12345678","tokenExpireTs":3600,"privilegeExpireTs":3600,
//	 "serviceRtc":{"enable":true,"role":1},"serviceRtm":{"enable":true},"serviceFpa":{"enable":true},
//	 "serviceChat":{"enableUser":true,"enableApp":true,"userUuid":"u"},
//	 "serviceApaas":{"enableUser":true,"enableApp":true,"userUuid":"u"}}
//
//	{"code":0,"data":{"token":"007…"},"message":"Success"}
//	{"code":-1,"data":"","message":"…"}   what was asked is malformed
//	{"code":-2,"data":"","message":"…"}   there is no token for it
//
// The services that are switched on are in one token. Newer containers call
// serviceApaas serviceEducation. As there, a channel or uid that is left out is a
// blank one, which is a wildcard, and the uid is a text. Role 1 is a publisher.
// Otherwise than there, tokenExpireTs of 0 is the default lifetime and
// privilegeExpireTs of 0 that of the token: a token that has expired when it is
// issued is of no use, and what 0 means for a privilege is documented in three ways.
var dockerEndpoints = []endpoint{{
	method: "POST",
	path:   "/token/generate",
	body:   anyBody,
	read:   readDocker,
	granted: func(list []minted) answer {
		return dockerAnswer(0, "Success", map[string]string{"token": list[0].token})
	},
	refused: func(why *refusal) answer {
		code := -1
		if why.reason == api.ReasonNotAllowed || why.reason == api.ReasonCredentialUnavailable {
			code = -2
		}
		return dockerAnswer(code, why.detail, "")
	},
}}

func dockerAnswer(code int, message string, data any) answer {
	return jsonAnswer(struct {
		Code    int    `json:"code"`
		Data    any    `json:"data"`
		Message string `json:"message"`
	}{code, data, message})
}

func readDocker(in *input) ([]wish, error) {
	o := parseObject(in.body, true)
	channel, _ := o.text("channelName")
	uid, _ := o.text("uid")
	expire, _ := o.number("tokenExpireTs", 0, math.MaxUint32)
	privilegeExpire, _ := o.number("privilegeExpireTs", 0, math.MaxUint32)
	w := wish{
		channel: textName(channel), account: textName(uid),
		expire: uint32(expire), privilegeExpire: uint32(privilegeExpire),
	}
	education, err := dockerEducation(o)
	if err != nil {
		return nil, err
	}
	rtc, chat := o.object("serviceRtc"), o.object("serviceChat")
	rtcRole, _ := rtc.number("role", 0, 2)
	if rtcRole == 1 {
		w.role = rolePublisher
	}
	w.chatUser, w.educationUser = dockerUser(chat), dockerUser(education)
	for _, service := range []struct {
		object *object
		flag   string
		kind   kind
	}{
		{rtc, "enable", kindRTC},
		{o.object("serviceRtm"), "enable", kindRTM},
		{o.object("serviceFpa"), "enable", kindFPA},
		{chat, "enableUser", kindChatUser},
		{chat, "enableApp", kindChatApp},
		{education, "enableUser", kindEducationUser},
		{education, "enableApp", kindEducationApp},
	} {
		if service.object.flag(service.flag) {
			w.kinds = append(w.kinds, service.kind)
		}
		if service.object.problem != nil {
			return nil, service.object.problem
		}
	}
	if o.problem == nil && len(w.kinds) == 0 {
		return nil, errors.New("no service is enabled")
	}
	return []wish{w}, o.end()
}

// dockerEducation returns the service that has two names.
func dockerEducation(o *object) (*object, error) {
	if o.find("serviceApaas") == nil {
		return o.object("serviceEducation"), nil
	}
	if o.find("serviceEducation") != nil {
		return nil, errors.New("serviceApaas and serviceEducation are the same service")
	}
	return o.object("serviceApaas"), nil
}

func dockerUser(service *object) name {
	user, _ := service.text("userUuid")
	return textName(user)
}
