package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// Names of the environment variables that stand for flags. Lists are separated
// by commas or white space.
const (
	envArea            = "AGORA_AREA"
	envListen          = "CONVOAI_LISTEN"
	envUpstream        = "CONVOAI_UPSTREAM"
	envUpstreamCA      = "CONVOAI_UPSTREAM_CA"
	envUpstreamPrivate = "CONVOAI_UPSTREAM_PRIVATE"
	envAllowHost       = "CONVOAI_ALLOW_HOST"
	envAllowFrom       = "CONVOAI_ALLOW_FROM"
	envAccessLog       = "CONVOAI_ACCESS_LOG"
	envHealthListen    = "CONVOAI_HEALTH_LISTEN"
	envSimulatorListen = "CONVOAI_SIMULATOR_LISTEN"

	envDialects      = "CONVOAI_DIALECTS"
	envOrigins       = "CONVOAI_ORIGINS"
	envAllowChannels = "CONVOAI_ALLOW_CHANNELS"
	envAllowAccounts = "CONVOAI_ALLOW_ACCOUNTS"
	envAllowKinds    = "CONVOAI_ALLOW_KINDS"
	envAllowRoles    = "CONVOAI_ALLOW_ROLES"
	envMaxExpire     = "CONVOAI_MAX_EXPIRE"
	envAllowAll      = "CONVOAI_ALLOW_ALL"
)

// envCallerToken is the variable, with a _FILE twin, of the token that callers
// must send.
var envCallerToken = []string{"CONVOAI_CALLER_TOKEN"}

// A setting is a value with where it came from. The zero setting is not set.
type setting struct {
	// value may be a secret.
	value string
	// from names the flag or variable, for messages.
	from string
	// placeholder is what stands for value in a Caddy configuration: {env.X},
	// or {file./path}, which follows the file. Empty for flags.
	placeholder string
}

func (s setting) isSet() bool { return s.value != "" }

// lookUp returns the first of the environment variables that is set and not
// empty, or the contents of the file that its _FILE twin names. White space at
// the end is trimmed. An error names the variable and the file, never a value.
//
// A variable and its twin may not both be set: which of two secrets was meant
// cannot be known.
func lookUp(names ...string) (setting, error) {
	for _, name := range names {
		value := trimEnd(os.Getenv(name))
		file := os.Getenv(name + "_FILE")
		switch {
		case value != "" && file != "":
			return setting{}, fmt.Errorf("%s and %s_FILE are both set: set one of them", name, name)
		case value != "":
			return setting{value: value, from: name, placeholder: "{env." + name + "}"}, nil
		case file != "":
			return lookUpFile(name+"_FILE", file)
		}
	}
	return setting{}, nil
}

func lookUpFile(from, file string) (setting, error) {
	value, err := readSecretFile(file)
	if err != nil {
		return setting{}, fmt.Errorf("%s: %w", from, err)
	}
	path, err := configPath(file)
	if err != nil {
		return setting{}, fmt.Errorf("%s: %w", from, err)
	}
	return setting{value: value, from: from, placeholder: "{file." + path + "}"}, nil
}

// configPath returns file as an absolute path that can stand in a Caddy
// configuration, where braces would be read as placeholders.
func configPath(file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(path, "{}") {
		return "", fmt.Errorf("%s: braces are not possible in the path", path)
	}
	return path, nil
}

// flagOr returns a flag's value, or that of an environment variable.
func flagOr(flag, value, variable string) setting {
	if value = strings.TrimSpace(value); value != "" {
		return setting{value: value, from: "--" + flag}
	}
	return setting{value: strings.TrimSpace(os.Getenv(variable)), from: variable}
}

// A listSetting is a list with where it came from.
type listSetting struct {
	values []string
	from   string
}

// flagOrList returns the values of a repeatable flag, or those of an environment
// variable. Either may hold several, separated by commas or white space.
func flagOrList(flag string, values []string, variable string) listSetting {
	if list := splitList(strings.Join(values, ",")); len(list) > 0 {
		return listSetting{list, "--" + flag}
	}
	return listSetting{splitList(os.Getenv(variable)), variable}
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}
