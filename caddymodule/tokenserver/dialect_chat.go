package tokenserver

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

// The dialects chat-go, chat-node, chat-python and chat-java are the servers that
// the vendor's guide "Secure authentication with tokens" for Chat has its readers
// write, each in its language.

// chat-go:
//
//	POST /generate-user-token   {"user_uuid":"test_user","expire":3600}
//	POST /generate-app-token    {"expire":3600}
//
//	{"token":"007…"}
//	{"token":"","error":"…"}
//
// The server there sets no Content-Type, and Go calls its JSON plain text. A body
// that cannot be read is answered with plain text indeed.
var chatGoEndpoints = []endpoint{
	{method: "POST", path: "/generate-user-token", body: anyBody, read: readChatGoUser, granted: grantChatGo, refused: refuseChatGo},
	{method: "POST", path: "/generate-app-token", body: anyBody, read: readChatGoApp, granted: grantChatGo, refused: refuseChatGo},
}

func readChatGoUser(in *input) ([]wish, error) {
	o := parseObject(in.body, true)
	user, _ := o.text("user_uuid")
	expire, _ := o.number("expire", 0, math.MaxUint32)
	return chatUser(user, uint32(expire)), o.end()
}

func readChatGoApp(in *input) ([]wish, error) {
	o := parseObject(in.body, true)
	expire, _ := o.number("expire", 0, math.MaxUint32)
	return chatApp(uint32(expire)), o.end()
}

func chatUser(user string, expire uint32) []wish {
	return []wish{{kinds: []kind{kindChatUser}, account: textName(user), expire: expire}}
}

func chatApp(expire uint32) []wish { return []wish{{kinds: []kind{kindChatApp}, expire: expire}} }

type chatGoBody struct {
	Token string `json:"token"`
	Error string `json:"error,omitempty"`
}

const plainText = "text/plain; charset=utf-8"

func grantChatGo(list []minted) answer {
	return answer{plainText, append(jsonOf(chatGoBody{Token: list[0].token}), '\n')}
}

func refuseChatGo(why *refusal) answer {
	if why.status == http.StatusBadRequest {
		return answer{plainText, []byte("Invalid request payload: " + why.detail + "\n")}
	}
	return answer{plainText, append(jsonOf(chatGoBody{Error: why.detail}), '\n')}
}

// chat-node and chat-python:
//
//	GET /api/token/generateUserToken?account=user123&expireTimeInSeconds=3600
//	GET /api/token/generateAppToken?expireTimeInSeconds=3600
//
//	{"status":"success","token":"007…"}   chat-node
//	{"token":"007…"}                      chat-python
//	{"error":"…"}                         both
//
// The guide's Node server makes an app token where a user token is asked for. Here
// it is a user's. A lifetime is digits: that server takes "undefined" for an hour and
// "60abc" for a minute, which hides a mistake.
var chatNodeEndpoints = chatQueryEndpoints("Account parameter is required", func(list []minted) answer {
	return jsonAnswer(struct {
		Status string `json:"status"`
		Token  string `json:"token"`
	}{"success", list[0].token})
}, jsonAnswer)

var chatPythonEndpoints = chatQueryEndpoints("Missing 'account' parameter", func(list []minted) answer {
	return flaskAnswer(struct {
		Token string `json:"token"`
	}{list[0].token})
}, flaskAnswer)

// flaskAnswer is JSON as Flask gives it.
func flaskAnswer(v any) answer { return answer{"application/json", append(jsonOf(v), '\n')} }

func chatQueryEndpoints(noAccount string, granted func([]minted) answer, shape func(any) answer) []endpoint {
	refused := func(why *refusal) answer {
		return shape(struct {
			Error string `json:"error"`
		}{why.detail})
	}
	user := func(in *input) ([]wish, error) {
		v := parseValues(in.query)
		account, _ := v.text("account")
		expire := v.seconds("expireTimeInSeconds")
		if v.problem == nil && account == "" {
			return nil, said(noAccount)
		}
		return chatUser(account, expire), v.problem
	}
	app := func(in *input) ([]wish, error) {
		v := parseValues(in.query)
		expire := v.seconds("expireTimeInSeconds")
		return chatApp(expire), v.problem
	}
	return []endpoint{
		{method: "GET", path: "/api/token/generateUserToken", read: user, granted: granted, refused: refused},
		{method: "GET", path: "/api/token/generateAppToken", read: app, granted: granted, refused: refused},
	}
}

// chat-java:
//
//	POST /token/generate   userId=testUser&expireSeconds=3600&tokenType=user
//
// answers with the token and nothing else, as text. tokenType is user, the default,
// or app. The path is that of docker, which takes JSON. Errors look as Spring's do.
var chatJavaEndpoints = []endpoint{{
	method: "POST",
	path:   "/token/generate",
	body:   formBody,
	read:   readChatJava,
	granted: func(list []minted) answer {
		return answer{"text/plain;charset=UTF-8", []byte(list[0].token)}
	},
	refused: func(why *refusal) answer {
		return answer{"application/json", jsonOf(struct {
			Timestamp string `json:"timestamp"`
			Status    int    `json:"status"`
			Error     string `json:"error"`
			Message   string `json:"message"`
			Path      string `json:"path"`
		}{time.Now().UTC().Format("2006-01-02T15:04:05.000-07:00"), why.status, http.StatusText(why.status), why.detail, "/token/generate"})}
	},
}}

func readChatJava(in *input) ([]wish, error) {
	v := parseValues(string(in.body))
	user, hasUser := v.text("userId")
	text, hasExpire := v.text("expireSeconds")
	kind, _ := v.text("tokenType")
	switch {
	case v.problem != nil:
		return nil, v.problem
	case !hasUser:
		return nil, errors.New("userId is required")
	case !hasExpire:
		return nil, errors.New("expireSeconds is required")
	}
	expire, err := parseUint32(text)
	if err != nil {
		return nil, fmt.Errorf("expireSeconds %w", err)
	}
	switch {
	case kind == "" || strings.EqualFold(kind, "user"): // Spring has the default for a blank one, too
		return chatUser(user, expire), nil
	case strings.EqualFold(kind, "app"):
		return chatApp(expire), nil
	}
	return nil, said("Invalid tokenType. Must be 'user' or 'app'.")
}
