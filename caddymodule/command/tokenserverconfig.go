package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/logging"

	"github.com/caddy-convoai/convoai/caddymodule/tokenserver"
)

// A tokenServer is what its Caddy configuration is made of when there is no
// configuration file.
type tokenServer struct {
	server
	// handler holds secrets as placeholders only, and one rule or none.
	handler  tokenserver.Handler
	allowAll bool

	// allowHost are Hosts that callers may use beside those of this host.
	allowHost []string
	// appID is the end of the app's ID, for people to recognise it.
	appID string
	// sources are the flags or variables that lists of the handler come from, by
	// their names in its errors.
	sources map[string]string
}

// from returns the values of a list, and notes where they come from.
func (s *tokenServer) from(name string, list listSetting) []string {
	if s.sources == nil {
		s.sources = make(map[string]string)
	}
	s.sources[name] = list.from
	return list.values
}

// ruleName is what the log calls the rule of the flags.
const ruleName = "flags"

// config returns the Caddy configuration of s.
func (s *tokenServer) config() *caddy.Config {
	routes := caddyhttp.RouteList{{HandlersRaw: s.handlers()}}
	if s.checksHost() {
		matcher := caddy.ModuleMap{"host": caddyconfig.JSON(s.hosts(), nil)}
		routes[0].MatcherSetsRaw = caddyhttp.RawMatcherSets{matcher}
		routes[0].Terminal = true
		routes = append(routes, caddyhttp.Route{HandlersRaw: []json.RawMessage{
			refuse(http.StatusForbidden, "HostNotAllowed", "the Host header must be localhost, a loopback address, or one that --allow-host names"),
		}})
	}
	return s.configOf(routes)
}

func (s *tokenServer) handlers() []json.RawMessage {
	list := []json.RawMessage{
		caddyconfig.JSONModuleObject(&s.handler, "handler", "convoai_token_server", nil),
		refuse(http.StatusNotFound, "NotFound", "there is no such path here"),
	}
	if s.accessLog {
		field := logging.LogAppend{Key: "convoai_error", Value: "{http.convoai.error.reason}"}
		list = append([]json.RawMessage{caddyconfig.JSONModuleObject(field, "handler", "log_append", nil)}, list...)
	}
	return list
}

// checksHost reports whether requests are answered alone that call the server by a
// name that it is known to have. On loopback addresses alone it is one of this host,
// and any other name may be that of a web page, which leads it here to ask for what
// any caller is granted (DNS rebinding). Pages do not come through Unix sockets.
func (s *tokenServer) checksHost() bool {
	isUnix := func(address string) bool {
		a, err := parseListen(address)
		return err == nil && a.IsUnixNetwork()
	}
	elsewhere := func(address string) bool { return !onlyLoopback(address) }
	local := !slices.ContainsFunc(s.listen, elsewhere) && slices.ContainsFunc(s.listen, func(a string) bool { return !isUnix(a) })
	return s.allowAll || len(s.allowHost) > 0 || local
}

// hosts are the names that the server has.
func (s *tokenServer) hosts() []string {
	list := append([]string{"localhost", "127.0.0.1", "::1"}, s.allowHost...)
	for _, address := range s.listen {
		a, err := parseListen(address)
		if err != nil {
			continue // it would not have come this far
		}
		if ip, err := netip.ParseAddr(a.Host); err == nil && !slices.Contains(list, ip.String()) {
			list = append(list, ip.String())
		}
	}
	return list
}

// refuse returns a handler that answers with an error of the form that all of
// ours have.
func refuse(status int, reason, detail string) json.RawMessage {
	body := caddyconfig.JSON(map[string]string{"reason": reason, "detail": detail}, nil)
	return caddyconfig.JSONModuleObject(caddyhttp.StaticResponse{
		StatusCode: caddyhttp.WeakString(strconv.Itoa(status)),
		Headers:    http.Header{"Content-Type": {"application/json"}, "X-Convoai-Error": {reason}, "Cache-Control": {"no-store"}},
		Body:       string(body),
	}, "handler", "static_response", nil)
}

