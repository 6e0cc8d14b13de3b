// Package cache keeps credentials that expire: it hands them out without
// allocating or locking, makes each once however many callers ask at a time, and
// replaces them before they expire. It is generic over key and value and knows
// nothing of what the credentials are for.
//
// A credential with a lifetime L passes through four states:
//
//	fresh      handed out as it is
//	advisory   handed out as it is, while the refresher replaces it;
//	           begins min(L/5, 1h) before expiry, less a random tenth
//	mandatory  callers wait for one shared mint; when that fails they get the
//	           current credential; begins min(L/20, 1m) before expiry
//	expired    never handed out: callers get the new credential or the error
//
// The refresher is one goroutine with one queue for all keys. It runs while
// there is a credential, wakes when the first one enters its advisory state (and
// once a minute, in case the clock was set), and replaces one after another. A
// credential that nobody has asked for since it was made is not replaced: it may
// still be handed out, is replaced if that happens in its advisory state, and is
// dropped when it expires. Nothing depends on the refresher: where it does not
// get to run, callers find the credential in its mandatory state.
//
// After a failed mint the key rests for a back-off with jitter (1 s, doubling to
// 1 min, and never longer than a quarter of L, or of a second where L is shorter
// than that) before it is tried again. An
// expired credential rests likewise, so that a minter that is down is not asked
// by every caller. A rejection by the verifier replaces exactly the credential
// that was rejected, and is followed by a back-off of the same kind, in which
// the current one is kept whatever the verifier says.
//
// Time is the wall clock, because a credential expires by the wall clock also
// while a machine is suspended. A clock that is put back by more than a minute
// makes the credentials of before ones from the future, and those are replaced.
package cache
