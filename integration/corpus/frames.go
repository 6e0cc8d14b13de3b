package corpus

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sendFrames writes a case of HTTP/2. Its lines are frames:
//
//	HEADERS [end] [stream=N] [part]   the lines that follow are its fields, "name: value"
//	CONTINUATION [part]               more fields of the same block; part: it goes on
//	DATA [end] [stream=N] text
//	RST_STREAM stream=N
//	PRIORITY stream=N
//	WINDOW_UPDATE n [stream=N]
//	FRAME type flags stream hex       of any kind
//	BYTES text
//
// Streams are 1 unless said otherwise. Fields go as they are: nothing of them is
// checked here.
func (t *Target) sendFrames(conn net.Conn, c Case) ([]string, error) {
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, conn)
	framer.AllowIllegalWrites = true
	_ = framer.WriteSettings()
	opened, err := t.writeFrames(framer, &out, c)
	if err != nil {
		return nil, err
	}
	// The sidecar may answer before it has read everything.
	go func() { _, _ = conn.Write(out.Bytes()) }()
	return readFrames(framer, opened, strings.HasPrefix(c.Want[0], "goaway"))
}

func (t *Target) writeFrames(framer *http2.Framer, out *bytes.Buffer, c Case) (opened map[uint32]bool, err error) {
	words := strings.NewReplacer(Words(t.instance)...)
	opened = make(map[uint32]bool)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(c.Lines); i++ {
		kind, rest, _ := strings.Cut(string(bytes.TrimSuffix(Bytes(c.Lines[i], words), []byte("\r\n"))), " ")
		end, part, stream := false, false, uint32(1)
		for {
			word, after, _ := strings.Cut(rest, " ")
			if value, ok := strings.CutPrefix(word, "stream="); ok {
				n, err := strconv.ParseUint(value, 10, 32)
				if err != nil {
					return nil, err
				}
				stream = uint32(n)
			} else if word == "end" {
				end = true
			} else if word == "part" {
				part = true
			} else {
				break
			}
			rest = after
		}
		switch kind {
		case "HEADERS", "CONTINUATION":
			block.Reset()
			for i+1 < len(c.Lines) && isField(c.Lines[i+1]) {
				i++
				line := string(bytes.TrimSuffix(Bytes(c.Lines[i], words), []byte("\r\n")))
				name, value, _ := strings.Cut(line[1:], ": ")
				_ = encoder.WriteField(hpack.HeaderField{Name: line[:1] + name, Value: value})
			}
			if kind == "HEADERS" {
				opened[stream] = true
				err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: !part})
			} else {
				err = framer.WriteContinuation(stream, !part, block.Bytes())
			}
		case "DATA":
			err = framer.WriteData(stream, end, []byte(rest))
		case "RST_STREAM":
			err = framer.WriteRSTStream(stream, http2.ErrCodeCancel)
			delete(opened, stream)
		case "PRIORITY":
			err = framer.WritePriority(stream, http2.PriorityParam{StreamDep: 0, Weight: 15})
		case "WINDOW_UPDATE":
			var n uint64
			if n, err = strconv.ParseUint(rest, 10, 32); err == nil {
				err = framer.WriteWindowUpdate(stream, uint32(n))
			}
		case "FRAME":
			var frame, flags uint8
			var id uint32
			var payload string
			_, _ = fmt.Sscanf(rest, "%v %v %v %s", &frame, &flags, &id, &payload)
			var raw []byte
			if raw, err = hex.DecodeString(payload); err == nil {
				err = framer.WriteRawFrame(http2.FrameType(frame), http2.Flags(flags), id, raw)
			}
		case "BYTES":
			out.WriteString(rest)
		default:
			err = fmt.Errorf("%s is no frame", kind)
		}
		if err != nil {
			return nil, fmt.Errorf("case %q: %w", c.Name, err)
		}
	}
	return opened, nil
}

var frameKinds = []string{"HEADERS", "CONTINUATION", "DATA", "RST_STREAM", "PRIORITY", "WINDOW_UPDATE", "FRAME", "BYTES"}

// isField tells a field from a frame.
func isField(line string) bool {
	kind, _, _ := strings.Cut(line, " ")
	return !slices.Contains(frameKinds, kind)
}

// readFrames reads until all streams are answered or the connection is given up;
// with toEnd, which has to come, only then.
func readFrames(framer *http2.Framer, open map[uint32]bool, toEnd bool) ([]string, error) {
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	answers := make(map[uint32]string)
	list := func() (got []string) {
		for _, stream := range slices.Sorted(maps.Keys(answers)) {
			got = append(got, answers[stream])
		}
		return got
	}
	ended := func(stream uint32) { delete(open, stream) }
	for len(open) > 0 || toEnd {
		frame, err := framer.ReadFrame()
		if err != nil {
			if err == io.EOF || strings.Contains(err.Error(), "reset by peer") {
				return append(list(), "closed"), nil
			}
			return list(), err
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			h := make(http.Header)
			for _, f := range frame.RegularFields() {
				h.Add(f.Name, f.Value)
			}
			status, _ := strconv.Atoi(frame.PseudoValue("status"))
			if _, seen := answers[frame.StreamID]; !seen && status >= 200 {
				answers[frame.StreamID] = describe(status, h)
			}
			if frame.StreamEnded() {
				ended(frame.StreamID)
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				ended(frame.StreamID)
			}
		case *http2.RSTStreamFrame:
			if open[frame.StreamID] {
				// What was answered before counts.
				if _, seen := answers[frame.StreamID]; !seen {
					answers[frame.StreamID] = "reset " + frame.ErrCode.String()
				}
				ended(frame.StreamID)
			}
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				return []string{"goaway " + frame.ErrCode.String()}, nil // whatever was answered by then
			}
		}
	}
	return list(), nil
}
