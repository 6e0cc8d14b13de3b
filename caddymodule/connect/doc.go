// Package connect lets clients call the ConvoAI API through the sidecar without
// a change: as their forward proxy, or in the place of the vendor's hosts.
//
// Its handler, convoai_connect, stands before the gate of a site:
//
//	CONNECT api.agora.io:443 ──▶ Handler.ServeHTTP     peer, proxy password, target
//	    │                                               (authority.go, credentials.go)
//	    ├─ one of the vendor's hosts ──▶ intercept.go   200, TLS with a certificate of our CA, SNI = target
//	    │      └─▶ inside.go                            HTTP/1.1 and 2 on that connection; Host = target;
//	    │            └─▶ the site's routes once more    the gate, the reverse proxy; or other.go
//	    ├─ a host that tunnel names ──▶ tunnel.go       bytes, to port 443, addresses checked
//	    └─ any other ──▶ 403
//	GET http://api.agora.io/… ──▶ the gate, which knows the absolute form
//
// The requests on an intercepted connection run through all of the server's routes,
// with the client's address: allow_from, access log, error routes and metrics are
// those of any other request. What differs is in their context only.
//
// The certificates come from a [CA] of our own (ca.go), which is made on this host,
// kept in Caddy's storage (keep.go) or in memory, and never installed anywhere. Its
// name constraints leave it nothing but agora.io and sd-rtn.com, so that whoever
// trusts it for one program, and loses its key, has lost those two names in that
// program. The same CA can give certificates to sites, for clients that reach the
// sidecar by a redirected name: the module tls.get_certificate.convoai (manager.go).
//
// Who may call, the caller tokens, and the way to hosts are those of the gate that
// follows in the site: see [caddymodule.Front]. Nothing here knows a credential of
// the vendor's.
//
// It is no general forward proxy: no ports but 443, no addresses, no patterns of
// names, at most 256 tunnels.
package connect
