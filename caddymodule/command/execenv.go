package command

import (
	"encoding/base64"
	"os"
	"slices"
	"strings"

	"github.com/caddy-convoai/convoai/region"
)

// secretVariables are the variables that carry our secrets, without their twins.
var secretVariables = slices.Concat(
	envAppCertificate, envAppCertificateSecondary, envCustomerID, envCustomerSecret, envAuthToken, envCallerToken,
	[]string{envDemoAppCertificate, envExecToken},
)

// minSecret is how long a secret has to be for a variable to be taken out that has
// it somewhere in its value: a short one is part of many words.
const minSecret = 8

// withoutSecrets returns those of the variables that carry none of our secrets: by
// the name of one of ours, used or not, or by a value that has the secret in it.
func withoutSecrets(environment []string) []string {
	secrets := ownSecrets()
	return slices.DeleteFunc(slices.Clone(environment), func(variable string) bool {
		name, value, _ := strings.Cut(variable, "=")
		if slices.Contains(secretVariables, strings.TrimSuffix(name, "_FILE")) {
			return true
		}
		value = strings.ToLower(value) // certificates are hexadecimal
		return slices.ContainsFunc(secrets, func(secret string) bool {
			return value == secret || len(secret) >= minSecret && strings.Contains(value, secret)
		})
	})
}

// ownSecrets returns the values of our secrets, in lower case, in the forms in which
// they may be in a variable.
func ownSecrets() []string {
	var secrets []string
	add := func(value string) {
		if value = strings.ToLower(trimEnd(value)); value != "" {
			secrets = append(secrets, value)
		}
	}
	for _, name := range secretVariables {
		values := []string{os.Getenv(name)}
		if file := os.Getenv(name + "_FILE"); file != "" {
			content, _ := readSecretFile(file) // one that is not used may be anything
			values = append(values, content)
		}
		for _, value := range values {
			if slices.Contains(envCustomerID, name) {
				continue // no secret by itself
			}
			add(value)
			add(bareToken(trimEnd(value)))
		}
	}
	id, _ := lookUp(envCustomerID...)
	secret, _ := lookUp(envCustomerSecret...)
	if id.isSet() && secret.isSet() {
		add(base64.StdEncoding.EncodeToString([]byte(id.value + ":" + secret.value)))
	}
	return secrets
}

// proxied returns environment with a proxy for all that a program calls but this
// host. HTTP_PROXY is set only where it was: a CGI program takes it from a request's
// Proxy header.
func proxied(environment []string, proxy string) []string {
	except := map[string]string{"NO_PROXY": "", "no_proxy": ""}
	upper := false
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if _, ok := except[name]; ok {
			except[name] = value
		}
		upper = upper || name == "HTTP_PROXY"
	}
	set := map[string]string{
		"HTTPS_PROXY": proxy, "https_proxy": proxy, "http_proxy": proxy,
		"NODE_USE_ENV_PROXY": "1", // Node 24, and 22.21
	}
	if upper {
		set["HTTP_PROXY"] = proxy
	}
	for name, value := range except {
		if value == "" {
			value = except[strings.ToUpper(name)] + except[strings.ToLower(name)]
		}
		set[name] = exceptions(value)
	}
	return with(environment, set)
}

// exceptions returns the value of NO_PROXY: what was in it, less what would take
// ConvoAI calls past the proxy, and this host.
func exceptions(value string) string {
	list := slices.DeleteFunc(splitList(value), func(entry string) bool {
		name := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(entry), "*"), ".")
		if before, _, port := strings.Cut(name, ":"); port && strings.Count(name, ":") == 1 {
			name = before
		}
		return name == "" || region.VendorHost(name) || region.VendorHost("api."+name) || name == "io" || name == "com"
	})
	for _, own := range []string{"localhost", "127.0.0.1", "::1"} {
		if !slices.Contains(list, own) {
			list = append(list, own)
		}
	}
	return strings.Join(list, ",")
}

// with returns environment with variables set.
func with(environment []string, set map[string]string) []string {
	list := slices.DeleteFunc(slices.Clone(environment), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		_, ok := set[name]
		return ok
	})
	for name, value := range set {
		list = append(list, name+"="+value)
	}
	return list
}
