package connect

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// proxyPassword returns the password of a Basic Proxy-Authorization, and removes
// the header, which nobody behind has to see. given is false without one, and with
// one that cannot be read or is there twice.
func proxyPassword(r *http.Request) (password string, given bool) {
	values := r.Header["Proxy-Authorization"]
	delete(r.Header, "Proxy-Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, encoded, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", false
	}
	_, password, given = strings.Cut(string(decoded), ":")
	return password, given
}
