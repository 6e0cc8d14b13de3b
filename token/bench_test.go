package token

import (
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	vendor "github.com/AgoraIO-Community/go-tokenbuilder/accesstoken2"
	vendorrtc "github.com/AgoraIO-Community/go-tokenbuilder/rtctokenbuilder2"
	"github.com/klauspost/compress/zlib"
)

func mustSign(t testing.TB, tok *Token) string {
	t.Helper()
	s, err := tok.Sign(testCertificate)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	benchChannel = "room-1"
	benchAccount = "2882341273"
)

// BenchmarkMint mints RTC + RTM tokens, beside the vendor's builder and
// beside what a token cannot do without: three HMAC-SHA256 and one pooled
// deflate of the same payload at the same level.
//
// The floor goes through many payloads, as minting does, because a processor
// learns a single one by heart. The three alternate in batches of one run.
func BenchmarkMint(b *testing.B) {
	const batch = 256
	var payloads [batch][]byte
	var tokens [batch]*Token
	for i := range payloads {
		t, err := NewConvoAI(testAppID, benchChannel, benchAccount, MaxExpire, 0)
		if err != nil {
			b.Fatal(err)
		}
		tokens[i], payloads[i] = t, payload(b, mustSign(b, t))
	}
	s := signers.New().(*signer)
	floor := func(i int) {
		content := payloads[i]
		s.packed = append(s.room(), content[signatureHead:]...)
		s.sign(tokens[i].IssuedAt, tokens[i].Salt, testCertificate)
		s.deflate(content)
	}
	ours := func(int) {
		if _, err := BuildConvoAIToken(testAppID, testCertificate, benchChannel, benchAccount, MaxExpire, 0); err != nil {
			b.Fatal(err)
		}
	}
	theirs := func(int) {
		if _, err := vendorrtc.BuildTokenWithRtm(testAppID, testCertificate, benchChannel, benchAccount, vendorrtc.RolePublisher, MaxExpire, MaxExpire); err != nil {
			b.Fatal(err)
		}
	}
	var inFloor, inOurs, inTheirs usage
	rounds := 0
	for b.Loop() {
		inFloor.add(batch, floor)
		inOurs.add(batch, ours)
		inTheirs.add(batch/4, theirs)
		rounds++
	}
	n := float64(rounds * batch)
	b.ReportMetric(0, "ns/op") // of a round of all three: says nothing
	b.ReportMetric(inFloor.ns()/n, "floor-ns/token")
	b.ReportMetric(inOurs.ns()/n, "ns/token")
	b.ReportMetric(inOurs.ns()/inFloor.ns(), "x-floor")
	b.ReportMetric(inTheirs.ns()/n*4, "vendor-ns/token")
	b.ReportMetric(inOurs.bytes()/n, "B/token")
	b.ReportMetric(inTheirs.bytes()/n*4, "vendor-B/token")
}

// BenchmarkParse parses and verifies, beside the vendor's parse, which does
// not verify.
func BenchmarkParse(b *testing.B) {
	for _, v := range readVectors(b) {
		if v.Name != "convoai_default" && v.Name != "007-36" {
			continue
		}
		b.Run(v.Name, func(b *testing.B) {
			const batch = 4096
			ours := func(int) {
				t, err := Parse(v.Token)
				if err == nil {
					err = t.Verify(v.AppCertificate)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			theirs := func(int) {
				t := vendor.CreateAccessToken()
				if ok, err := t.Parse(v.Token); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
			var inOurs, inTheirs usage
			rounds := 0
			for b.Loop() {
				inOurs.add(batch, ours)
				inTheirs.add(batch, theirs)
				rounds++
			}
			n := float64(rounds * batch)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(inOurs.ns()/n, "ns/token")
			b.ReportMetric(inTheirs.ns()/n, "vendor-ns/token")
			b.ReportMetric(inTheirs.ns()/inOurs.ns(), "x-faster")
			b.ReportMetric(testing.AllocsPerRun(100, func() { ours(0) }), "allocs/token")
		})
	}
}

// A usage sums up time and memory.
type usage struct {
	time      time.Duration
	allocated uint64
}

// add runs f n times. It starts from a clean heap with warm pools, so that
// nobody pays for another's garbage.
func (u *usage) add(n int, f func(i int)) {
	runtime.GC()
	f(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	for i := range n {
		f(i)
	}
	u.time += time.Since(start)
	runtime.ReadMemStats(&after)
	u.allocated += after.TotalAlloc - before.TotalAlloc
}

func (u *usage) ns() float64    { return float64(u.time.Nanoseconds()) }
func (u *usage) bytes() float64 { return float64(u.allocated) }

// BenchmarkDeflateLevels is what deflateLevel was chosen by.
func BenchmarkDeflateLevels(b *testing.B) {
	t, err := NewConvoAI(testAppID, benchChannel, benchAccount, MaxExpire, 0)
	if err != nil {
		b.Fatal(err)
	}
	content := payload(b, mustSign(b, t))
	for _, level := range []int{zlib.HuffmanOnly, zlib.NoCompression, 1, 2, 3, 4, 5, 6, 9} {
		b.Run(fmt.Sprint(level), func(b *testing.B) {
			w, err := zlib.NewWriterLevel(io.Discard, level)
			if err != nil {
				b.Fatal(err)
			}
			d := newDeflater()
			d.writer = w
			var size int
			for b.Loop() {
				size = base64.StdEncoding.EncodedLen(len(d.deflate(content)))
			}
			b.ReportMetric(float64(len(Version)+size), "chars/token")
		})
	}
}
