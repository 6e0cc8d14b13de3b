package command

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-convoai/convoai/caddymodule/connect"
)

// trustFlags are the flags of trust.
type trustFlags struct {
	out     string
	bundle  bool
	config  string
	adapter string
}

// trustCommand returns `caddy convoai trust`.
func trustCommand() *cobra.Command {
	var flags trustFlags
	cmd := &cobra.Command{
		Use:   "trust [--bundle] [--out <file>] [--config <file> [--adapter <name>]]",
		Short: "Prints the CA that clients of run --intercept have to trust",
		Long: `
Prints the certificate of the CA with which a sidecar intercepts calls to ConvoAI
hosts, or writes it to a file, and says on standard error how curl, Python, Node,
Java and PHP come to trust it. Nothing is installed: the system's trust store stays
as it is, and a program trusts the CA only when it is told to.

The CA is the one in Caddy's storage of this user ($XDG_DATA_HOME/caddy, or where
the configuration of --config keeps it), made when the sidecar first started. It can
be for agora.io and sd-rtn.com alone.

--bundle adds the CAs that this system trusts (SSL_CERT_FILE, or the system's file),
for programs in which a file replaces all CAs.`,
		Args: noArguments,
		RunE: caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) {
			return flags.run(os.Stdout, os.Stderr)
		}),
	}
	f := cmd.Flags()
	f.StringVarP(&flags.out, "out", "o", "", "The file to write, instead of standard output")
	f.BoolVar(&flags.bundle, "bundle", false, "Add the CAs that this system trusts")
	f.StringVarP(&flags.config, "config", "c", "", "The configuration of the sidecar, where it has a storage of its own")
	f.StringVarP(&flags.adapter, "adapter", "a", "", "The adapter for --config, such as caddyfile")
	return cmd
}

func (f *trustFlags) run(stdout, stderr io.Writer) (int, error) {
	ca, err := f.certificate()
	if err != nil {
		return exitFailed, err
	}
	text := ca
	if f.bundle {
		system, err := systemBundle()
		if err != nil {
			return exitFailed, err
		}
		text = withCA(system, ca)
	}
	if f.out == "" {
		if _, err := stdout.Write(text); err != nil {
			return exitFailed, err
		}
		_, err = io.WriteString(stderr, trustText(ca, "FILE", f.bundle))
		return exitDone, err
	}
	file, err := filepath.Abs(f.out)
	if err != nil {
		return exitUnusable, err
	}
	// A certificate is no secret, and programs of other users may have to read it.
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return exitFailed, err
	}
	_, err = io.WriteString(stderr, trustText(ca, file, f.bundle))
	return exitDone, err
}

// certificate returns the CA's certificate in PEM.
func (f *trustFlags) certificate() ([]byte, error) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	storage, err := f.storage(ctx)
	if err != nil {
		return nil, err
	}
	ca, err := connect.KeptCertificate(ctx, storage)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no CA in %v: it is made when caddy convoai run --intercept, or a configuration with convoai_connect, first starts as this user (XDG_DATA_HOME, HOME or --config say where else to look)", storage)
	}
	return ca, err
}

// storage returns the storage of the configuration, or Caddy's own.
func (f *trustFlags) storage(ctx caddy.Context) (connect.Storage, error) {
	if f.config == "" {
		return caddy.DefaultStorage, nil
	}
	text, _, _, err := caddycmd.LoadConfig(f.config, f.adapter)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	config := new(storageConfig)
	if err := json.Unmarshal(text, config); err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if config.StorageRaw == nil {
		return caddy.DefaultStorage, nil
	}
	module, err := ctx.LoadModule(config, "StorageRaw")
	if err != nil {
		return nil, fmt.Errorf("--config: loading the storage: %w", err)
	}
	return module.(caddy.StorageConverter).CertMagicStorage()
}

// storageConfig is the part of a configuration that says where things are kept.
type storageConfig struct {
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=caddy.storage inline_key=module"`
}

// trustText says how programs come to trust the CA that was written to file; bundle
// says that the system's CAs are in there as well.
func trustText(ca []byte, file string, bundle bool) string {
	alone, among := shellWord(file), "BUNDLE"
	note := "BUNDLE is a file of --bundle: there it replaces all CAs that the program has."
	if bundle {
		alone, among = "CA", shellWord(file)
		note = "CA is a file without --bundle: there it is added to the CAs that the program has."
	}
	var b strings.Builder
	if block, _ := pem.Decode(ca); block != nil {
		fmt.Fprintf(&b, "SHA-256 of the CA: %X\n", sha256.Sum256(block.Bytes))
	}
	fmt.Fprintf(&b, `
The CA is in no trust store. Programs are told of it:

curl       export CURL_CA_BUNDLE=%[2]s
Go         export SSL_CERT_FILE=%[2]s
Python     export SSL_CERT_FILE=%[2]s REQUESTS_CA_BUNDLE=%[2]s
PHP        php -d curl.cainfo=%[2]s -d openssl.cafile=%[2]s ...
Node       export NODE_EXTRA_CA_CERTS=%[1]s NODE_USE_ENV_PROXY=1    (the proxy: Node 24, 22.21)
Java       cp "$JAVA_HOME/lib/security/cacerts" convoai.jks
           keytool -importcert -noprompt -alias convoai -file %[1]s -keystore convoai.jks -storepass changeit
           java -Djavax.net.ssl.trustStore=convoai.jks -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 ...

%[3]s
For all but Java: export HTTPS_PROXY=http://127.0.0.1:8080
`, alone, among, note)
	return b.String()
}

// shellWord returns s as one word of a shell.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
