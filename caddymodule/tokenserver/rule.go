package tokenserver

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/token"
)

// Rule says who may have which tokens. A rule grants a token if every line of it
// does; what no rule grants is refused.
//
// Kinds are matched by their names, as they are asked for: a rule for rtc does not
// grant a token that has RTM in it as well, and one for rtc and rtm does not grant
// convoai, although that is a token for both.
type Rule struct {
	// Name is what the rule is called in the log. Default: its number.
	Name string `json:"name,omitempty"`

	// Identity is the placeholder that says who is asking; where it is empty,
	// nobody is signed in. It must be one whose value the caller cannot choose:
	// {http.auth.user.*}, which Caddy's authentication sets;
	// {http.request.tls.client.*}, which counts where the client's certificate was
	// verified against a CA; or {http.request.header.*}, if the configuration
	// removes the caller's own copy of the header from every request that can get
	// here, as forward_auth's copy_headers does. Default: {http.auth.user.id}.
	Identity string `json:"identity,omitempty"`

	// Users are patterns of which callers the rule is for. Default: any caller,
	// signed in or not.
	Users []string `json:"users,omitempty"`

	// Kinds are what a token may be of: rtc, rtm, convoai, chat-user, chat-app,
	// education-room-user, education-user, education-app, fpa, rtc-006, rtm-006. A
	// rule that has several grants each of them, and one token for all of them.
	//
	// More than rtc is to be named with care. The gateway of the REST API accepts
	// tokens with RTC of the project, and asks for RTM beside it for agents that
	// use it: who has RTC and RTM in one token (rtc with rtm, or convoai) can call
	// the API as the sidecar does. A token for the app (chat-app, education-app) is
	// an administrator's. Two rules, one for rtc and one for rtm, grant both in
	// tokens of their own. Default: rtc.
	Kinds []string `json:"kinds,omitempty"`

	// Channels are patterns of channels. In a pattern "*" matches any text, and
	// {user} the caller, taken literally; it matches nothing where nobody is signed
	// in. Default: none, so that nothing is granted that carries a channel.
	Channels []string `json:"channels,omitempty"`

	// Accounts are patterns of accounts, like those of Channels; a numeric uid is
	// matched by its decimal form. Default: none, so that nothing is granted that
	// carries an account.
	Accounts []string `json:"accounts,omitempty"`

	// Wildcards grants channels and accounts that stand for many: those that are
	// blank or have "*" in them, and the uid 0. A pattern must match all that they
	// stand for, and one with {user} in it matches none of them. Default: off.
	Wildcards bool `json:"wildcards,omitempty"`

	// Roles are publisher and subscriber. A kind without a role needs none; convoai
	// is always a publisher's. Default: subscriber.
	Roles []string `json:"roles,omitempty"`

	// MaxExpire is the longest lifetime of a token and of the privileges in it, 1s
	// to 24h; a longer wish is shortened to it. Default: 1h.
	MaxExpire caddy.Duration `json:"max_expire,omitempty"`
}

const (
	defaultMaxExpire = time.Hour
	maxMaxExpire     = token.MaxExpire * time.Second

	// defaultExpire is the lifetime of a token for which none is asked, in seconds,
	// where the rule does not have less.
	defaultExpire = 3600
)

// rule is a Rule that is ready to be asked.
type rule struct {
	name      string
	identity  int      // index into the handler's identities
	users     patterns // nil: any caller
	kinds     kindSet
	channels  patterns
	accounts  patterns
	wildcards bool
	roles     [numRoles]bool
	maxExpire uint32 // seconds
}

var (
	errKinds     = errors.New("kinds must be of " + kindNames)
	errRoles     = errors.New("roles must be publisher, subscriber or both")
	errMaxExpire = errors.New("max_expire must be a duration between 1s and 24h")
	errUsersUser = errors.New("users: {user} is what the line is about, and has no meaning in it")
)

// compile reads a rule; number is its place, from 1 on. The identity is the
// handler's to read.
func (r *Rule) compile(number int) (*rule, error) {
	compiled := &rule{name: r.Name, wildcards: r.Wildcards, kinds: setOf(kindRTC)}
	if compiled.name == "" {
		compiled.name = strconv.Itoa(number)
	}
	var err error
	if compiled.users, err = parseUsers(r.Users); err != nil {
		return nil, err
	}
	if len(r.Kinds) > 0 {
		if compiled.kinds, err = parseKinds(r.Kinds); err != nil {
			return nil, err
		}
	}
	if compiled.channels, err = parsePatterns(r.Channels); err != nil {
		return nil, fmt.Errorf("channels: %w", err)
	}
	if compiled.accounts, err = parsePatterns(r.Accounts); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	if compiled.roles, err = parseRoles(r.Roles); err != nil {
		return nil, err
	}
	compiled.maxExpire, err = parseMaxExpire(r.MaxExpire)
	return compiled, err
}

func parseUsers(sources []string) (patterns, error) {
	if len(sources) == 0 {
		return nil, nil
	}
	list, err := parsePatterns(sources)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	for _, p := range list {
		if p.user {
			return nil, errUsersUser
		}
	}
	return list, nil
}

