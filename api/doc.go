// Package api is the ConvoAI REST API as data and pure functions: which
// operations there are, under which paths and methods, which of them may be
// repeated, what an error body looks like, and which tokens the body of a join
// or a call lacks. The gate, the transport and the simulator all ask this
// package, so that there is one answer.
//
// It does no I/O and knows nothing of Caddy. Other Agora REST APIs (Chat,
// Signaling, Cloud Recording, …) are not described here.
//
// Source of the operations: the vendor's REST reference
// (conversational-ai/rest-api/agent in AgoraIO/Docs-Source) and the request
// code of its SDKs (agents, telephony, phonenumbers, agentmanagement).
package api
