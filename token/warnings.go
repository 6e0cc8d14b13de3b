package token

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoRTC: a token without an RTC service cannot authenticate a
// Conversational AI call.
var ErrNoRTC = errors.New("token has no RTC service")

// CheckConvoAI returns nil if the token can authenticate a Conversational AI
// call at the given time: it has an RTC service and is within its lifetime.
// Otherwise the error matches ErrNoRTC, ErrExpired or ErrNotYetValid. The
// signature is Verify's to check. A missing RTM service is no error: the
// vendor's documents describe the token as one for RTC, while its SDKs always
// add RTM.
func (t *Token) CheckConvoAI(now time.Time) error {
	if _, ok := t.Service(ServiceRTC); !ok {
		return ErrNoRTC
	}
	return t.CheckTime(now)
}

// channelExtra are the characters that the vendor documents for a channel
// name besides letters, digits and space (rtctokenbuilder2, AgoraIO/Tools).
const channelExtra = "!#$%&()+-:;<=.>?@[]^_{}|~,"

// Warnings returns what is unusual about the token, one sentence each, for
// people to read: values outside the ranges that the vendor documents, and
// values whose meaning it documents inconsistently. Such tokens can be signed
// and may work.
func (t *Token) Warnings() []string {
	var w warnings
	switch {
	case t.Expire == 0:
		w.add("the token's lifetime is 0: it has expired when it is issued")
	case t.Expire > MaxExpire:
		w.add("the token's lifetime is over 24 hours; the vendor accepts at most %d seconds", MaxExpire)
	}
	if len(t.Services) == 0 && t.Unparsed.Services == 0 {
		w.add("the token has no service: it grants nothing")
	}
	for i := range t.Services {
		w.service(t, &t.Services[i])
	}
	switch {
	case t.Unparsed.Services > 0:
		w.add("%d of its services are of a type that this version does not know", t.Unparsed.Services)
	case len(t.Unparsed.Data) > 0:
		w.add("%d bytes follow the services", len(t.Unparsed.Data))
	}
	if t.Unsorted {
		w.add("its services, privileges or permissions are not in ascending order, as the vendor's current code packs them")
	}
	return w
}

type warnings []string

func (w *warnings) add(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

func (w *warnings) service(t *Token, s *Service) {
	var zero, late []string
	for _, p := range s.Privileges {
		switch what := PrivilegeName(s.Type, p.ID); {
		case p.Expire == 0 && s.Type != ServiceFPA: // where the vendor packs nothing else
			zero = append(zero, what)
		case p.Expire > t.Expire:
			late = append(late, what)
		}
	}
	if len(zero) > 0 {
		w.add("%s: lifetime 0 for %s; the vendor documents 0 as the token's lifetime, as never ending, and as ended at once", s.Type, strings.Join(zero, ", "))
	}
	if len(late) > 0 {
		w.add("%s: longer than the token's lifetime: %s", s.Type, strings.Join(late, ", "))
	}
	if s.Type.hasChannel() {
		w.channel(s)
	}
	if s.Type == ServiceEducation && len(s.Room) > MaxAccount {
		w.add("%s: the room has more than %d bytes", s.Type, MaxAccount)
	}
	if s.Type.hasAccount() {
		w.account(s)
	}
}

func (w *warnings) channel(s *Service) {
	switch {
	case len(s.Channel) > MaxChannel:
		w.add("%s: the channel name has 64 bytes or more", s.Type)
	case s.Channel == "" || strings.Contains(s.Channel, "*"):
		w.add("%s: the channel name is a wildcard", s.Type)
	}
	if strings.ContainsFunc(s.Channel, outsideChannelNames) {
		w.add("%s: the channel name has characters outside the documented set", s.Type)
	}
}

func outsideChannelNames(c rune) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ' ' || c == '*'
	return !letter && !strings.ContainsRune(channelExtra, c)
}

func (w *warnings) account(s *Service) {
	limit := MaxAccount
	if s.Type == ServiceRTM || s.Type == ServiceRTM2 {
		limit = MaxRtmUserID
	}
	if len(s.Account) > limit {
		w.add("%s: the account has more than %d bytes", s.Type, limit)
	}
	if strings.ContainsFunc(s.Account, func(c rune) bool { return c < ' ' || c > '~' }) {
		w.add("%s: the account has characters outside ASCII; SDKs may encode them differently", s.Type)
	}
	if s.Type != ServiceRTC {
		return
	}
	switch {
	case s.Account == "0":
		w.add(`rtc: the account is the text "0", which is not the uid 0: the vendor's builder packs the uid 0 as an empty text`)
	case s.Account == "":
		w.add("rtc: the account is empty, which is the uid 0: any user may use the token")
	case strings.Contains(s.Account, "*"):
		w.add("rtc: the account is a wildcard")
	}
}
