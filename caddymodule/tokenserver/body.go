package tokenserver

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// mediaType returns the media type of a body in UTF-8, "" for any other.
func mediaType(h http.Header) string {
	values := h["Content-Type"]
	if len(values) != 1 {
		return ""
	}
	if values[0] == "application/json" {
		return values[0] // nearly always, and faster to see
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if charset, given := params["charset"]; err != nil || given && !strings.EqualFold(charset, "utf-8") {
		return ""
	}
	return kind
}

// readBody reads the whole body, of at most limit bytes.
func readBody(r *http.Request, limit int64) ([]byte, *refusal) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, errContentEncoding
	}
	if r.ContentLength > limit {
		return nil, errTooLarge(limit)
	}
	body, err := readAll(r, limit)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge(tooLarge.Limit)
	}
	if err != nil {
		return nil, malformed("the body did not come to its end")
	}
	if int64(len(body)) > limit {
		return nil, errTooLarge(limit)
	}
	return body, nil
}

func readAll(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	if r.ContentLength < 0 {
		return io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}
