package api

import (
	"encoding/json"
	"net/http"
)

// Error is an error answer in the vendor's shape, {"detail":"…","reason":"…"}.
// Source: conversational-ai/rest-api/reference in AgoraIO/Docs-Source.
type Error struct {
	Status int    `json:"-"` // HTTP status
	Detail string `json:"detail"`
	Reason string `json:"reason"`
}

// Error implements error.
func (e *Error) Error() string { return e.Reason + ": " + e.Detail }

// Body returns the JSON body of e.
func (e *Error) Body() []byte {
	// Two strings always marshal.
	body, _ := json.Marshal(e)
	return body
}

// Write answers w with e.
func (e *Error) Write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Body())
}

// Reasons of the sidecar's own errors. They carry the header X-Convoai-Error
// beside the body.
const (
	ReasonInvalidRequestBody     = "InvalidRequestBody"
	ReasonCallerNotAuthorized    = "CallerNotAuthorized"
	ReasonProjectNotConfigured   = "ProjectNotConfigured"
	ReasonCrossSiteRequest       = "CrossSiteRequest"
	ReasonHostNotAllowed         = "HostNotAllowed"
	ReasonPeerNotAllowed         = "PeerNotAllowed"
	ReasonNotConvoAI             = "NotConvoAI"
	ReasonMethodNotAllowed       = "MethodNotAllowed"
	ReasonBodyTooLarge           = "BodyTooLarge"
	ReasonUpstreamUnreachable    = "UpstreamUnreachable"
	ReasonUpstreamConnectionLost = "UpstreamConnectionLost"
	ReasonCredentialUnavailable  = "CredentialUnavailable"
	ReasonUpstreamTimeout        = "UpstreamTimeout"
	ReasonLoopDetected           = "LoopDetected"

	// The forward proxy's own, beside some of these.
	ReasonTooManyTunnels = "TooManyTunnels"
	ReasonStopping       = "Stopping"

	// The token server's own; its ReasonInvalidRequest is also the vendor's.
	ReasonNotAllowed = "NotAllowed"
)

// Reasons that the vendor answers with, as far as the simulator uses them.
const (
	ReasonInvalidRequest             = "InvalidRequest"
	ReasonInvalidPermission          = "InvalidPermission"
	ReasonMissingRequiredField       = "MissingRequiredField"
	ReasonInvalidFieldValue          = "InvalidFieldValue"
	ReasonTaskConflict               = "TaskConflict"
	ReasonTaskNotFound               = "TaskNotFound"
	ReasonResourceQuotaLimitExceeded = "ResourceQuotaLimitExceeded"
	ReasonConcurrencyLimitExceeded   = "ConcurrencyLimitExceeded"
	ReasonServiceUnavailable         = "ServiceUnavailable"
	ReasonInternalError              = "InternalError"
	ReasonTaskOperationTimeout       = "TaskOperationTimeout"
)
