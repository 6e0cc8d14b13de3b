package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/caddy-convoai/convoai/api"
)

// A reply is an answer that has not been written yet.
type reply struct {
	status int
	header http.Header
	body   []byte // JSON; nothing for 204
}

// document is the body of a JSON object in the making.
type document map[string]any

func success(body any) reply { return jsonReply(http.StatusOK, body) }

func jsonReply(status int, body any) reply {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// Documents, slices, strings, numbers and valid raw JSON always encode.
	if err := e.Encode(body); err != nil {
		return failure(http.StatusInternalServerError, api.ReasonInternalError, "Internal error on the server.")
	}
	return reply{status: status, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}
}

// failure is an error of the ConvoAI service.
func failure(status int, reason, detail string) reply {
	e := api.Error{Status: status, Reason: reason, Detail: detail}
	return reply{status: status, body: e.Body()}
}

// gatewayError is an error of what stands in front of the service.
func gatewayError(status int, message string) *reply {
	r := jsonReply(status, document{"message": message})
	return &r
}

func notFound() reply {
	// Detail and reason as seen from the vendor's servers.
	return failure(http.StatusNotFound, api.ReasonTaskNotFound, "The session was not found, has already ended, or failed to start.")
}

// write answers w with r. An error of the connection is the client's to notice.
func (r *reply) write(w http.ResponseWriter) {
	r.writeHeader(w)
	_, _ = w.Write(r.body)
}

func (r *reply) writeHeader(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range r.header {
		h[name] = values
	}
	if r.status != http.StatusNoContent {
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
}

// requestID is the caller's X-Request-Id if it is a sane one, otherwise a new
// one.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 128 {
		return id
	}
	return randomID()
}
