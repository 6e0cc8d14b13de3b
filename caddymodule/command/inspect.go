//lint:file-ignore SA1019 The older token formats are deprecated, and can be minted and inspected all the same.

package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// inspectFlags are the flags of inspect.
type inspectFlags struct {
	*pflag.FlagSet
	json           bool
	appCertificate string

	// What the older formats leave out of the token string.
	channel, account, uid, service string
}

// inspectCommand returns `caddy convoai inspect`.
func inspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect [--json] [--app-certificate <certificate>|@<file>] <token>|-",
		Short: "Decodes and explains an Agora token",
		Long: `
Says which kind of token it is, whose, for what and until when, and whether a
Conversational AI call signed with it would be accepted now. "agora token=" in
front, quotes around it, or a whole Authorization header make no difference; -
reads it from standard input.

With the app certificate, from --app-certificate or AGORA_APP_CERTIFICATE, it
checks the signature as well. If AGORA_APP_ID names another app than the token
does, the certificate of the environment is not used.

Older formats leave out of the token what they sign. To check their signature,
give that too: --channel, --account or --uid, and for dynamic-key-4 --service.

--json prints the form that token build --spec reads.

Exit status: 0 the token is sound, as far as it could be checked; 1 it is no
token, damaged, not valid at this time, or has a wrong signature; 2 the
arguments cannot be used.`,
		Args: oneToken,
	}
	f := &inspectFlags{FlagSet: cmd.Flags()}
	f.BoolVar(&f.json, "json", false, "Print JSON, as token build --spec reads it")
	f.StringVar(&f.appCertificate, "app-certificate", "", "The app certificate, instead of the one in AGORA_APP_CERTIFICATE; @FILE reads it from a file. Other users of the machine can see arguments: give no real certificate")
	f.StringVar(&f.channel, "channel", "", "The channel of a token of an older format")
	f.StringVar(&f.account, "account", "", "The account of a token of an older format")
	f.StringVar(&f.uid, "uid", "", "The numeric uid of a token of an older format")
	f.StringVar(&f.service, "service", "media", "The service of a dynamic-key-4: media, recording or public-sharing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		status, err := f.run(args[0], cmd.InOrStdin(), cmd.OutOrStdout(), time.Now())
		if err == nil && status == exitFailed {
			// The verdict has been printed; Caddy ends with 1 for any error.
			cmd.SilenceErrors = true
			return errors.New("the token is not valid")
		}
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return status, err })(cmd, args)
	}
	return cmd
}

// oneToken is [cobra.ExactArgs] without repeating arguments, which are tokens.
func oneToken(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("which token? Give exactly one, or - for standard input")
	}
	return nil
}

// maxInspect bounds what is read from standard input; no token is that long.
const maxInspect = 1 << 20

func (f *inspectFlags) run(arg string, stdin io.Reader, stdout io.Writer, now time.Time) (int, error) {
	text := arg
	if arg == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, maxInspect))
		if err != nil {
			return exitUnusable, fmt.Errorf("reading standard input: %w", err)
		}
		text = string(data)
	}
	in, err := f.inspect(tokenIn(text), now)
	if err != nil {
		return exitUnusable, err
	}
	if f.json && in.spec != nil {
		// Not json.Marshal, which would write & and < as escapes.
		data, err := in.spec.MarshalJSON()
		if err != nil {
			return exitFailed, err
		}
		if _, err := fmt.Fprintf(stdout, "%s\n", data); err != nil {
			return exitFailed, err
		}
		return in.status, nil
	}
	if f.json {
		return exitFailed, errors.New(in.verdict)
	}
	if err := in.print(stdout, now, coloured(stdout)); err != nil {
		return exitFailed, err
	}
	return in.status, nil
}

// tokenIn takes a token out of a header or an environment file's line.
func tokenIn(text string) string {
	text = strings.TrimSpace(text)
	const header = "authorization:"
	if len(text) >= len(header) && strings.EqualFold(text[:len(header)], header) {
		text = strings.TrimSpace(text[len(header):])
	}
	return strings.Trim(bareToken(text), `"'`)
}

// coloured reports whether w is a terminal that wants colours.
func coloured(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(file.Fd()))
}

// An inspection is what is to be said of a token.
type inspection struct {
	verdict string // one line
	status  int
	// soft: sound, but not of use for a Conversational AI call.
	soft bool

	spec json.Marshaler // nil if it is no token

	unchecked, reason string // why the signature was not checked, or is wrong

	facts    [][2]string
	services []serviceLines
	warnings []string
}

// inspect returns an error only if the arguments cannot be used.
func (f *inspectFlags) inspect(s string, now time.Time) (*inspection, error) {
	t, err := token.Parse(s)
	if err == nil {
		return f.current(t, now)
	}
	if old, oldErr := legacy.Parse(s); oldErr == nil {
		return f.older(old, now)
	} else if !errors.Is(err, token.ErrCorrupt) {
		err = oldErr
	}
	return &inspection{verdict: notReadable(s, err), status: exitFailed}, nil
}

