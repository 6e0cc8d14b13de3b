package token

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// maxPooled is the size in bytes above which buffers are not kept for reuse.
const maxPooled = 64 << 10

// deflateLevel is the first level that gives the shortest tokens: 183
// characters for RTC + RTM, against 223 at levels 0 to 2, which store, and 187
// from the vendor's code. Higher levels gain nothing and 7 to 9 take several
// times as long (BenchmarkDeflateLevels).
const deflateLevel = 4

type deflater struct {
	writer *zlib.Writer
	buffer *bytes.Buffer
}

func newDeflater() deflater {
	w, err := zlib.NewWriterLevel(io.Discard, deflateLevel)
	if err != nil {
		panic("token: " + err.Error()) // only for a level that does not exist
	}
	return deflater{writer: w, buffer: new(bytes.Buffer)}
}

// deflate returns the zlib form of content; it is valid until the next call.
func (d *deflater) deflate(content []byte) []byte {
	d.buffer.Reset()
	d.writer.Reset(d.buffer)
	// A bytes.Buffer takes everything, so neither call can fail.
	d.writer.Write(content)
	d.writer.Close()
	return d.buffer.Bytes()
}

// An inflater turns zlib data back, with a limit.
type inflater struct {
	source  bytes.Reader
	reader  io.ReadCloser
	decoded []byte // base64 decoded
	content []byte
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

func (f *inflater) release() {
	if cap(f.decoded)+cap(f.content) <= maxPooled {
		inflaters.Put(f)
	}
}

var (
	errInflatedSize = errors.New("content larger than a token's can be")
	errTrailing     = errors.New("data behind the compressed content")
)

// inflate returns the content of data in zlib form, at most limit bytes; it is
// valid until the next call.
func (f *inflater) inflate(data []byte, limit int) ([]byte, error) {
	f.source.Reset(data)
	if f.reader == nil {
		r, err := zlib.NewReader(&f.source)
		if err != nil {
			return nil, err
		}
		f.reader = r
	} else if err := f.reader.(zlib.Resetter).Reset(&f.source, nil); err != nil {
		return nil, err
	}
	f.content = f.content[:0]
	for {
		if len(f.content) == cap(f.content) {
			f.content = slices.Grow(f.content, max(len(f.content), 512))
		}
		n, err := f.reader.Read(f.content[len(f.content):cap(f.content)])
		f.content = f.content[:len(f.content)+n]
		switch {
		case len(f.content) > limit:
			return nil, errInflatedSize
		case err == io.EOF && f.source.Len() > 0:
			return nil, errTrailing
		case err == io.EOF:
			return f.content, nil
		case err != nil:
			return nil, err
		}
	}
}
