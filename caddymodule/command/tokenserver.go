package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/caddymodule/tokenserver"
)

// tokenServerFlags are the flags of token-server. What is not given comes from
// the environment.
type tokenServerFlags struct {
	listen    []string
	appID     string
	dialects  []string
	origins   []string
	channels  []string
	accounts  []string
	kinds     []string
	roles     []string
	maxExpire string
	allowHost []string
	allowAll  bool
	accessLog bool
}

// tokenServerPort is where the token server listens on the loopback interface.
const tokenServerPort = 8082

// tokenServerCommand returns `caddy convoai token-server`.
func tokenServerCommand() *cobra.Command {
	var flags tokenServerFlags
	cmd := &cobra.Command{
		Use: "token-server [--listen <address>]... [--app-id <id>] [--dialect <name>]... [--origin <origin>]... [--allow-channels <pattern>]... [--allow-accounts <pattern>]..." +
			" [--allow-kinds <kind>]... [--allow-roles <role>]... [--max-expire <duration>] [--allow-host <host>]... [--allow-all] [--access-log]",
		Short: "Runs a token server without a configuration file",
		Long: `
Mints tokens for the people in a channel, at POST /token and at the paths of the
vendor's samples that --dialect names. It takes the place of the vendor's
container and has its variables: APP_ID and APP_CERTIFICATE, or AGORA_APP_ID,
AGORA_APP_CERTIFICATE and AGORA_APP_CERTIFICATE_SECONDARY. Each of them can be in
a file: APP_CERTIFICATE_FILE and so on name it.

Nothing is granted that the flags do not grant. They are one rule, for any caller:

	--allow-channels 'room-*' --allow-accounts '*'

grants tokens for subscribers of those channels, for an hour at most. Everything,
as the vendor's container has it, is --allow-all: on a loopback address only. On
one, the Host has to be localhost, a loopback address, or one that --allow-host
names: otherwise a web page could lead a name of its own there. Who may ask is for
a configuration file to say, with the directive convoai_token_server.

The flags can be given in the environment too: CONVOAI_LISTEN, CONVOAI_DIALECTS,
CONVOAI_ORIGINS, CONVOAI_ALLOW_CHANNELS, CONVOAI_ALLOW_ACCOUNTS,
CONVOAI_ALLOW_KINDS, CONVOAI_ALLOW_ROLES, CONVOAI_MAX_EXPIRE, CONVOAI_ALLOW_HOST,
CONVOAI_ALLOW_ALL, CONVOAI_ACCESS_LOG. Lists are separated by commas or white
space. A flag counts before its variable.

The admin API is on a Unix socket that only this user can open. Nothing is
written to disk but that.`,
		Args: noArguments,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(os.Stderr)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.listen, "listen", "l", nil, "Where to listen: host:port, or unix//path; repeatable (default 127.0.0.1:8082, and [::1]:8082 where there is IPv6)")
	f.StringVar(&flags.appID, "app-id", "", "The app ID, instead of the one in AGORA_APP_ID or APP_ID")
	f.StringArrayVar(&flags.dialects, "dialect", nil, "A token server to speak like, besides POST /token: docker, rtc, chat-go, chat-node, chat-python, chat-java or token-service; repeatable")
	f.StringArrayVar(&flags.origins, "origin", nil, "A web origin whose pages may ask, such as https://app.example.com; repeatable (default none)")
	f.StringArrayVar(&flags.channels, "allow-channels", nil, "Channels to grant; * within a pattern matches any text; repeatable")
	f.StringArrayVar(&flags.accounts, "allow-accounts", nil, "Accounts or uids to grant; * within a pattern matches any text; repeatable")
	f.StringArrayVar(&flags.kinds, "allow-kinds", nil, "Kinds of tokens to grant; repeatable (default rtc)")
	f.StringArrayVar(&flags.roles, "allow-roles", nil, "Roles to grant, publisher and subscriber; repeatable (default subscriber)")
	f.StringVar(&flags.maxExpire, "max-expire", "", "The longest lifetime to grant: seconds or a duration, 1s to 24h; longer wishes are shortened to it (default 1h)")
	f.StringArrayVar(&flags.allowHost, "allow-host", nil, "A Host that callers may use; repeatable (default any; on loopback addresses alone, localhost and loopback addresses)")
	f.BoolVar(&flags.allowAll, "allow-all", false, "Grant rtc, rtm and chat-user tokens for every channel, account and role, instead of the --allow flags; on loopback addresses only")
	f.BoolVar(&flags.accessLog, "access-log", false, "Log each request")
	return cmd
}

// run starts the token server. It returns only if that fails; a signal ends the
// process with status 0.
func (f *tokenServerFlags) run(stderr io.Writer) (int, error) {
	s, err := f.tokenServer()
	if err != nil {
		return exitUnusable, err
	}
	return s.serve(s.start, func() { s.announce(stderr) })
}

