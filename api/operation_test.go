package api_test

import (
	"net/http"
	"testing"

	"github.com/caddy-convoai/convoai/api"
)

// The vendor's endpoints, and which of them may be sent twice: a join, a call, a
// sentence, a thought and an import are not the same done twice.
var endpoints = []struct {
	name, method, template   string
	repeatable, signedByBody bool
}{
	{"join", http.MethodPost, "/v2/projects/{appid}/join", false, true},
	{"leave", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/leave", true, false},
	{"update", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/update", true, false},
	{"query", http.MethodGet, "/v2/projects/{appid}/agents/{agent_id}", true, false},
	{"list", http.MethodGet, "/v2/projects/{appid}/agents", true, false},
	{"speak", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/speak", false, false},
	{"interrupt", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/interrupt", true, false},
	{"history", http.MethodGet, "/v2/projects/{appid}/agents/{agent_id}/history", true, false},
	{"turns", http.MethodGet, "/v2/projects/{appid}/agents/{agent_id}/turns", true, false},
	{"think", http.MethodPost, "/v2/projects/{appid}/agents/{agent_id}/think", false, false},
	{"call", http.MethodPost, "/v2/projects/{appid}/call", false, true},
	{"call_list", http.MethodGet, "/v2/projects/{appid}/call", true, false},
	{"call_query", http.MethodGet, "/v2/projects/{appid}/calls/{agent_id}", true, false},
	{"hangup", http.MethodPost, "/v2/projects/{appid}/calls/{agent_id}/hangup", true, false},
	{"phone_number_list", http.MethodGet, "/v2/phone-numbers", true, false},
	{"phone_number_add", http.MethodPost, "/v2/phone-numbers", false, false},
	{"phone_number_query", http.MethodGet, "/v2/phone-numbers/{phone_number}", true, false},
	{"phone_number_update", http.MethodPatch, "/v2/phone-numbers/{phone_number}", true, false},
	{"phone_number_delete", http.MethodDelete, "/v2/phone-numbers/{phone_number}", true, false},
}

func TestOperationsAreTheVendorsEndpoints(t *testing.T) {
	operations := api.Operations()
	if len(operations) != len(endpoints) {
		t.Fatalf("%d operations, want %d", len(operations), len(endpoints))
	}
	for i, want := range endpoints {
		op := operations[i]
		if op.Name != want.name || op.String() != want.name || op.Method != want.method || op.Template != want.template {
			t.Errorf("operation %d is %s %s %s, want %s %s %s", i, op.Name, op.Method, op.Template, want.name, want.method, want.template)
		}
		if op.Repeatable != want.repeatable {
			t.Errorf("%s: repeatable is %t", op, op.Repeatable)
		}
		if op.SignedByBody != want.signedByBody {
			t.Errorf("%s: signed by body is %t", op, op.SignedByBody)
		}
	}
}

func TestOperationsReturnsACopy(t *testing.T) {
	api.Operations()[0] = nil
	if api.Operations()[0] != api.Join {
		t.Error("a change of the slice changed the operations")
	}
}
