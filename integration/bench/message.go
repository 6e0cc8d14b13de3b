package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The project of the vendor's published test vectors.
const (
	appID          = "970CA35de60c44645bbae8a215061b33"
	appCertificate = "5CFd2fd1755d40ecb72977518be15d3b"
)

// authorization is what the peers send, about as long as a token for a join.
var authorization = "agora token=" + strings.Repeat("x", 240)

// answerBody is what the upstream answers to every request.
const answerBody = `{"agent_id":"1NT29X10YHxxxxxWJOXLYHNYB","create_ts":1737111452,"status":"RUNNING"}`

// joinRequest is a join of an app in a channel, with a body of a size. It has a
// token in the body, or lacks one, and has an Authorization header if there is
// nobody to add it.
func joinRequest(app, channel string, size int, token string, authorized bool) []byte {
	body := `{"name":"agent","properties":{"channel":"` + channel + `","token":"` + token +
		`","agent_rtc_uid":"1001","remote_rtc_uids":["1002"],"llm":{"system_messages":[{"content":"`
	const end = `"}]}}}`
	body += strings.Repeat("x", max(0, size-len(body)-len(end))) + end
	header := ""
	if authorized {
		header = "Authorization: " + authorization + "\r\n"
	}
	return fmt.Appendf(nil, "POST /v2/projects/%s/join HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n"+
		"Accept: */*\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", app, header, len(body), body)
}

var (
	errHeadTooLong = errors.New("a message's head is too long")
	errNoLength    = errors.New("a message has no Content-Length")

	endOfHead     = []byte("\r\n\r\n")
	contentLength = []byte("content-length:")
)

// cutHead splits what came of a message after its head, and says how long the
// body will be. It is not complete while the head is not.
func cutHead(data []byte) (head, rest []byte, length int, complete bool, err error) {
	end := bytes.Index(data, endOfHead)
	if end < 0 {
		return nil, nil, 0, false, nil
	}
	head, rest = data[:end+2], data[end+len(endOfHead):]
	length, err = lengthIn(head)
	return head, rest, length, true, err
}

// lengthIn finds the Content-Length in a head. It allocates nothing.
func lengthIn(head []byte) (int, error) {
	for len(head) > 0 {
		line := head
		if end := bytes.IndexByte(head, '\n'); end >= 0 {
			line, head = head[:end], head[end+1:]
		} else {
			head = nil
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			// The conversion of a short byte slice for a call stays on the stack.
			return strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):])))
		}
	}
	return 0, errNoLength
}