// notReadable says what a string is that is no sound token.
func notReadable(s string, err error) string {
	switch {
	case s == "":
		return "not an Agora token: it is empty"
	case errors.Is(err, token.ErrCorrupt):
		return fmt.Sprintf("damaged %s token: %s", s[:3], strings.TrimPrefix(err.Error(), token.ErrCorrupt.Error()+": "))
	case errors.Is(err, token.ErrUnsupportedVersion):
		return fmt.Sprintf("an Agora token, perhaps, of a version that is not known: %q", s[:3])
	case strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2:
		return "not an Agora token: it looks like a JWT"
	}
	return "not an Agora token: it starts like none, and has not the form of one without a version"
}

// certificateFor returns the certificate to check a token of an app with, ""
// if there is none, and why.
func (f *inspectFlags) certificateFor(appID string) (certificate, why string, err error) {
	c, err := appCertificateFrom(f.appCertificate)
	if err != nil {
		return "", "", err
	}
	if !c.isSet() {
		return "", "no app certificate was given", nil
	}
	if f.appCertificate == "" {
		id, err := appIDFrom("")
		if err != nil {
			return "", "", err
		}
		// Case does not count: a DynamicKey 5 does not keep it.
		if id.isSet() && !strings.EqualFold(id.value, appID) {
			return "", fmt.Sprintf("the app certificate in %s is that of another app", c.from), nil
		}
	}
	return c.value, "", nil
}

// current inspects an AccessToken2.
func (f *inspectFlags) current(t *token.Token, now time.Time) (*inspection, error) {
	in := &inspection{}
	signature, err := f.signature(in, t.AppID, t.Verify)
	if err != nil {
		return nil, err
	}
	in.spec = token.Spec{Token: t, Signature: signature}
	in.fact("Format", "AccessToken2 (007)")
	in.fact("App ID", t.AppID)
	in.fact("Issued", moment(t.After(0), now))
	in.fact("Expires", fmt.Sprintf("%s, lifetime %s", moment(t.ExpiresAt(), now), length(t.Expire)))
	in.signatureFact(signature)
	in.fact("Salt", strconv.FormatUint(uint64(t.Salt), 10))
	in.describe(t, now)
	in.warnings = append(in.warnings, convoAIWarnings(t)...)
	in.warnings = append(in.warnings, t.Warnings()...)
	in.judge(t, signature, now)
	return in, nil
}

// judge writes the verdict: would a Conversational AI call be accepted now?
func (in *inspection) judge(t *token.Token, signature token.SignatureStatus, now time.Time) {
	const head = "AccessToken2 (007): "
	timeErr := t.CheckTime(now)
	switch {
	case signature == token.SignatureInvalid:
		in.status, in.verdict = exitFailed, head+"wrong signature: not made with this app certificate, or changed since"
	case errors.Is(timeErr, token.ErrExpired):
		in.status, in.verdict = exitFailed, head+"expired "+distance(t.ExpiresAt(), now)
	case errors.Is(timeErr, token.ErrNotYetValid):
		in.status, in.verdict = exitFailed, head+"not yet valid: it was issued "+distance(t.After(0), now)+"; is a clock wrong?"
	case errors.Is(t.CheckConvoAI(now), token.ErrNoRTC):
		in.soft, in.verdict = true, head+"valid until "+clock(t.ExpiresAt())+", but not accepted for ConvoAI: it has no RTC service"
	default:
		in.verdict = head + "would be accepted for ConvoAI until " + clock(t.ExpiresAt())
	}
	if in.status == exitDone && signature == token.SignatureUnchecked {
		in.verdict += " (signature not checked)"
	}
}

// convoAIWarnings are those that concern Conversational AI alone.
func convoAIWarnings(t *token.Token) (w []string) {
	rtc, hasRTC := t.Service(token.ServiceRTC)
	if !hasRTC {
		return nil
	}
	rtm, hasRTM := t.Service(token.ServiceRTM)
	switch {
	case !hasRTM:
		w = append(w, "no RTM service: the vendor's documents ask for RTC alone, its SDKs always add RTM, and agents with enable_rtm need it")
	case rtm.Account != rtc.Account:
		w = append(w, fmt.Sprintf("RTC is for account %q and RTM for %q; the vendor's SDKs use one for both", rtc.Account, rtm.Account))
	}
	return w
}

// signature checks the signature if there is a certificate, and notes why not.
func (f *inspectFlags) signature(in *inspection, appID string, verify func(string) error) (token.SignatureStatus, error) {
	certificate, why, err := f.certificateFor(appID)
	if err != nil {
		return "", err
	}
	if certificate == "" {
		in.unchecked = why
		return token.SignatureUnchecked, nil
	}
	if err := verify(certificate); err != nil {
		in.reason = err.Error()
		return token.SignatureInvalid, nil
	}
	return token.SignatureValid, nil
}

// elsewise adds what else may be wrong with the signature of an older format.
func (in *inspection) elsewise() string {
	if in.reason == token.ErrSignature.Error() {
		return ""
	}
	return ", or: " + strings.TrimPrefix(in.reason, token.ErrSignature.Error()+": ")
}

func (in *inspection) fact(name, value string) { in.facts = append(in.facts, [2]string{name, value}) }

func (in *inspection) signatureFact(status token.SignatureStatus) {
	switch status {
	case token.SignatureValid:
		in.fact("Signature", "valid")
	case token.SignatureInvalid:
		in.fact("Signature", "WRONG: not made with this app certificate"+in.elsewise())
	default:
		in.fact("Signature", "not checked: "+in.unchecked)
	}
}
