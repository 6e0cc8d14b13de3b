package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// trustVariables are the variables by which programs find the CAs that they trust,
// with those that they look at otherwise. What they name replaces all others.
var trustVariables = []struct {
	name     string
	readBy   string
	fallback string
}{
	{"SSL_CERT_FILE", "OpenSSL, Python, Ruby, Go", ""},
	{"CURL_CA_BUNDLE", "curl", "SSL_CERT_FILE"},
	{"REQUESTS_CA_BUNDLE", "Python's requests", "CURL_CA_BUNDLE"},
}

// nodeTrustVariable is Node's. What it names is added to the CAs that Node has.
const nodeTrustVariable = "NODE_EXTRA_CA_CERTS"

// trusting returns variables with which programs trust ca beside what they trust in
// the present environment. The files that they name are in a folder of this user
// alone, which is the caller's to remove.
func trusting(ca []byte) (variables map[string]string, folder string, err error) {
	if folder, err = os.MkdirTemp("", "convoai-exec-"); err != nil {
		return nil, "", err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(folder)
		}
	}()
	variables = map[string]string{}
	for _, v := range trustVariables {
		own, ok := readBundle(os.Getenv(v.name))
		if !ok && v.fallback != "" {
			variables[v.name] = variables[v.fallback]
			continue
		}
		if !ok {
			if own, err = systemBundle(); err != nil {
				return nil, "", err
			}
		}
		if variables[v.name], err = writeTrust(folder, v.name, withCA(own, ca)); err != nil {
			return nil, "", err
		}
	}
	extra, _ := readBundle(os.Getenv(nodeTrustVariable))
	variables[nodeTrustVariable], err = writeTrust(folder, nodeTrustVariable, withCA(extra, ca))
	return variables, folder, err
}

func writeTrust(folder, variable string, pem []byte) (string, error) {
	name := filepath.Join(folder, strings.ToLower(variable)+".pem")
	if err := os.WriteFile(name, pem, 0o600); err != nil {
		return "", fmt.Errorf("the CAs for the command: %w", err)
	}
	return name, nil
}