// start runs s in this process. It returns the exit status of what went wrong.
func (s *tokenServer) start() (int, error) {
	status, err := s.server.start(s.config(), "http.handlers.convoai_token_server")
	if status == exitUnusable {
		err = s.aboutFlags(err)
	}
	return status, err
}

// aboutFlags has an error of the handler name the flag that it is about.
func (s *tokenServer) aboutFlags(err error) error {
	problem := strings.TrimPrefix(err.Error(), "allow 1: ")
	for name, from := range s.sources {
		if strings.HasPrefix(problem, name) {
			return errors.New(from + ": " + problem)
		}
	}
	return errors.New(problem)
}

// announce tells people what has been started, and what it grants.
func (s *tokenServer) announce(w io.Writer) {
	speaks := "POST /token"
	if len(s.handler.Dialects) > 0 {
		speaks += " and as " + strings.Join(s.handler.Dialects, ", ")
	}
	fmt.Fprintf(w, "convoai: token server listening on %s; %s; app ID ending in %s; %s\n", strings.Join(s.urls(), " "), speaks, s.appID, s.adminText())
	if len(s.handler.Allow) == 0 {
		io.WriteString(w, "convoai: nothing is granted, every request is refused: say what to grant with --allow-channels and --allow-accounts (see caddy convoai token-server --help)\n")
		return
	}
	rule := s.handler.Allow[0]
	fmt.Fprintf(w, "convoai: any caller gets tokens of the kinds %s for the channels %s and the accounts %s, as %s, for at most %s\n",
		listOr(rule.Kinds, defaultKind), listOr(rule.Channels, "(none)"), listOr(rule.Accounts, "(none)"), listOr(rule.Roles, defaultRole), maxExpire(rule))
	for _, missing := range missingFlags(rule) {
		fmt.Fprintf(w, "convoai: %s\n", missing)
	}
	for _, address := range s.listen {
		if !onlyLoopback(address) {
			fmt.Fprintf(w, "convoai: %s can be reached from other hosts: whoever reaches it gets these tokens. A configuration file can ask who they are: see the directive convoai_token_server\n", address)
		}
	}
}

// Defaults of a rule, which the directive documents.
const (
	defaultKind      = "rtc"
	defaultRole      = "subscriber"
	defaultMaxExpire = time.Hour
)

func listOr(list []string, otherwise string) string {
	if len(list) == 0 {
		return otherwise
	}
	return strings.Join(list, ", ")
}

// maxExpire is the longest lifetime that a rule grants, as people write it.
func maxExpire(rule tokenserver.Rule) string {
	limit := time.Duration(rule.MaxExpire)
	if limit == 0 {
		limit = defaultMaxExpire
	}
	switch {
	case limit%time.Hour == 0:
		return fmt.Sprintf("%dh", limit/time.Hour)
	case limit%time.Minute == 0:
		return fmt.Sprintf("%dm", limit/time.Minute)
	}
	return fmt.Sprintf("%ds", limit/time.Second)
}

// missingFlags says which flags a rule lacks to grant what it has in its kinds.
func missingFlags(rule tokenserver.Rule) (list []string) {
	kinds := rule.Kinds
	if len(kinds) == 0 {
		kinds = []string{defaultKind}
	}
	for _, part := range []struct {
		patterns   []string
		flag, what string
		kinds      []string // that carry it
	}{
		{rule.Channels, "--allow-channels", "a channel", []string{"rtc", "convoai", "education-room-user", "rtc-006"}},
		{rule.Accounts, "--allow-accounts", "an account", []string{"rtc", "rtm", "convoai", "chat-user", "education-room-user", "education-user", "rtc-006", "rtm-006"}},
	} {
		for _, kind := range kinds {
			if len(part.patterns) == 0 && slices.Contains(part.kinds, kind) {
				list = append(list, fmt.Sprintf("no %s token is granted without %s, for it carries %s", kind, part.flag, part.what))
			}
		}
	}
	return list
}
