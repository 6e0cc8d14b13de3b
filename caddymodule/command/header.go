package command

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/token"
)

// The channel and account of a header that is about no channel, as the vendor's
// own client signs /leave. Source: StopAgent in agora-agents-go.
const (
	stopChannel = "stop"
	stopAccount = "0"
)

// headerFlags are the flags of header.
type headerFlags struct {
	appID   string
	channel string
	account string
	expire  string
}

// headerCommand returns `caddy convoai header`.
func headerCommand() *cobra.Command {
	var flags headerFlags
	cmd := &cobra.Command{
		Use:   "header [--channel <name>] [--account <account>] [--app-id <id>] [--expire <duration>]",
		Short: "Prints an Authorization header for a ConvoAI call",
		Long: `
Prints the header that authorises a call, for use without a sidecar:

	$ curl -H "$(caddy convoai header)" https://api.agora.io/api/conversational-ai-agent/v2/projects/$AGORA_APP_ID/agents

The credentials come from the environment as those of run do, and decide in the
same way what the header is: Basic, a pre-built token, or a token minted for a
channel and an account. The default channel and account, stop and 0, are those
with which the vendor's own client signs calls that are about no channel.

Nothing but the header goes to standard output. It is a secret for as long as it
is valid.`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVar(&flags.channel, "channel", stopChannel, "The channel that a minted token is for, 1 to 63 bytes")
	f.StringVar(&flags.account, "account", stopAccount, "The account (agent uid) that a minted token is for, 1 to 255 bytes")
	f.StringVar(&flags.appID, "app-id", "", "The app ID, instead of the one in AGORA_APP_ID")
	f.StringVar(&flags.expire, "expire", "24h", "The lifetime of a minted token: seconds or a duration, 1s to 24h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(cmd.OutOrStdout(), time.Now())
		})(cmd, args)
	}
	return cmd
}

func (f *headerFlags) run(stdout io.Writer, now time.Time) (int, error) {
	value, status, err := f.header(now)
	if err != nil {
		return status, err
	}
	if _, err := fmt.Fprintf(stdout, "Authorization: %s\n", value); err != nil {
		return exitFailed, err
	}
	return exitDone, nil
}

// header returns the value of the header, or an exit status and an error.
func (f *headerFlags) header(now time.Time) (string, int, error) {
	credentials, err := lookUpAppCredentials(f.appID)
	if err != nil {
		return "", exitUnusable, err
	}
	mode, err := credentials.mode()
	if err != nil {
		return "", exitUnusable, err
	}
	switch mode {
	case modeBasic:
		pair := credentials.customerID.value + ":" + credentials.customerSecret.value
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)), exitDone, nil
	case modeToken:
		t, err := credentials.parseAuthToken()
		if err != nil {
			return "", exitUnusable, err
		}
		if !now.Before(t.ExpiresAt()) {
			return "", exitFailed, fmt.Errorf("the token in %s has expired", credentials.authToken.from)
		}
		return "agora token=" + bareToken(credentials.authToken.value), exitDone, nil
	}
	signed, err := f.mint(credentials, now)
	if err != nil {
		return "", exitUnusable, err
	}
	return "agora token=" + signed, exitDone, nil
}

func (f *headerFlags) mint(credentials appCredentials, now time.Time) (string, error) {
	if !credentials.appID.isSet() {
		return "", errors.New("no app ID: set AGORA_APP_ID or --app-id")
	}
	expire, err := expireSeconds(f.expire)
	if err != nil {
		return "", err
	}
	t, err := token.NewConvoAI(credentials.appID.value, f.channel, f.account, expire, 0)
	if err != nil {
		return "", err
	}
	t.IssuedAt = uint32(now.Unix())
	return t.Sign(credentials.appCertificate.value)
}

// expireSeconds reads a token's lifetime: a number of seconds or a duration.
func expireSeconds(s string) (uint32, error) { return lifetime("--expire", s) }

// lifetime is expireSeconds for any flag or variable.
func lifetime(from, s string) (uint32, error) {
	d, err := time.ParseDuration(s)
	if seconds, numErr := strconv.ParseUint(s, 10, 32); numErr == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d < time.Second || d > token.MaxExpire*time.Second || d%time.Second != 0 {
		return 0, errors.New(from + " must be whole seconds between 1s and 24h, such as 3600 or 1h")
	}
	return uint32(d / time.Second), nil
}
