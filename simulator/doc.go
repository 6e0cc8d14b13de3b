// Package simulator is an in-memory ConvoAI REST API: an [http.Handler] that
// checks credentials and requests as the vendor does, keeps agents, calls and
// phone numbers, and can be told to misbehave. It is there for tests, for
// `caddy convoai demo`, and for developing without an account or a network.
//
// It carries out every operation of package api under the vendor's two path
// prefixes, and answers with the bodies of the vendor's REST reference
// (conversational-ai/rest-api in AgoraIO/Docs-Source). Everything it knows is in
// memory, bounded, and gone with the process. One Simulator may be served on
// any number of listeners, which then are one vendor with several endpoints.
//
// # What it is not
//
// No media: nobody joins a channel, no model is asked, nothing is heard or
// said. An agent is RUNNING from its join on, idle_timeout is checked but never
// runs out, and phone calls are answered at once. Only speak, think and the
// greeting leave traces in history and turns. The members asr, tts, llm and
// avatar are not looked at and not required. There are no webhooks, no request
// rate limit (a [Fault] answers 429), and no other Agora API. It proves nothing
// about the vendor's servers, only about what they document.
//
// # Where it guesses
//
// The vendor documents what a request and an answer look like, less what its
// servers tolerate. Our readings, each to be corrected when more is known:
//
//   - A token authenticates any call for its app, whatever its channel, account
//     and privileges are; it must have an RTC service. The vendor's own SDK
//     stops agents with a token for the channel "stop".
//   - A token lives for at most 24 hours from its issue time, even if it says
//     more, and may be issued up to 60 s in the future
//     (Options.FutureTolerance). The vendor's tolerance is not published.
//   - The scheme in front of a token is exactly "agora token=", and several
//     Authorization values are refused.
//   - What is refused by the gateway has a body {"message":"…"}, as in the
//     vendor's other APIs: 401, 404 for a path that is no route, 405. The
//     body of a 401 for an expired token is not published; it is the same here.
//   - A customer who is authentic but does not own the app in the path gets 403
//     InvalidPermission.
//   - Agent names are unique among the running agents of an app; names of calls
//     are not.
//   - A join that lacks something is answered in the words of the vendor's one
//     published sample, with reason InvalidRequest; the other operations use
//     MissingRequiredField and InvalidFieldValue. Telephony and phone numbers
//     use the codes of their pages (not_found, invalid_phone_format, …) as
//     reasons.
//   - An empty answer body is "{}", as the reference shows for hangup; 204 has
//     none.
//   - History of a stopped agent and turns of a running one: 404 TaskNotFound.
//   - A turn that speaks lasts 60 ms per byte of text, so that an interrupt has
//     something to interrupt.
//   - Lists start with the newest entry.
//
// The simulator logs nothing. [Simulator.Calls] has what arrived, with
// credentials, for tests to look at; a [Call] prints without them.
package simulator
