package tokenserver

import (
	"net/http"
	"strconv"

	"github.com/caddy-convoai/convoai/api"
)

// refusal is why a request gets no token.
type refusal struct {
	status int
	reason string // X-Convoai-Error
	detail string // for the caller: no policy, no secret
}

// malformed refuses what is not understood; detail says what is wrong with it.
func malformed(detail string) *refusal {
	return &refusal{http.StatusBadRequest, api.ReasonInvalidRequest, detail}
}

var (
	errNotAllowed = &refusal{http.StatusForbidden, api.ReasonNotAllowed,
		"no rule of this server grants this token"}
	errCrossSite = &refusal{http.StatusForbidden, api.ReasonCrossSiteRequest,
		"pages of this origin may not ask for tokens"}
	errContentEncoding = &refusal{http.StatusUnsupportedMediaType, api.ReasonInvalidRequest,
		"the body must not be compressed"}
	errUnsigned = &refusal{http.StatusServiceUnavailable, api.ReasonCredentialUnavailable,
		"the token could not be signed"}
)

func errMethod(allow string) *refusal {
	return &refusal{http.StatusMethodNotAllowed, api.ReasonMethodNotAllowed, "this path takes " + allow}
}

func errMediaType(wanted string) *refusal {
	return &refusal{http.StatusUnsupportedMediaType, api.ReasonInvalidRequest, "the Content-Type must be " + wanted}
}

func errTooLarge(limit int64) *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, api.ReasonBodyTooLarge,
		"the request body is larger than " + strconv.FormatInt(limit, 10) + " bytes (max_body)"}
}

// answer is what a dialect answers.
type answer struct {
	contentType string
	body        []byte
}
