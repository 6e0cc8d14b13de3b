package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddy-convoai/convoai/api"
)

func TestErrorIsWrittenInTheVendorsShape(t *testing.T) {
	e := &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonInvalidRequest, Detail: `properties: "channel" <not> found`}
	w := httptest.NewRecorder()
	e.Write(w)
	if w.Code != http.StatusBadRequest {
		t.Errorf("status %d", w.Code)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if len(body) != 2 || body["detail"] != e.Detail || body["reason"] != e.Reason {
		t.Errorf("body %s", w.Body)
	}
	if got, want := e.Error(), `InvalidRequest: properties: "channel" <not> found`; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
