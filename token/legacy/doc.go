// Package legacy builds, reads and verifies the formats that came before
// AccessToken2: AccessToken ("006"), DynamicKey 1 to 5 and the Signaling
// token. New code should use package token; this one is for services that
// still meet old clients, and for looking at old tokens.
//
// Every type has the shape of token.Token: fields, Sign, Verify, CheckTime.
// What differs is that these formats leave out of the token string what the
// vendor's servers know from elsewhere, such as the channel: after parsing,
// set those fields before Verify. Errors are those of package token.
//
// Source of the formats: AgoraIO/Tools, DynamicKey/AgoraDynamicKey.
//
// Deprecated: the vendor has replaced all of these formats by AccessToken2 and
// Conversational AI calls do not accept them; DynamicKey rests on SHA-1, the
// Signaling token on MD5. Use package token.
package legacy
