package token

import (
	"fmt"
	"strconv"
	"time"
)

// Limits that the vendor documents (rtctokenbuilder2, AgoraIO/Tools, and its
// token guides). The vendor's builders do not check them; ours do.
const (
	MaxExpire    = 86400 // lifetime of a token and of a privilege in seconds: 24 hours
	MaxChannel   = 63    // bytes of a channel name
	MaxAccount   = 255   // bytes of a user account
	MaxRtmUserID = 64    // bytes of an RTM user ID
)

func checkID(appID string) error {
	if !ValidID(appID) {
		return ErrAppID
	}
	return nil
}

func checkChannel(channel string) error {
	if len(channel) > MaxChannel {
		return &RangeError{"channel", fmt.Sprintf("must have at most %d bytes", MaxChannel)}
	}
	return nil
}

func checkName(field, name string, limit int) error {
	if len(name) > limit {
		return &RangeError{field, fmt.Sprintf("must have at most %d bytes", limit)}
	}
	return nil
}

func checkAccount(account string) error { return checkName("account", account, MaxAccount) }

func checkExpire(expire uint32) error {
	if expire < 1 || expire > MaxExpire {
		return &RangeError{"expire", fmt.Sprintf("must be 1 to %d seconds", MaxExpire)}
	}
	return nil
}

// checkPrivilegeExpire lets 0 pass: it is documented, if in three
// contradictory ways.
func checkPrivilegeExpire(lifetimes ...uint32) error {
	for _, v := range lifetimes {
		if v > MaxExpire {
			return &RangeError{"privilege-expire", fmt.Sprintf("must be 0 to %d seconds", MaxExpire)}
		}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sign signs what a constructor returned.
func sign(t *Token, err error, appCertificate string) (string, error) {
	if err != nil {
		return "", err
	}
	return t.Sign(appCertificate)
}

// UidString returns the form of a numeric uid in a token: its decimal digits,
// and "" for 0, which stands for any user (GetUidStr in the vendor's code).
// The account string "0" is something else and stays "0".
func UidString(uid uint32) string {
	if uid == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// ExpiresInHours returns a number of hours in seconds, as the vendor's SDKs
// do: not above zero is an error that matches ErrOutOfRange; more than 24 hours
// become 24 hours, and capped is true, for which the SDKs print a warning.
func ExpiresInHours(hours float64) (seconds uint32, capped bool, err error) {
	return expiresIn(hours * float64(time.Hour/time.Second))
}

// ExpiresInMinutes is ExpiresInHours for minutes.
func ExpiresInMinutes(minutes float64) (seconds uint32, capped bool, err error) {
	return expiresIn(minutes * float64(time.Minute/time.Second))
}

// ExpiresIn is ExpiresInHours for a duration.
func ExpiresIn(d time.Duration) (seconds uint32, capped bool, err error) {
	return expiresIn(d.Seconds())
}

// expiresIn drops fractions of a second, so that a token never lives longer
// than it was asked to.
func expiresIn(seconds float64) (uint32, bool, error) {
	if !(seconds >= 1) { // also for NaN
		return 0, false, &RangeError{"expires_in", fmt.Sprintf("must be between 1 and %d seconds (24h)", MaxExpire)}
	}
	if seconds > MaxExpire {
		return MaxExpire, true, nil
	}
	return uint32(seconds), false, nil
}
