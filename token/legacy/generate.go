package legacy

// GenerateDynamicKey returns a DynamicKey 1. Times are Unix seconds here and
// below; salt is any number.
//
// Deprecated: use package token.
func GenerateDynamicKey(appID, appCertificate, channel string, issuedAt, salt uint32) (string, error) {
	return (&DynamicKey{Version: 1, AppID: appID, Channel: channel, IssuedAt: issuedAt, Salt: salt}).Sign(appCertificate)
}

// GenerateDynamicKey2 returns a DynamicKey 2.
//
// Deprecated: use package token.
func GenerateDynamicKey2(appID, appCertificate, channel string, issuedAt, salt, uid, expiresAt uint32) (string, error) {
	return generate(2, 0, appID, appCertificate, channel, issuedAt, salt, uid, expiresAt)
}

// GenerateDynamicKey3 returns a DynamicKey 3.
//
// Deprecated: use package token.
func GenerateDynamicKey3(appID, appCertificate, channel string, issuedAt, salt, uid, expiresAt uint32) (string, error) {
	return generate(3, 0, appID, appCertificate, channel, issuedAt, salt, uid, expiresAt)
}

// GenerateDynamicKey4 returns a DynamicKey 4 for a service: in the vendor's
// code, GenerateMediaChannelKey, GenerateRecordingKey and
// GeneratePublicSharingKey of DynamicKey4.
//
// Deprecated: use package token.
func GenerateDynamicKey4(service Service, appID, appCertificate, channel string, issuedAt, salt, uid, expiresAt uint32) (string, error) {
	return generate(4, service, appID, appCertificate, channel, issuedAt, salt, uid, expiresAt)
}

// GenerateDynamicKey5 returns a DynamicKey 5 for a service: in the vendor's
// code, GenerateMediaChannelKey, GenerateRecordingKey and
// GeneratePublicSharingKey of DynamicKey5.
//
// Deprecated: use package token.
func GenerateDynamicKey5(service Service, appID, appCertificate, channel string, issuedAt, salt, uid, expiresAt uint32) (string, error) {
	return generate(5, service, appID, appCertificate, channel, issuedAt, salt, uid, expiresAt)
}

// GenerateInChannelPermissionKey returns a DynamicKey 5 that allows a user in
// a channel to upload (AllowUploadAudioVideo) or not to (AllowUploadNone).
//
// Deprecated: use package token.
func GenerateInChannelPermissionKey(appID, appCertificate, channel string, issuedAt, salt, uid, expiresAt uint32, allowUpload string) (string, error) {
	k := newKey(5, ServiceInChannelPermission, appID, channel, issuedAt, salt, uid, expiresAt)
	k.Extra = []Extra{{ExtraAllowUpload, allowUpload}}
	return k.Sign(appCertificate)
}

func generate(version int, service Service, appID, appCertificate, channel string, issuedAt, salt, uid, expiresAt uint32) (string, error) {
	return newKey(version, service, appID, channel, issuedAt, salt, uid, expiresAt).Sign(appCertificate)
}

func newKey(version int, service Service, appID, channel string, issuedAt, salt, uid, expiresAt uint32) *DynamicKey {
	return &DynamicKey{Version: version, Service: service, AppID: appID, Channel: channel, IssuedAt: issuedAt, Salt: salt, UID: uid, ExpiresAt: expiresAt}
}
