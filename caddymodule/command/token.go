package command

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-convoai/convoai/token"
)

// tokenCommand returns `caddy convoai token`.
func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token <kind> [flags]",
		Short: "Mints one Agora token",
		Long: `
Mints one token and prints it, and nothing else, to standard output:

	$ caddy convoai token convoai --channel room-1 --account 1001

App ID and app certificate come from AGORA_APP_ID and AGORA_APP_CERTIFICATE (or
APP_ID and APP_CERTIFICATE; with _FILE added, from a file), or from --app-id and
--app-certificate. With --issued-at and --salt the token is the same each time.

The kinds of which the names end in -006, dynamic-key-1 to -5 and signaling are
formats that the vendor has replaced.`,
		Args: cobra.ArbitraryArgs, // told in RunE, without repeating them
	}
	for _, kind := range tokenKinds {
		cmd.AddCommand(kind.command())
	}
	cmd.AddCommand(tokenBuildCommand())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return failWith(cmd, exitUnusable, fmt.Errorf("unknown kind of token; see %s --help", cmd.CommandPath()))
		}
		return failWith(cmd, exitUnusable, fmt.Errorf("which kind of token? See %s --help", cmd.CommandPath()))
	}
	return cmd
}

// A tokenKind is one subcommand of token.
type tokenKind struct {
	name  string
	short string
	// takes and ignores are the names of flags. Those that are ignored are
	// accepted with a warning: they belong to the formats beside this one.
	takes, ignores string
	// mint returns the token string.
	mint func(*tokenFlags, appKeys) (string, error)
}

// appKeys are what every kind needs.
type appKeys struct{ appID, appCertificate string }

// tokenFlags are the flags of all kinds; each kind has some of them.
type tokenFlags struct {
	*pflag.FlagSet
	now    time.Time
	stderr io.Writer

	appID, appCertificate   string
	channel, account, room  string
	uid, role               string
	expire, privilegeExpire string
	issuedAt, salt          string
	expiresAt               string
	service, allowUpload    string
}

// add defines one flag.
func (f *tokenFlags) add(name string) {
	text := func(p *string, value, usage string) { f.StringVar(p, name, value, usage) }
	switch name {
	case "app-id":
		text(&f.appID, "", "The app ID, instead of the one in AGORA_APP_ID")
	case "app-certificate":
		text(&f.appCertificate, "", "The app certificate, instead of the one in AGORA_APP_CERTIFICATE; @FILE reads it from a file. Other users of the machine can see arguments: give no real certificate")
	case "channel":
		text(&f.channel, "", "The channel name, at most 63 bytes")
	case "account":
		text(&f.account, "", "The user account or user ID")
	case "uid":
		text(&f.uid, "", "The numeric uid, 0 to 4294967295, instead of an account")
	case "room":
		text(&f.room, "", "The room")
	case "role":
		text(&f.role, "", "The role: publisher (the default) or subscriber; in a room, a number from -32768 to 32767")
	case "expire":
		text(&f.expire, "24h", "The token's lifetime: seconds or a duration, 1s to 24h")
	case "privilege-expire":
		text(&f.privilegeExpire, "", "The lifetime of its privileges, 0 to 24h; the token's by default")
	case "issued-at":
		text(&f.issuedAt, "", "The time of issue in Unix seconds, now by default")
	case "salt":
		text(&f.salt, "", "The salt, 0 to 4294967295, random by default")
	case "expires-at":
		text(&f.expiresAt, "", "When it ends, in Unix seconds; 24 hours from now by default")
	case "service":
		text(&f.service, "media", "The service: media, recording, public-sharing or, for dynamic-key-5, in-channel-permission")
	case "allow-upload":
		text(&f.allowUpload, "", "What in-channel-permission allows to upload: 0 for nothing, 3 for audio and video")
	}
}

func (k tokenKind) command() *cobra.Command {
	cmd := &cobra.Command{Use: k.name + " [flags]", Short: k.short, Args: noArguments}
	flags := k.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			flags.now, flags.stderr = time.Now(), cmd.ErrOrStderr()
			return k.run(flags, cmd.OutOrStdout())
		})(cmd, args)
	}
	return cmd
}

// flags defines the flags of the kind.
func (k tokenKind) flags(set *pflag.FlagSet) *tokenFlags {
	f := &tokenFlags{FlagSet: set}
	for _, name := range strings.Fields("app-id app-certificate " + k.takes + " " + k.ignores) {
		f.add(name)
	}
	for _, name := range strings.Fields(k.ignores) {
		f.Lookup(name).Hidden = true
	}
	return f
}

