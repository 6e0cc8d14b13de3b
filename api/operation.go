package api

import "net/http"

// Operation is one thing that the ConvoAI API can be asked to do.
type Operation struct {
	// Name is the operation's name in metrics, logs and placeholders.
	Name string

	// Method is the only HTTP method of the operation.
	Method string

	// Template is the canonical path below the API's prefix, with {appid},
	// {agent_id} and {phone_number} in the place of the variable segments.
	Template string

	// Repeatable says that carrying the operation out twice has the effect of
	// carrying it out once, so that a request which may have reached an
	// upstream may be sent to another. A join, a call or a sentence that is
	// spoken twice is a second agent, a second phone call, a second sentence.
	Repeatable bool

	// SignedByBody says that the request body names the channel and the agent
	// (properties.channel, properties.agent_rtc_uid) that a token of scope
	// "session" is made for.
	SignedByBody bool

	segments []string
}

// The operations, in the order of the vendor's reference.
var (
	Join      = operation("join", http.MethodPost, "/v2/projects/{appid}/join", signedByBody)
	Leave     = operation("leave", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/leave", repeatable)
	Update    = operation("update", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/update", repeatable)
	Query     = operation("query", http.MethodGet, "/v2/projects/{appid}/agents/{agent_id}", repeatable)
	List      = operation("list", http.MethodGet, "/v2/projects/{appid}/agents", repeatable)
	Speak     = operation("speak", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/speak", 0)
	Interrupt = operation("interrupt", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/interrupt", repeatable)
	History   = operation("history", http.MethodGet, "/v2/projects/{appid}/agents/{agent_id}/history", repeatable)
	Turns     = operation("turns", http.MethodGet, "/v2/projects/{appid}/agents/{agent_id}/turns", repeatable)
	Think     = operation("think", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/think", 0)

	Call      = operation("call", http.MethodPost, "/v2/projects/{appid}/call", signedByBody)
	CallList  = operation("call_list", http.MethodGet, "/v2/projects/{appid}/call", repeatable)
	CallQuery = operation("call_query", http.MethodGet, "/v2/projects/{appid}/calls/{agent_id}", repeatable)
	Hangup    = operation("hangup", http.MethodPost, "/v2/projects/{appid}/calls/{agent_id}/hangup", repeatable)

	PhoneNumberList   = operation("phone_number_list", http.MethodGet, "/v2/phone-numbers", repeatable)
	PhoneNumberAdd    = operation("phone_number_add", http.MethodPost, "/v2/phone-numbers", 0)
	PhoneNumberQuery  = operation("phone_number_query", http.MethodGet, "/v2/phone-numbers/{phone_number}", repeatable)
	PhoneNumberUpdate = operation("phone_number_update", http.MethodPatch, "/v2/phone-numbers/{phone_number}", repeatable)
	PhoneNumberDelete = operation("phone_number_delete", http.MethodDelete, "/v2/phone-numbers/{phone_number}", repeatable)
)

// operations holds every operation above; operation fills it.
var operations []*Operation

// Operations returns all operations, in the order of the vendor's reference.
// The slice is the caller's; the operations are shared and must not be changed.
func Operations() []*Operation {
	return append([]*Operation(nil), operations...)
}

type trait uint8

const (
	repeatable trait = 1 << iota
	signedByBody
)

func operation(name, method, template string, traits trait) *Operation {
	op := &Operation{
		Name:         name,
		Method:       method,
		Template:     template,
		Repeatable:   traits&repeatable != 0,
		SignedByBody: traits&signedByBody != 0,
		segments:     split(template),
	}
	operations = append(operations, op)
	return op
}

// String returns the operation's name.
func (op *Operation) String() string { return op.Name }
