//lint:file-ignore SA1019 The older token formats are deprecated, and can be minted and inspected all the same.

package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-convoai/convoai/token"
	"github.com/caddy-convoai/convoai/token/legacy"
)

// older inspects a token of one of the older formats.
func (f *inspectFlags) older(t legacy.Token, now time.Time) (*inspection, error) {
	in := &inspection{soft: true}
	appID, err := f.complete(t)
	if err != nil {
		return nil, err
	}
	signature := token.SignatureUnchecked
	if missing := f.missing(t); missing != "" {
		in.unchecked = "it is signed for what is not in it; give " + missing
	} else if signature, err = f.signature(in, appID, t.Verify); err != nil {
		return nil, err
	}
	switch x := t.(type) {
	case *legacy.AccessToken:
		in.accessToken(x, signature, now)
	case *legacy.DynamicKey:
		in.dynamicKey(x, signature, now)
	case *legacy.SignalingToken:
		in.signaling(x, signature, now)
	}
	in.signatureFact(signature)
	in.judgeOlder(t, signature, now)
	return in, nil
}

// complete sets what the flags say of the fields that the token leaves out.
func (f *inspectFlags) complete(t legacy.Token) (appID string, err error) {
	if f.Changed("account") && f.Changed("uid") {
		return "", fmt.Errorf("--account and --uid are both given: give one of them")
	}
	var uid uint32
	if f.Changed("uid") {
		n, err := strconv.ParseUint(f.uid, 10, 32)
		if err != nil {
			return "", fmt.Errorf("--uid must be a whole number from 0 to 4294967295")
		}
		uid = uint32(n)
	}
	switch x := t.(type) {
	case *legacy.AccessToken:
		x.Channel, x.UID = f.channel, f.account
		if f.Changed("uid") {
			x.UID = token.UidString(uid)
		}
		if forRTM(x) {
			x.Channel, x.UID = f.rtmUser(), ""
		}
		return x.AppID, nil
	case *legacy.DynamicKey:
		x.Channel = f.channel
		if x.Version >= 4 {
			x.UID = uid
		}
		if x.Version == 4 {
			if x.Service, err = legacy.ParseService(f.service); err != nil || x.Service == legacy.ServiceInChannelPermission {
				return "", fmt.Errorf("--service must be media, recording or public-sharing")
			}
		}
		return x.AppID, nil
	case *legacy.SignalingToken:
		x.Account = f.account
		if f.Changed("uid") {
			x.Account = f.uid
		}
		return x.AppID, nil
	}
	return "", nil
}

// rtmUser is the user of an RTM token, who stands in the channel's place.
func (f *inspectFlags) rtmUser() string {
	switch {
	case f.Changed("account"):
		return f.account
	case f.Changed("uid"):
		return f.uid
	}
	return f.channel
}

// forRTM reports whether an AccessToken 006 is one for RTM.
func forRTM(t *legacy.AccessToken) bool {
	return slices.ContainsFunc(t.Privileges, func(p legacy.Privilege) bool { return p.ID == legacy.PrivilegeRtmLogin })
}

// missing names the flags without which the signature cannot be checked.
func (f *inspectFlags) missing(t legacy.Token) string {
	named := f.Changed("account") || f.Changed("uid")
	switch x := t.(type) {
	case *legacy.AccessToken:
		if forRTM(x) {
			if !named && !f.Changed("channel") {
				return "--account"
			}
			return ""
		}
		if !f.Changed("channel") {
			return "--channel, and --account or --uid"
		}
	case *legacy.DynamicKey:
		if !f.Changed("channel") {
			return "--channel" + map[bool]string{true: " and --uid"}[x.Version >= 4]
		}
	case *legacy.SignalingToken:
		if !named {
			return "--account"
		}
	}
	return ""
}

func (in *inspection) judgeOlder(t legacy.Token, signature token.SignatureStatus, now time.Time) {
	format := t.Format()
	if format == "006" {
		format = "AccessToken (006)"
	}
	const not = ": an older format, not accepted for ConvoAI"
	in.verdict = format + not
	switch err := t.CheckTime(now); {
	case signature == token.SignatureInvalid:
		in.status, in.verdict = exitFailed, format+not+"; and "+in.reason
	case errors.Is(err, token.ErrExpired):
		in.status, in.verdict = exitFailed, format+not+"; and expired"
	}
}

