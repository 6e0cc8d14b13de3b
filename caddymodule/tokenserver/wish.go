package tokenserver

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-convoai/convoai/token"
)

// wish is one token that a caller asks for, whatever the dialect. It is validated
// by check, decided about by a rule, and minted, each in one place.
type wish struct {
	kinds []kind // in the order asked for; one token for all

	channel name // the room, for kinds of Flexible Classroom
	account name // of all kinds but those that have one of their own

	// One dialect has accounts of their own for these.
	chatUser      name
	educationUser name

	role role
	room int16 // the role in a room of Flexible Classroom; 0: what follows from role

	// stream wants of RTC no more than an RTM stream channel needs: to join, and
	// to publish data. It counts as publishing.
	stream bool

	expire          uint32 // seconds; 0: the default
	privilegeExpire uint32 // seconds, of RTC's privileges; 0: those of the token
}

// name is a channel or an account.
type name struct {
	text  string // as it is packed: "" for the uid 0
	given bool   // there is one, perhaps a blank one
	uid   bool   // it is a numeric uid
}

func textName(text string) name { return name{text: text, given: true} }

func uidName(uid uint32) name { return name{text: token.UidString(uid), given: true, uid: true} }

// blank reports whether n is a wildcard because there is nothing in it.
func (n name) blank() bool { return strings.TrimSpace(n.text) == "" }

// readable is how n is shown, and matched where it is no wildcard: the uid 0 in
// its decimal form.
func (n name) readable() string {
	if n.uid && n.text == "" {
		return "0"
	}
	return n.text
}

// wildcardChannel reports whether n is a wildcard for channels: blank, or with an
// asterisk in it. Source: the guide's section on wildcard tokens.
func (n name) wildcardChannel() bool { return n.blank() || strings.Contains(n.text, "*") }

// wildcardAccount reports whether n is a wildcard for accounts. The account "0",
// which the vendor's builder packs as it is, counts as the uid 0: an agent that
// joins with it is given a uid by chance.
func (n name) wildcardAccount() bool {
	return n.wildcardChannel() || strings.Trim(n.text, "0") == ""
}

// role is what the owner of a token may do in a channel.
type role uint8

const (
	roleSubscriber role = iota // the default: the least
	rolePublisher

	numRoles
)

var roleNames = [numRoles]string{"subscriber", "publisher"}

func (r role) String() string { return roleNames[r] }

func parseRole(name string) (role, bool) {
	for r := range numRoles {
		if roleNames[r] == name {
			return r, true
		}
	}
	return 0, false
}

// Roles in a room of Flexible Classroom. Whoever is not a student may do more
// than take part, which counts as publishing.
const (
	roomTeacher int16 = 1
	roomStudent int16 = 2
)

// roomRole is the role in a room.
func (w *wish) roomRole() int16 {
	switch {
	case w.room != 0:
		return w.room
	case w.role == rolePublisher:
		return roomTeacher
	}
	return roomStudent
}

// accountOf returns the account that a kind carries.
func (w *wish) accountOf(k kind) name {
	switch {
	case k == kindChatUser && w.chatUser.given:
		return w.chatUser
	case k == kindEducationUser && w.educationUser.given:
		return w.educationUser
	}
	return w.account
}

// carriesChannel reports whether the token carries the channel.
func (w *wish) carriesChannel() bool {
	for _, k := range w.kinds {
		if k.info().maxChannel > 0 {
			return true
		}
	}
	return false
}

// carriesAccount reports whether the token carries the account, beside those that
// kinds have of their own.
func (w *wish) carriesAccount() bool {
	for _, k := range w.kinds {
		if k.info().maxAccount > 0 && w.accountOf(k) == w.account {
			return true
		}
	}
	return false
}

// neededRole is the role that a rule must allow: what the token lets its owner do.
// ok is false where no kind has a role.
func (w *wish) neededRole() (needed role, ok bool) {
	for _, k := range w.kinds {
		if !k.info().role {
			continue
		}
		ok = true
		publishes := w.role == rolePublisher || w.stream || k == kindConvoAI
		if k == kindEducationRoomUser && w.roomRole() != roomStudent {
			publishes = true
		}
		if publishes {
			needed = rolePublisher
		}
	}
	return needed, ok
}

// check checks what can be said without a rule. What a token of these kinds does
// not carry is checked for its form as well, and otherwise not looked at.
func (w *wish) check() error {
	if len(w.kinds) == 0 {
		return errors.New("no kind of token is asked for")
	}
	if err := checkTogether(w.kinds); err != nil {
		return err
	}
	maxChannel, maxAccount := maxRoom, token.MaxAccount
	for _, k := range w.kinds {
		info := k.info()
		if info.maxChannel > 0 {
			maxChannel = min(maxChannel, info.maxChannel)
			if !w.channel.given {
				return fmt.Errorf("channel is required for kind %s", k)
			}
		}
		if info.maxAccount > 0 {
			account := w.accountOf(k)
			if account == w.account {
				maxAccount = min(maxAccount, info.maxAccount)
			}
			if !account.given {
				return fmt.Errorf("account or uid is required for kind %s", k)
			}
			if info.required && (account.blank() || w.channel.blank()) {
				return fmt.Errorf("kind %s takes neither a blank channel nor a blank account", k)
			}
		}
	}
	if err := checkChannel(w.channel.text, maxChannel); err != nil {
		return err
	}
	if err := checkAccount(w.account.text, maxAccount); err != nil {
		return err
	}
	return cmp.Or(checkAccount(w.chatUser.text, token.MaxAccount), checkAccount(w.educationUser.text, token.MaxAccount))
}

// channelCharacters are what the vendor documents for channels, and the asterisk
// of wildcards. Source: rtctokenbuilder2, AgoraIO/Tools.
var channelCharacters = func() (set [utf8.RuneSelf]bool) {
	for c := range set {
		set[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte(" !#$%&()+-:;<=.>?@[]^_{}|~,*", byte(c)) >= 0
	}
	return set
}()

func checkChannel(channel string, limit int) error {
	if len(channel) > limit {
		return errors.New("channel must have at most " + strconv.Itoa(limit) + " bytes")
	}
	for i := range len(channel) {
		if c := channel[i]; c >= utf8.RuneSelf || !channelCharacters[c] {
			return errors.New("channel may have the characters a-z A-Z 0-9, space and !#$%&()+-:;<=.>?@[]^_{}|~, only")
		}
	}
	return nil
}

// checkAccount refuses characters that are not seen. All others may be part of an
// account, in UTF-8.
func checkAccount(account string, limit int) error {
	if len(account) > limit {
		return errors.New("account must have at most " + strconv.Itoa(limit) + " bytes")
	}
	if !utf8.ValidString(account) || strings.ContainsFunc(account, unicode.IsControl) {
		return errors.New("account must be valid UTF-8 without control characters")
	}
	return nil
}
