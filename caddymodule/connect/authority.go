package connect

import (
	"errors"
	"strings"
)

// The only port that a CONNECT may name.
const httpsPort = "443"

var (
	errAuthority = errors.New("the target of CONNECT must be a host name and a port, as in api.agora.io:443")
	errAddress   = errors.New("the target of CONNECT must be a name and no IP address")
	errPort      = errors.New("CONNECT is for port 443 alone")
)

// parseAuthority reads the target of a CONNECT as it stands in the request line,
// and returns its host in lower case. It is strict, because the same text may mean
// another host to somebody else: letters, digits and hyphens in labels, without user
// information, a dot at the end, or another way to write 443.
func parseAuthority(target string) (host string, err error) {
	if strings.HasPrefix(target, "[") || strings.Count(target, ":") > 1 {
		return "", errAddress
	}
	host, port, found := strings.Cut(target, ":")
	if !found {
		return "", errAuthority
	}
	if host, err = parseName(host); err != nil {
		return "", err
	}
	if port != httpsPort {
		return "", errPort
	}
	return host, nil
}

// parseName returns a DNS name of at least two labels in lower case.
func parseName(name string) (string, error) {
	if len(name) > 253 {
		return "", errAuthority
	}
	labels := strings.Split(lower(name), ".")
	for _, label := range labels {
		if !isLabel(label) {
			return "", errAuthority
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", errAddress // no such top-level domain, and inet_aton reads it
	}
	if len(labels) < 2 {
		return "", errAuthority
	}
	return strings.Join(labels, "."), nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isAuthorityOf reports whether the Host header of a request on a connection to
// host names it, with or without its port.
func isAuthorityOf(header, host string) bool {
	name, port, found := strings.Cut(header, ":")
	return lower(name) == host && (!found || port == httpsPort)
}

// lower returns s with ASCII letters in lower case. [strings.ToLower] makes ASCII
// of other letters, such as the Kelvin sign.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
