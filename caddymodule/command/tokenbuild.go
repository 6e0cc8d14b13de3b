//lint:file-ignore SA1019 The older token formats are deprecated, and can be minted and inspected all the same.

package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// tokenBuildFlags are the flags of token build.
type tokenBuildFlags struct {
	spec           string
	appCertificate string
}

// tokenBuildCommand returns `caddy convoai token build`.
func tokenBuildCommand() *cobra.Command {
	var flags tokenBuildFlags
	cmd := &cobra.Command{
		Use:   "build --spec <file>|- [--app-certificate <certificate>|@<file>]",
		Short: "Builds a token from what inspect --json shows",
		Long: `
Builds the token that a spec in JSON describes. The form is that of inspect
--json, so a token can be taken apart, changed and put together again:

	$ caddy convoai inspect --json "$TOKEN" | jq '.expire = 600' | caddy convoai token build --spec -

The app certificate comes from --app-certificate, from "app_certificate" in the
spec, or from the environment. A 006 token also needs its "channel" and "uid".
What the vendor documents as out of range is a warning here.`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVar(&flags.spec, "spec", "", "The file with the spec, - for standard input")
	f.StringVar(&flags.appCertificate, "app-certificate", "", "The app certificate; @FILE reads it from a file. Other users of the machine can see arguments: give no real certificate")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		})(cmd, args)
	}
	return cmd
}

func (f *tokenBuildFlags) run(stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	data, err := f.read(stdin)
	if err != nil {
		return exitUnusable, err
	}
	s, err := f.build(data, stderr)
	if err != nil {
		return exitUnusable, err
	}
	if _, err := fmt.Fprintln(stdout, s); err != nil {
		return exitFailed, err
	}
	return exitDone, nil
}

// read returns the spec. What is too large is cut behind the limit, so that
// the reader of the spec refuses it.
func (f *tokenBuildFlags) read(stdin io.Reader) ([]byte, error) {
	source := stdin
	switch f.spec {
	case "":
		return nil, fmt.Errorf("which spec? Give --spec FILE, or - for standard input")
	case "-":
	default:
		file, err := os.Open(f.spec)
		if err != nil {
			return nil, fmt.Errorf("--spec: %w", err)
		}
		defer file.Close()
		source = file
	}
	data, err := io.ReadAll(io.LimitReader(source, token.MaxSpec+1))
	if err != nil {
		return nil, fmt.Errorf("--spec: %w", err)
	}
	return data, nil
}

func (f *tokenBuildFlags) build(data []byte, stderr io.Writer) (string, error) {
	// Errors of form are left to the readers of the specs.
	var peek struct {
		Version any `json:"version"`
	}
	json.Unmarshal(data, &peek)
	if peek.Version == "006" {
		spec, err := legacy.ReadSpec(bytes.NewReader(data))
		if err != nil {
			return "", err
		}
		certificate, err := f.certificate(spec.AppCertificate)
		if err != nil {
			return "", err
		}
		return spec.Token.Sign(certificate)
	}
	spec, err := token.ReadSpec(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	certificate, err := f.certificate(spec.AppCertificate)
	if err != nil {
		return "", err
	}
	for _, w := range spec.Token.Warnings() {
		warnTo(stderr, "%s", w)
	}
	return spec.Token.Sign(certificate)
}

// certificate returns that of the flag, of the spec, or of the environment.
func (f *tokenBuildFlags) certificate(ofSpec string) (string, error) {
	if f.appCertificate == "" && ofSpec != "" {
		return ofSpec, nil
	}
	certificate, err := appCertificateFrom(f.appCertificate)
	if err != nil {
		return "", err
	}
	if !certificate.isSet() {
		return "", fmt.Errorf(`no app certificate: add "app_certificate" to the spec, or set AGORA_APP_CERTIFICATE`)
	}
	return certificate.value, nil
}