func (k tokenKind) run(f *tokenFlags, stdout io.Writer) (int, error) {
	keys, err := requireKeys(f.appID, f.appCertificate)
	if err != nil {
		return exitUnusable, err
	}
	for _, name := range strings.Fields(k.ignores) {
		if f.Changed(name) {
			f.warn("--%s is no part of this format (%s) and is ignored", name, k.name)
		}
	}
	s, err := k.mint(f, keys)
	if err != nil {
		return exitUnusable, err
	}
	if _, err := fmt.Fprintln(stdout, s); err != nil {
		return exitFailed, err
	}
	return exitDone, nil
}

// requireKeys reads app ID and certificate; both must be there.
func requireKeys(appIDFlag, appCertificateFlag string) (appKeys, error) {
	id, err := appIDFrom(appIDFlag)
	if err != nil {
		return appKeys{}, err
	}
	if !id.isSet() {
		return appKeys{}, fmt.Errorf("no app ID: set AGORA_APP_ID or --app-id")
	}
	certificate, err := appCertificateFrom(appCertificateFlag)
	if err != nil {
		return appKeys{}, err
	}
	if !certificate.isSet() {
		return appKeys{}, errNoCertificate
	}
	return appKeys{id.value, certificate.value}, nil
}

var errNoCertificate = fmt.Errorf("no app certificate: set AGORA_APP_CERTIFICATE, AGORA_APP_CERTIFICATE_FILE or --app-certificate @FILE")

func (f *tokenFlags) warn(format string, args ...any) { warnTo(f.stderr, format, args...) }

func warnTo(stderr io.Writer, format string, args ...any) {
	fmt.Fprintf(stderr, "warning: "+format+"\n", args...)
}

// number reads an unsigned flag, or returns a default if it is not given.
func (f *tokenFlags) number(name, value string, byDefault uint32) (uint32, error) {
	if !f.Changed(name) {
		return byDefault, nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("--%s must be a whole number from 0 to %d", name, uint32(math.MaxUint32))
	}
	return uint32(n), nil
}

// sign sets what reproducible output needs, warns of what is unusual, and signs.
func (f *tokenFlags) sign(t *token.Token, err error, appCertificate string) (string, error) {
	if err != nil {
		return "", err
	}
	if t.IssuedAt, err = f.number("issued-at", f.issuedAt, uint32(f.now.Unix())); err != nil {
		return "", err
	}
	if t.Salt, err = f.number("salt", f.salt, t.Salt); err != nil {
		return "", err
	}
	for _, w := range t.Warnings() {
		f.warn("%s", w)
	}
	return t.Sign(appCertificate)
}

// whose returns the account of --account or of --uid, one of which must be
// given, and whether it was --uid.
func (f *tokenFlags) whose() (account string, uid uint32, numeric bool, err error) {
	switch {
	case f.Changed("account") && f.Changed("uid"):
		return "", 0, false, fmt.Errorf("--account and --uid are both given: give one of them")
	case f.Changed("account"):
		return f.account, 0, false, nil
	case f.Changed("uid"):
		if uid, err = f.number("uid", f.uid, 0); err != nil {
			return "", 0, false, err
		}
		return strconv.FormatUint(uint64(uid), 10), uid, true, nil
	}
	return "", 0, false, fmt.Errorf("whose token? Give --account or --uid")
}

// rtcAccount is whose, with the uid 0 packed as the vendor's builders do.
func (f *tokenFlags) rtcAccount() (string, error) {
	account, uid, numeric, err := f.whose()
	if numeric {
		account = token.UidString(uid)
	}
	return account, err
}

func (f *tokenFlags) user() (string, error) {
	account, _, _, err := f.whose()
	return account, err
}

func (f *tokenFlags) requireChannel() error {
	if !f.Changed("channel") {
		return fmt.Errorf(`which channel? Give --channel ("*" for any)`)
	}
	return nil
}

// lifetimes returns those of the token and of its privileges.
func (f *tokenFlags) lifetimes() (expire, privilege uint32, err error) {
	if expire, err = expireSeconds(f.expire); err != nil {
		return 0, 0, err
	}
	switch {
	case f.Lookup("privilege-expire") == nil || !f.Changed("privilege-expire"):
		return expire, expire, nil
	case f.privilegeExpire == "0":
		return expire, 0, nil
	}
	if privilege, err = expireSeconds(f.privilegeExpire); err != nil {
		return 0, 0, fmt.Errorf("--privilege-expire must be whole seconds between 0 and 24h, such as 3600 or 1h")
	}
	return expire, privilege, nil
}
