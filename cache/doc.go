// Package cache keeps credentials that expire: it hands them out without
// allocating, makes each once however many callers ask at a time, and replaces
// them before they expire. It is generic over key and value and knows nothing of
// what the credentials are for.
//
// A credential with a lifetime L passes through four states:
//
//	fresh      handed out as it is
//	advisory   handed out as it is, while one background mint replaces it;
//	           begins min(L/5, 1h) before expiry, less a random tenth
//	mandatory  callers wait for one shared mint; when that fails they get the
//	           current credential; begins min(L/20, 1m) before expiry
//	expired    never handed out: callers get the new credential or the error
//
// After a failed mint the key rests for a back-off with jitter (1 s, doubling to
// 1 min, and never longer than a quarter of L) before it is tried again. An
// expired credential rests likewise, so that a minter that is down is not asked
// by every caller.
//
// Refresh happens when a credential is asked for; a key that nobody uses is not
// refreshed. Time is the wall clock, because a credential expires by the wall
// clock also while a machine is suspended.
package cache