func parseKinds(names []string) (set kindSet, err error) {
	for _, name := range names {
		k, ok := parseKind(name)
		if !ok {
			return 0, errKinds
		}
		set |= setOf(k)
	}
	return set, nil
}

func parseRoles(names []string) (set [numRoles]bool, err error) {
	if len(names) == 0 {
		set[roleSubscriber] = true
	}
	for _, name := range names {
		r, ok := parseRole(name)
		if !ok {
			return set, errRoles
		}
		set[r] = true
	}
	return set, nil
}

func parseMaxExpire(d caddy.Duration) (seconds uint32, err error) {
	limit := time.Duration(d)
	if limit == 0 {
		limit = defaultMaxExpire
	}
	if limit < time.Second || limit > maxMaxExpire {
		return 0, errMaxExpire
	}
	return uint32(limit / time.Second), nil
}

// lines are lines of a rule that do not grant a wish.
type lines uint8

const (
	lineUsers lines = 1 << iota
	lineKinds
	lineChannels
	lineAccounts
	lineWildcards
	lineRoles
)

var lineNames = []string{"users", "kinds", "channels", "accounts", "wildcards", "roles"}

func (l lines) names() []string {
	var list []string
	for i, name := range lineNames {
		if l&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// against returns the lines that do not grant w to a caller; user is "" where
// nobody is signed in.
func (r *rule) against(w *wish, user string) (missing lines) {
	if r.users != nil && (user == "" || !r.users.match(user, "")) {
		missing |= lineUsers
	}
	if !r.kinds.includes(setOf(w.kinds...)) {
		missing |= lineKinds
	}
	if needed, ok := w.neededRole(); ok && !r.roles[needed] {
		missing |= lineRoles
	}
	if w.carriesChannel() {
		missing |= r.names(w.channel, w.channel.wildcardChannel(), r.channels, user, lineChannels)
	}
	for _, k := range w.kinds {
		if k.info().maxAccount > 0 {
			account := w.accountOf(k)
			missing |= r.names(account, account.wildcardAccount(), r.accounts, user, lineAccounts)
		}
	}
	return missing
}

// names decides about a channel or an account; line is what its patterns are called.
func (r *rule) names(n name, wildcard bool, allowed patterns, user string, line lines) (missing lines) {
	if !wildcard {
		if !allowed.match(n.readable(), user) {
			missing |= line
		}
		return missing
	}
	if !r.wildcards {
		missing |= lineWildcards
	}
	if !allowed.matchWildcard(n) {
		missing |= line
	}
	return missing
}

// lifetime returns the seconds that a token lives, and those of its privileges.
// Zero would mean three things for a privilege, none of which a token needs.
func (r *rule) lifetime(w *wish) (expire, privilegeExpire uint32) {
	if expire = w.expire; expire == 0 {
		expire = defaultExpire
	}
	expire = min(expire, r.maxExpire)
	if privilegeExpire = w.privilegeExpire; privilegeExpire == 0 {
		privilegeExpire = expire
	}
	return expire, min(privilegeExpire, expire)
}

// decision is what the rules say of a request.
type decision struct {
	rule *rule // that grants all of it; nil where none does

	// Of the rule that comes nearest to it, where none does.
	nearest *rule
	missing lines
}

// decide returns the rule that grants all wishes of a request. Where several do, it
// is the one with the longest lifetime: what a rule grants, no other takes away.
// users are the callers by identity.
func decide(rules []*rule, wishes []wish, users []string) (d decision) {
	fewest := len(lineNames) + 1
	for _, r := range rules {
		var missing lines
		for i := range wishes {
			missing |= r.against(&wishes[i], users[r.identity])
		}
		if missing == 0 {
			if d.rule == nil || r.maxExpire > d.rule.maxExpire {
				d.rule = r
			}
			continue
		}
		if n := bits.OnesCount8(uint8(missing)); n < fewest {
			fewest, d.nearest, d.missing = n, r, missing
		}
	}
	return d
}

// doubts returns what is unusual about a rule, one sentence each.
func (r *rule) doubts() (list []string) {
	anyone := r.users == nil
	needsChannel, needsAccount, app := true, true, false
	var all grants
	for _, k := range r.kinds.list() {
		all |= k.info().grants
		app = app || k.info().app
		needsChannel = needsChannel && k.info().maxChannel > 0
		needsAccount = needsAccount && k.info().maxAccount > 0
	}
	if needsChannel && len(r.channels) == 0 || needsAccount && len(r.accounts) == 0 {
		list = append(list, "it grants nothing: without channels, no token that carries a channel; without accounts, none that carries an account")
	}
	if r.wildcards {
		list = append(list, "wildcards are on: a token may be for many channels or accounts")
	}
	if anyone && app {
		list = append(list, "it grants the app's own privileges, an administrator's, to any caller: there is no line users")
	}
	if anyone && all&grantsRTC != 0 && all&grantsRTM != 0 {
		list = append(list, "it grants RTC and RTM in one token, which opens the REST API, to any caller: there is no line users")
	}
	return list
}
