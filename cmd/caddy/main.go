// Command caddy is Caddy with its standard modules and the ConvoAI modules.
//
// It is what development, the tests and the container run. A build with other
// plugins beside these is made with xcaddy; see the README.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-convoai/convoai"
)

func main() {
	caddycmd.Main()
}