// errNoSigningCertificate says what is needed to start a token server.
var errNoSigningCertificate = errors.New("no app certificate in the environment: set AGORA_APP_ID and AGORA_APP_CERTIFICATE (or APP_ID and APP_CERTIFICATE)," +
	" or the same names with _FILE added and the name of a file; no other credential can sign tokens")

// tokenServer reads flags and environment. Errors name the flag or variable, and
// never the value of a secret.
func (f *tokenServerFlags) tokenServer() (*tokenServer, error) {
	credentials, err := lookUpSigningCredentials(f.appID)
	if err != nil {
		return nil, err
	}
	config := credentials.forConfig()
	s := &tokenServer{appID: credentials.appID.value[len(credentials.appID.value)-4:]}
	s.handler.AppID = config.AppID
	s.handler.AppCertificate = config.AppCertificate
	s.handler.AppCertificateSecondary = config.AppCertificateSecondary
	s.handler.Dialects = s.from("dialects", flagOrList("dialect", f.dialects, envDialects))
	s.handler.Origins = s.from("origins", flagOrList("origin", f.origins, envOrigins))
	if s.listen, err = listenAddresses(flagOrList("listen", f.listen, envListen), tokenServerPort); err != nil {
		return nil, err
	}
	if s.accessLog, err = flagOrBool(f.accessLog, envAccessLog); err != nil {
		return nil, err
	}
	if s.allowHost, err = allowedHosts(f.allowHost); err != nil {
		return nil, err
	}
	if s.allowAll, err = flagOrBool(f.allowAll, envAllowAll); err != nil {
		return nil, err
	}
	if err := f.readRule(s); err != nil {
		return nil, err
	}
	return s, nil
}

// lookUpSigningCredentials reads an app's ID, from a flag if it is given, and its
// certificates, from the environment. The other credentials, which may stand
// there for a sidecar, do not matter.
func lookUpSigningCredentials(appIDFlag string) (c appCredentials, err error) {
	if c.appID, err = appIDFrom(appIDFlag); err != nil {
		return c, err
	}
	if c.appCertificate, err = lookUp(envAppCertificate...); err != nil {
		return c, err
	}
	if c.appCertificateSecondary, err = lookUp(envAppCertificateSecondary...); err != nil {
		return c, err
	}
	switch {
	case !c.appCertificate.isSet() && !c.appCertificateSecondary.isSet():
		return c, errNoSigningCertificate
	case !c.appID.isSet():
		return c, errors.New("no app ID: set AGORA_APP_ID (or APP_ID) or --app-id")
	}
	return c, c.check()
}

// readRule makes a rule of the flags, or leaves the server without one where none
// of them is given.
func (f *tokenServerFlags) readRule(s *tokenServer) error {
	channels := flagOrList("allow-channels", f.channels, envAllowChannels)
	accounts := flagOrList("allow-accounts", f.accounts, envAllowAccounts)
	kinds := flagOrList("allow-kinds", f.kinds, envAllowKinds)
	roles := flagOrList("allow-roles", f.roles, envAllowRoles)
	lists := []listSetting{channels, accounts, kinds, roles}

	maxExpire := flagOr("max-expire", f.maxExpire, envMaxExpire)
	rule := tokenserver.Rule{Name: ruleName}
	if maxExpire.isSet() {
		seconds, err := lifetime(maxExpire.from, maxExpire.value)
		if err != nil {
			return err
		}
		rule.MaxExpire = caddy.Duration(time.Duration(seconds) * time.Second)
	}

	if s.allowAll {
		for _, list := range lists {
			if len(list.values) > 0 {
				return fmt.Errorf("%s and --allow-all are both set: leave out one of them", list.from)
			}
		}
		for _, address := range s.listen {
			if !onlyLoopback(address) {
				return fmt.Errorf("--allow-all is for loopback addresses, and %s can be reached from other hosts, each of which could spend the account:"+
					" say what to grant with --allow-channels and --allow-accounts, or have a configuration file say who may ask (see the directive convoai_token_server)", address)
			}
		}
		rule.Kinds = []string{"rtc", "rtm", "chat-user"}
		rule.Channels, rule.Accounts = []string{"*"}, []string{"*"}
		rule.Roles = []string{"publisher", "subscriber"}
		s.handler.Allow = []tokenserver.Rule{rule}
		return nil
	}

	given := false
	for _, list := range lists {
		given = given || len(list.values) > 0
	}
	if !given {
		return nil
	}
	for _, list := range lists[:2] {
		for _, pattern := range list.values {
			if strings.Contains(pattern, "{user}") {
				return fmt.Errorf("%s: {user} is nobody here, where nobody signs in: have a configuration file say who may ask (see the directive convoai_token_server)", list.from)
			}
		}
	}
	rule.Channels, rule.Accounts = s.from("channels", channels), s.from("accounts", accounts)
	rule.Kinds, rule.Roles = s.from("kinds", kinds), s.from("roles", roles)
	s.handler.Allow = []tokenserver.Rule{rule}
	return nil
}