func (in *inspection) accessToken(t *legacy.AccessToken, signature token.SignatureStatus, now time.Time) {
	in.spec = legacy.Spec{Token: t, Signature: signature}
	in.fact("Format", "AccessToken (006), replaced by AccessToken2 (007)")
	in.fact("App ID", t.AppID)
	in.fact("Timestamp", moment(time.Unix(int64(t.IssuedAt), 0), now)+"; builders put the time of issue plus 24 hours here")
	in.fact("Salt", strconv.FormatUint(uint64(t.Salt), 10))
	in.fact("Channel", fmt.Sprintf("CRC-32 %d", t.CRCChannel))
	in.fact("Uid", fmt.Sprintf("CRC-32 %d", t.CRCUid))
	lines := serviceLines{head: "privileges"}
	for _, p := range t.Privileges {
		end := "until " + moment(time.Unix(int64(p.ExpiresAt), 0), now)
		if p.ExpiresAt == 0 {
			end = "without end"
		}
		lines.rows = append(lines.rows, [2]string{p.ID.String(), end})
	}
	in.services = []serviceLines{lines}
}

// keySpec is a DynamicKey in JSON.
type keySpec struct {
	Version     string                `json:"version"`
	AppID       string                `json:"app_id"`
	IssuedAt    uint32                `json:"issued_at"`
	Salt        uint32                `json:"salt"`
	UID         *uint32               `json:"uid,omitempty"`
	ExpiresAt   *uint32               `json:"expires_at,omitempty"`
	Service     string                `json:"service,omitempty"`
	AllowUpload string                `json:"allow_upload,omitempty"`
	Signature   token.SignatureStatus `json:"signature"`
}

// A marshaler makes any value a json.Marshaler.
type marshaler struct{ value any }

func (m marshaler) MarshalJSON() ([]byte, error) { return json.Marshal(m.value) }

func (in *inspection) dynamicKey(k *legacy.DynamicKey, signature token.SignatureStatus, now time.Time) {
	spec := keySpec{Version: k.Format(), AppID: k.AppID, IssuedAt: k.IssuedAt, Salt: k.Salt, Signature: signature}
	in.fact("Format", "DynamicKey "+strconv.Itoa(k.Version)+", replaced by AccessToken2 (007)")
	in.fact("App ID", k.AppID)
	in.fact("Issued", moment(time.Unix(int64(k.IssuedAt), 0), now))
	if k.Version > 1 {
		spec.ExpiresAt = &k.ExpiresAt
		in.fact("Expires", moment(time.Unix(int64(k.ExpiresAt), 0), now))
	}
	if k.Version == 2 || k.Version == 3 {
		spec.UID = &k.UID
		in.fact("Uid", strconv.FormatUint(uint64(k.UID), 10))
	}
	if k.Version == 5 {
		spec.Service = k.Service.String()
		in.fact("Service", spec.Service)
	}
	if upload, ok := k.AllowUpload(); ok {
		spec.AllowUpload = upload
		in.fact("Upload", fmt.Sprintf("%q", upload))
	}
	in.fact("Salt", strconv.FormatUint(uint64(k.Salt), 10))
	in.spec = marshaler{spec}
}

func (in *inspection) signaling(t *legacy.SignalingToken, signature token.SignatureStatus, now time.Time) {
	in.spec = marshaler{struct {
		Version   string                `json:"version"`
		AppID     string                `json:"app_id"`
		ExpiresAt uint32                `json:"expires_at"`
		Signature token.SignatureStatus `json:"signature"`
	}{t.Format(), t.AppID, t.ExpiresAt, signature}}
	in.fact("Format", strings.ToUpper(t.Format()[:1])+t.Format()[1:]+" token, replaced by an RTM token (007)")
	in.fact("App ID", t.AppID)
	in.fact("Expires", moment(time.Unix(int64(t.ExpiresAt), 0), now))
}
