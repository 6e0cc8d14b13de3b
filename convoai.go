// Package convoai registers Caddy modules that send an application's calls to
// the Agora (in mainland China: Shengwang) Conversational AI REST API: signed,
// to the right host, and never twice.
//
// Import it for its side effect, or build Caddy with it:
//
//	xcaddy build --with github.com/caddy-convoai/convoai
//
// The modules are in caddymodule. The packages token, cache and region can be
// used without Caddy.
package convoai

import (
	_ "github.com/caddy-convoai/convoai/caddymodule"
	_ "github.com/caddy-convoai/convoai/caddymodule/command"
	_ "github.com/caddy-convoai/convoai/caddymodule/connect"
	_ "github.com/caddy-convoai/convoai/caddymodule/tokenserver"
)
