package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A contender is one of what is compared.
type contender struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Base is the contender that its figures are divided by.
	Base string `json:"base,omitempty"`
	// TLS says that it calls the upstream over TLS.
	TLS bool `json:"tls,omitempty"`

	// site is its Caddyfile's site. Those without are no Caddy.
	site func(upstreams) string
	// bare requests lack the token in the body, to be filled in.
	bare bool
	// environment is added to that of its process.
	environment []string
}

// Names of contenders that are treated in their own ways.
const (
	direct = "direct"
	nginx  = "nginx"
	stock  = "stock"
)

// contenders are all there are, in the order of the tables. Each Caddy is a process
// of its own, of one binary.
var contenders = []contender{
	{Name: direct, Title: "direct, no proxy", Base: stock},
	{Name: nginx, Title: "nginx, fixed header", Base: stock},
	{Name: stock, Title: "stock Caddy, fixed header", Base: stock, site: stockSite("")},
	{Name: "stock-again", Title: "stock Caddy once more (noise)", Base: stock, site: stockSite("")},
	{Name: "stock-256", Title: "stock Caddy, 256 idle connections", Base: stock, site: stockSite(manyIdle)},
	{Name: "sidecar", Title: "sidecar", Base: stock, site: sidecarSite("")},
	{Name: "sidecar-app", Title: "sidecar, scope app", Base: stock, site: sidecarSite("scope app")},
	{Name: "sidecar-fill", Title: "sidecar, filling tokens in", Base: stock, site: sidecarSite(""), bare: true},
	{Name: "stock-tls1", Title: "stock Caddy, TLS, HTTP/1.1", Base: "stock-tls1", TLS: true, site: stockSiteTLS(upstreams.tls1)},
	{Name: "sidecar-tls1", Title: "sidecar, TLS, HTTP/1.1", Base: "stock-tls1", TLS: true, site: sidecarSiteTLS(upstreams.tls1)},
	{Name: "stock-tls2", Title: "stock Caddy, TLS, HTTP/2", Base: "stock-tls2", TLS: true, site: stockSiteTLS(upstreams.tls2)},
	{Name: "sidecar-tls2", Title: "sidecar, TLS, HTTP/2", Base: "stock-tls2", TLS: true, site: sidecarSiteTLS(upstreams.tls2)},
}

func (u upstreams) tls1() string { return u.TLS1 }
func (u upstreams) tls2() string { return u.TLS2 }

// manyIdle makes stock Caddy keep as many idle connections to the upstream as the
// sidecar does, instead of 32.
const manyIdle = "keepalive_idle_conns_per_host 256"

func stockSite(transport string) func(upstreams) string {
	return func(u upstreams) string { return reverseProxy(u.Plain, transport) }
}

func stockSiteTLS(address func(upstreams) string) func(upstreams) string {
	return func(u upstreams) string {
		return reverseProxy("https://"+address(u), manyIdle+"\n\t\t\ttls_trust_pool file "+u.Authority)
	}
}

func reverseProxy(to, transport string) string {
	if transport != "" {
		transport = "\n\t\ttransport http {\n\t\t\t" + transport + "\n\t\t}"
	}
	return fmt.Sprintf("reverse_proxy %s {\n\t\theader_up Authorization %q%s\n\t}", to, authorization, transport)
}

func sidecarSite(option string) func(upstreams) string {
	return func(u upstreams) string { return sidecarDirective("http://"+u.Plain, option) }
}

func sidecarSiteTLS(address func(upstreams) string) func(upstreams) string {
	return func(u upstreams) string {
		return sidecarDirective("https://"+address(u), "transport http {\n\t\t\ttls_trust_pool file "+u.Authority+"\n\t\t}")
	}
}

func sidecarDirective(to, option string) string {
	return fmt.Sprintf(`convoai {
		app_id          {env.AGORA_APP_ID}
		app_certificate {env.AGORA_APP_CERTIFICATE}
		upstream        %s
		%s
	}`, to, option)
}

// request is what the contender is sent.
func (c contender) request(body int) []byte {
	token := "given"
	if c.bare {
		token = ""
	}
	return joinRequest(appID, "room-1", body, token, c.Name == direct)
}

// A target is a contender that runs.
type target struct {
	contender
	address string
	process *process // nil: requests go to the upstream
}

func (t *target) usage() (usage, error) {
	if t.process == nil {
		return usage{}, nil
	}
	return usageOf(t.process.cmd.Process.Pid)
}

func (t *target) stop() {
	if t.process != nil {
		t.process.stop()
	}
}

// A stage is where contenders run.
type stage struct {
	dir       string // for their files
	caddy     string // the binary
	upstreams upstreams
}

// start starts a contender and waits until it answers a request.
func (s *stage) start(ctx context.Context, c contender, request []byte) (*target, error) {
	t := &target{contender: c, address: s.upstreams.Plain}
	if c.Name == direct {
		return t, ask(t.address, request)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	t.address = address
	cmd, err := s.command(c, address)
	if err != nil {
		return nil, err
	}
	if t.process, err = startProcess(cmd); err != nil {
		return nil, err
	}
	if err := t.process.answers(ctx, address, request); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// command is the contender's, listening on an address.
func (s *stage) command(c contender, address string) (*exec.Cmd, error) {
	home := filepath.Join(s.dir, c.Name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	if c.Name == nginx {
		return nginxCommand(home, address, s.upstreams.Plain)
	}
	config := filepath.Join(home, "Caddyfile")
	if err := os.WriteFile(config, []byte(caddyfile(address, c.site(s.upstreams))), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(s.caddy, "run", "--config", config)
	cmd.Env = append([]string{"HOME=" + home, "AGORA_APP_ID=" + appID, "AGORA_APP_CERTIFICATE=" + appCertificate}, c.environment...)
	return cmd, nil
}

func caddyfile(address, site string) string {
	host, port, _ := strings.Cut(address, ":")
	return fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\nhttp://:%s {\n\tbind %s\n\t%s\n}\n", port, host, site)
}
