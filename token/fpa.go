package token

// NewFpaToken returns an FPA token, not yet signed; see BuildFpaToken.
func NewFpaToken(appID string) (*Token, error) {
	if err := checkID(appID); err != nil {
		return nil, err
	}
	return newToken(appID, MaxExpire, Service{Type: ServiceFPA, Privileges: Privileges{{PrivilegeLogin, 0}}}), nil
}

// BuildFpaToken returns a token for the Full-path Accelerator:
// fpatokenbuilder.BuildToken in the vendor's code. As there, the token's
// lifetime is 24 hours and its privilege's is packed as 0.
func BuildFpaToken(appID, appCertificate string) (string, error) {
	t, err := NewFpaToken(appID)
	return sign(t, err, appCertificate)
}
