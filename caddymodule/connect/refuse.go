package connect

import (
	"net/http"

	"github.com/caddy-convoai/convoai/api"
)

// The answers to those who cannot be served.
var (
	errPeerNotAllowed = api.Error{Status: http.StatusForbidden, Reason: api.ReasonPeerNotAllowed,
		Detail: "this sidecar does not serve your address; allow_from would have to name it"}
	errMisdirected = api.Error{Status: http.StatusForbidden, Reason: api.ReasonHostNotAllowed,
		Detail: "the Host of the request is not the one that the connection was made to"}
	errVersion = api.Error{Status: http.StatusMethodNotAllowed, Reason: api.ReasonMethodNotAllowed,
		Detail: "CONNECT is possible with HTTP/1.1 alone"}
	errConnectInside = api.Error{Status: http.StatusMethodNotAllowed, Reason: api.ReasonMethodNotAllowed,
		Detail: "CONNECT is not possible within a connection that was made by CONNECT"}
	errBody = api.Error{Status: http.StatusBadRequest, Reason: api.ReasonInvalidRequestBody,
		Detail: "CONNECT has no body"}
	errProxyAuth = api.Error{Status: http.StatusProxyAuthRequired, Reason: api.ReasonCallerNotAuthorized,
		Detail: "the proxy password is missing or wrong: it is the caller token, as in http://user:TOKEN@host:port"}
	errLoop = api.Error{Status: http.StatusLoopDetected, Reason: api.ReasonLoopDetected,
		Detail: "the request came from this sidecar: a host that it connects to leads back to it"}
	errNoGate = api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonCredentialUnavailable,
		Detail: "convoai_connect needs the convoai directive behind it; nothing was sent"}
	errStopping = api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonStopping,
		Detail: "the sidecar is stopping"}
	errCertificate = api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonCredentialUnavailable,
		Detail: "no certificate could be made for this host; nothing was sent"}
	errTooMany = api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonTooManyTunnels,
		Detail: "this sidecar has as many tunnels, or requests to other APIs, as it can have"}
	errUnreachable = api.Error{Status: http.StatusBadGateway, Reason: api.ReasonUpstreamUnreachable,
		Detail: "the host could not be reached; nothing was sent"}
	errLost = api.Error{Status: http.StatusBadGateway, Reason: api.ReasonUpstreamConnectionLost,
		Detail: "the connection broke after sending: the request may have been carried out"}
	errTimeout = api.Error{Status: http.StatusGatewayTimeout, Reason: api.ReasonUpstreamTimeout,
		Detail: "the request was sent and not answered in time: it may have been carried out"}
)

func errHost(detail string) api.Error {
	return api.Error{Status: http.StatusForbidden, Reason: api.ReasonHostNotAllowed, Detail: detail}
}

// refuse answers r with e. The connection of a CONNECT is closed: its client may
// have sent what was meant for another host already, and that is no request to us.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, e api.Error, cause error) {
	if r.Method == http.MethodConnect && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	if e == errProxyAuth {
		w.Header().Set("Proxy-Authenticate", `Basic realm="convoai"`)
	}
	h.front.Refuse(w, r, e, cause)
}
