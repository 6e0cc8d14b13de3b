package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
)

// maxNumbers is how many phone numbers an account may import.
const maxNumbers = 1000

// A phoneNumber is one that was imported. Its JSON is the vendor's.
type phoneNumber struct {
	Provider           string    `json:"provider"`
	PhoneNumber        string    `json:"phone_number"`
	Label              string    `json:"label"`
	Inbound            bool      `json:"inbound"`
	Outbound           bool      `json:"outbound"`
	AssociatedPipeline *pipeline `json:"associated_pipeline"`
	InboundConfig      document  `json:"inbound_config"`
	OutboundConfig     document  `json:"outbound_config"`
}

type pipeline struct {
	ID   string `json:"pipeline_id"`
	Name string `json:"pipeline_name"`
}

// A numberStore has the phone numbers of all accounts, in the order of import.
type numberStore struct {
	mu       sync.Mutex // guards accounts and what is in it
	accounts map[string][]*phoneNumber
}

func (s *Simulator) phoneNumberList(q *request) reply {
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	list := s.numbers.accounts[q.project.account()]
	if list == nil {
		list = []*phoneNumber{}
	}
	return success(list)
}

func (s *Simulator) phoneNumberAdd(q *request) reply {
	f, wrong := parseBody(q.body, false)
	if wrong != nil {
		return *wrong
	}
	n := &phoneNumber{
		Provider:    f.oneOf("provider", "", "byo", "twilio"),
		PhoneNumber: f.text("phone_number", true),
		Label:       f.text("label", true),
		Inbound:     f.flag("inbound", true),
		Outbound:    f.flag("outbound", true),
	}
	if n.Provider == "" {
		f.text("provider", true)
	}
	in, out := f.object("inbound_config", false), f.object("outbound_config", true)
	if f.has("inbound_config") {
		in.texts("allowed_addresses", true)
	}
	for _, name := range []string{"address", "prefix", "user", "password"} {
		out.text(name, false)
	}
	out.oneOf("transport", "", "tls", "tcp", "udp")
	if f.failed() {
		return f.failure.unprocessable()
	}
	if wrong := invalidPhone("phone_number", n.PhoneNumber); wrong != nil {
		return *wrong
	}
	n.InboundConfig, n.OutboundConfig = in.shown(), out.shown()
	return s.importNumber(q.project.account(), n)
}

func (s *Simulator) importNumber(account string, n *phoneNumber) reply {
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	list := s.numbers.accounts[account]
	if slices.ContainsFunc(list, func(other *phoneNumber) bool { return other.PhoneNumber == n.PhoneNumber }) {
		return failure(http.StatusConflict, "phone_number_exists", "Phone number already exists, duplicate import not allowed.")
	}
	if len(list) >= maxNumbers {
		return failure(http.StatusUnprocessableEntity, "unprocessable_content", "too many phone numbers for the simulator")
	}
	if s.numbers.accounts == nil {
		s.numbers.accounts = map[string][]*phoneNumber{}
	}
	s.numbers.accounts[account] = append(list, n)
	return jsonReply(http.StatusCreated, n)
}

// shown returns an object of a configuration without the SIP password, or nil
// where there is none.
func (f *fields) shown() document {
	if f.members == nil {
		return nil
	}
	d := document{}
	for name, value := range f.members {
		if name != "password" {
			d[name] = json.RawMessage(value)
		}
	}
	return d
}

func (s *Simulator) phoneNumberQuery(q *request) reply {
	return s.withNumber(q, func(n *phoneNumber) reply { return success(n) })
}

// phoneNumberUpdate binds pipelines: an object sets one, null clears it, and what
// is absent stays.
func (s *Simulator) phoneNumberUpdate(q *request) reply {
	f, wrong := parseBody(q.body, false)
	if wrong != nil {
		return *wrong
	}
	in, out := f.object("inbound_config", false), f.object("outbound_config", false)
	inID, outID := in.text("pipeline_id", false), out.text("pipeline_id", false)
	if f.failed() {
		return f.failure.unprocessable()
	}
	return s.withNumber(q, func(n *phoneNumber) reply {
		n.InboundConfig = f.merged("inbound_config", n.InboundConfig, in)
		n.OutboundConfig = f.merged("outbound_config", n.OutboundConfig, out)
		switch _, inGiven := f.members["inbound_config"]; {
		case inID != "":
			n.AssociatedPipeline = &pipeline{ID: inID, Name: inID}
		case outID != "":
			n.AssociatedPipeline = &pipeline{ID: outID, Name: outID}
		case inGiven && !f.has("inbound_config"):
			n.AssociatedPipeline = nil
		}
		return success(n)
	})
}

// merged returns the configuration after an update of the member name.
func (f *fields) merged(name string, old document, update *fields) document {
	if _, given := f.members[name]; !given {
		return old
	}
	if !f.has(name) {
		return nil
	}
	merged := document{}
	for key, value := range old {
		merged[key] = value
	}
	for key, value := range update.shown() {
		merged[key] = value
	}
	return merged
}

func (s *Simulator) phoneNumberDelete(q *request) reply {
	return s.withNumber(q, func(n *phoneNumber) reply {
		account := q.project.account()
		s.numbers.accounts[account] = slices.DeleteFunc(s.numbers.accounts[account], func(other *phoneNumber) bool { return other == n })
		return reply{status: http.StatusNoContent}
	})
}

// withNumber calls f with the number in the path, or answers 404.
func (s *Simulator) withNumber(q *request, f func(*phoneNumber) reply) reply {
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	for _, n := range s.numbers.accounts[q.project.account()] {
		if n.PhoneNumber == q.path.PhoneNumber {
			return f(n)
		}
	}
	return failure(http.StatusNotFound, "not_found", "The specified phone number was not found.")
}
