package token

// NewConvoAI returns the token with which the vendor's SDKs authenticate
// Conversational AI calls, not yet signed: RTC for the channel and the account
// with a publisher's four privileges, and RTM for the account.
//
// Channel (1 to 63 bytes) and account (1 to 255 bytes) are required, as in the
// SDKs; the account "0" stays "0". expire is the lifetime of the token and of
// the RTM login, 1 to 86400 seconds; privilegeExpire that of the RTC
// privileges, at most 86400 seconds. A privilegeExpire of 0 means expire, as
// in the SDKs. IssuedAt and Salt may be set before Sign; so may the services,
// for instance the RTC account "" for an agent that is given a uid by chance.
func NewConvoAI(appID, channel, account string, expire, privilegeExpire uint32) (*Token, error) {
	if channel == "" {
		return nil, &RangeError{"channel", "is required"}
	}
	if account == "" {
		return nil, &RangeError{"account", "is required"}
	}
	if privilegeExpire == 0 {
		privilegeExpire = expire
	}
	return NewTokenWithRtm(appID, channel, account, RolePublisher, expire, privilegeExpire)
}

// BuildConvoAIToken returns a signed token for Conversational AI; see
// NewConvoAI. In a header it reads "Authorization: agora token=007…".
func BuildConvoAIToken(appID, appCertificate, channel, account string, expire, privilegeExpire uint32) (string, error) {
	t, err := NewConvoAI(appID, channel, account, expire, privilegeExpire)
	return sign(t, err, appCertificate)
}
