// Package token builds, reads and verifies Agora's AccessToken2, the tokens
// that start with "007".
//
// The builders carry the names of the vendor's Go packages, in one package:
// BuildTokenWithUid, BuildTokenWithUserAccount, BuildTokenWithRtm,
// BuildRtmToken, BuildChatUserToken, BuildRoomUserToken and so on. Beside each
// Build… function a New… function returns the token before it is signed, with
// IssuedAt and Salt free to be set. BuildConvoAIToken builds what the vendor's
// SDKs send to the Conversational AI API.
//
//	t, err := token.BuildConvoAIToken(appID, appCertificate, "room-1", "1001", 3600, 0)
//
// Parse reads a token, Token.Verify checks its signature, Token.CheckTime its
// lifetime. The three are separate because a service that only looks at tokens
// has no certificate, and because a wrong signature and an expired token call
// for different answers.
//
// # Lifetimes
//
// All lifetimes are seconds relative to IssuedAt, never points in time. A
// privilege's lifetime of 0 is documented by the vendor in three ways: as the
// token's lifetime, as ended at once, and as never ending. NewConvoAI puts the
// token's lifetime in its place, as the vendor's SDKs do; the other builders
// pack 0, as the vendor's builders do. Pass the token's lifetime to be sure.
//
// # Limits
//
// Builders refuse what the vendor documents as out of range, though the
// vendor's own builders do not: see RangeError and the Max constants. Sign
// accepts whatever the format can hold, up to MaxPayload bytes, and
// Token.Warnings tells what is unusual about it. App ID and app certificate
// must be 32 hexadecimal digits everywhere.
//
// This package does no I/O and keeps no tokens. Older formats are in package
// legacy. Source of the format: AgoraIO/Tools, DynamicKey/AgoraDynamicKey.
package token
