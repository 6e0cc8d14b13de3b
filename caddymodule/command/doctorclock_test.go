package command

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// dated is an answer's header.
func dated(at time.Time) http.Header {
	return http.Header{"Date": {at.UTC().Format(http.TimeFormat)}}
}

// The difference that is certain decides: a Date stands for a whole second, and the
// answer may have been made at any time between the request and its arrival.
func TestClockIsJudgedByWhatIsCertain(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name  string
		ahead time.Duration // of the Date before the request
		took  time.Duration
		want  string
	}{
		{"equal", 0, 0, "ok : this host's clock agrees with that of host"},
		{"5 s and a bit in a slow answer", 5 * time.Second, 2 * time.Second, "ok : this host's clock agrees with that of host"},
		{"5 s", 5 * time.Second, 0, "ok : this host's clock agrees with that of host"},
		{"6 s", 6 * time.Second, 0, "warning host: this host's clock is 7 seconds behind that of host"},
		{"6 s back, within the second", -6 * time.Second, 0, "ok : this host's clock agrees with that of host"},
		{"7 s back", -7 * time.Second, 0, "warning host: this host's clock is 7 seconds ahead of that of host"},
		{"30 s", 30 * time.Second, 0, "warning host: this host's clock is 31 seconds behind that of host"},
		{"31 s", 31 * time.Second, 0, "failed host: this host's clock is 32 seconds behind that of host"},
		{"31 s, perhaps", 31 * time.Second, 1500 * ms, "warning host: this host's clock is 31 seconds behind that of host"},
		{"31 s back, perhaps", -31 * time.Second, 0, "warning host: this host's clock is 31 seconds ahead of that of host"},
		{"32 s back", -32 * time.Second, 0, "failed host: this host's clock is 32 seconds ahead of that of host"},
		{"10 min", 10 * time.Minute, 0, "failed host: this host's clock is 10 minutes 1 second behind that of host"},
		{"an hour", time.Hour, 0, "failed host: this host's clock is 1 hour behind that of host"},
	} {
		t.Run(test.name, func(t *testing.T) {
			reading, err := readClock("host", dated(testNow.Add(test.ahead)), testNow, testNow.Add(test.took))
			if err != nil {
				t.Fatal(err)
			}
			d := newTestDiagnosis(t, doctorFlags{}, nil)
			d.in(sectionClock)
			d.clock = reading
			d.reportClock()
			wantLines(t, d, sectionClock, test.want)
			far := strings.Contains(remedies(d), "more than the 10 minutes")
			if beyond := test.ahead.Abs() > 10*time.Minute; far != beyond {
				t.Errorf("too far to be corrected for: %t\n%s", far, remedies(d))
			}
			if corrected := reading.datesTokens(); corrected != (strings.HasPrefix(test.want, "failed") && !far) {
				t.Errorf("the sidecar corrects for it: %t", corrected)
			}
		})
	}
}

func TestClockThatCannotBeRead(t *testing.T) {
	for name, header := range map[string]http.Header{"no Date": {}, "no date in Date": {"Date": {"yesterday"}}} {
		if reading, err := readClock("host", header, testNow, testNow); err == nil {
			t.Errorf("%s: %+v", name, reading)
		}
	}
	if reading, err := readClock("host", dated(testNow), testNow, testNow.Add(-time.Second)); err == nil {
		t.Errorf("put back meanwhile: %+v", reading)
	}
	if (*clockReading)(nil).datesTokens() {
		t.Error("a clock that is not known corrects for something")
	}
}

// One that does not say what time it is has the next one asked.
func TestClockOfTheNextUpstream(t *testing.T) {
	mute, right := saying(t, 404, http.Header{"Date": nil}, ""), saying(t, 404, nil, "")
	d := tested(t, []string{mute, right}, "", false)
	d.checkClock(t.Context())
	wantLines(t, d, sectionClock, "ok : this host's clock agrees with that of "+strings.TrimPrefix(right, "http://"))

	d = tested(t, []string{mute}, "", false)
	d.checkClock(t.Context())
	wantLines(t, d, sectionClock, "warning network: not compared with the upstream's: "+strings.TrimPrefix(mute, "http://")+": the answer has no Date")
}
