// Package tokenserver is the Caddy handler convoai_token_server: it mints the
// tokens with which browsers and phones join a channel, and none that no rule
// grants.
//
// A request goes one way, whatever the dialect. The endpoint at its path (see
// dialect.go and the files named after dialects) reads it into wishes, one for each
// token that is asked for. wish.check finds what is malformed, decide finds the rule
// that grants all of it, mint makes the tokens, and the endpoint renders the answer.
// An endpoint neither decides nor mints.
//
// What is decided here, and why:
//
//   - A rule is asked about what would be in the token, not about what was written:
//     a uid of "0042" that a dialect takes for a number is the account 42.
//   - Kinds are granted by the names by which they are asked for, and several kinds
//     in one token by one rule that names all of them. RTC and RTM in one token are
//     what the REST API's gateway takes from the sidecar itself; from rules that name
//     one of them, both come in tokens of their own only.
//   - What grants the same has the longest lifetime of the rules that grant it: what
//     one rule grants, no other takes away, and their order means nothing.
//   - Lifetimes are shortened rather than refused, since clients ask for a day out of
//     habit. A privilege never outlives its token, and never has the lifetime 0, which
//     the vendor documents in three ways; fpa alone has it, as the vendor packs it.
//   - A wildcard is many names, so that a pattern must match all of them: see
//     pattern.matchesWildcard. The text "0" counts as the uid 0.
//   - Who is asking comes from placeholders whose value no caller chooses. For a header
//     that is proven from the configuration at load: see removal.go.
//   - What a token does not carry, such as the channel of a request for RTM alone, is
//     checked for its form and has no say: the same body may ask for every kind.
//   - Dialects are as tolerant as the servers whose dialects they are: unknown members,
//     names in any case, any Content-Type. What two parsers may read differently,
//     members that are there twice and text that is no Unicode, is refused everywhere.
//
// Limits: there is no rate limit, no list of tokens, and no way to take one back. A
// request is held in memory, up to max_body.
package tokenserver
