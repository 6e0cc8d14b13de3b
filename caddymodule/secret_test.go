package caddymodule

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// testClock is a clock that tests set.
type testClock struct{ at atomic.Pointer[time.Time] }

func (c *testClock) now() time.Time          { return *c.at.Load() }
func (c *testClock) set(at time.Time)        { c.at.Store(&at) }
func (c *testClock) advance(d time.Duration) { c.set(c.now().Add(d)) }

func newTestClock() *testClock {
	c := new(testClock)
	c.set(time.Unix(1700000000, 0))
	return c
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

func TestSecretIsEvaluatedAndTrimmed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(" from a file \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONVOAI_TEST_SECRET", " from the environment\t")
	for _, test := range []struct{ raw, want string }{
		{"literal", "literal"},
		{" literal ", " literal"},
		{"{env.CONVOAI_TEST_SECRET}", " from the environment"},
		{"{file." + file + "}", " from a file"},
		{"a{env.CONVOAI_TEST_SECRET}b", "a from the environment\tb"},
	} {
		logger, logs := observed()
		accept := func(string) error { return nil }
		s, err := newSecret("customer_secret", test.raw, accept, logger, newTestClock().now)
		if err != nil || s.load().text != test.want {
			t.Errorf("%s: evaluated to something else: %v", test.raw, err)
			continue
		}
		if warned, literal := logs.Len() > 0, !strings.Contains(test.raw, "{"); warned != literal {
			t.Errorf("%s: warned %t", test.raw, warned)
		}
		for _, entry := range logs.All() {
			if entry.ContextMap()["subdirective"] != "customer_secret" || strings.Contains(entry.Message, "literal ") && strings.Contains(entry.Message, test.want+" is") {
				t.Errorf("warned with %q %v", entry.Message, entry.ContextMap())
			}
		}
	}
}

func TestSecretThatCannotBeHadNamesItsPlaceholder(t *testing.T) {
	t.Setenv("CONVOAI_TEST_EMPTY", " ")
	t.Setenv("CONVOAI_TEST_SECRET", "canary")
	for _, test := range []struct{ raw, want string }{
		{"{env.CONVOAI_TEST_UNSET}", "app_certificate: {env.CONVOAI_TEST_UNSET} is not set, empty or not readable"},
		{"{env.CONVOAI_TEST_EMPTY}", "app_certificate: {env.CONVOAI_TEST_EMPTY} is not set, empty or not readable"},
		{"{file./nonexistent/canary-free}", "app_certificate: {file./nonexistent/canary-free} is not set, empty or not readable"},
		{"{env.CONVOAI_TEST_SECRET}", "app_certificate must be 32 hexadecimal digits (it comes from {env.CONVOAI_TEST_SECRET})"},
		{"canary", "app_certificate must be 32 hexadecimal digits"},
		{"canary{", "app_certificate must be 32 hexadecimal digits"},
		{"canary{canary}canary", "app_certificate"},
	} {
		logger, _ := observed()
		_, err := newSecret("app_certificate", test.raw, func(v string) error { return checkID("app_certificate", v) }, logger, newTestClock().now)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.raw, err, test.want)
		} else if strings.Contains(strings.ReplaceAll(err.Error(), "canary-free", ""), "canary") {
			t.Errorf("%s: the error repeats a value", test.raw)
		}
	}
}

func TestSecretFollowsItsFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	clock := newTestClock()
	logger, logs := observed()
	bad := errors.New("refused")
	s, err := newSecret("caller_token", "{file."+file+"}", func(v string) error {
		if strings.HasPrefix(v, "bad") {
			return bad
		}
		return nil
	}, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	first := s.load()

	write("two")
	clock.advance(fileCheckInterval - 1)
	if s.load() != first {
		t.Error("the file was looked at within the interval")
	}
	clock.advance(1)
	second := s.load()
	if second.text != "two" || second.identity == first.identity {
		t.Fatal("the changed file was not read")
	}

	// A file that has become unusable, or has gone, is said once and changes
	// nothing.
	for i, content := range []string{"bad", "bad again", ""} {
		write(content)
		for range 3 {
			clock.advance(fileCheckInterval)
			if s.load() != second {
				t.Fatalf("content %d replaced the value", i)
			}
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	clock.advance(fileCheckInterval)
	if s.load() != second {
		t.Error("a removed file replaced the value")
	}
	if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
		t.Errorf("%d errors were logged, want 1", n)
	}

	write("three")
	clock.advance(fileCheckInterval)
	third := s.load()
	if third.text != "three" {
		t.Error("the file was not read once it was usable again")
	}
	// The same content in another file is the same secret.
	write("three\n")
	clock.advance(fileCheckInterval)
	if same := s.load(); same.identity != third.identity {
		t.Error("a line feed at the end changed the identity")
	}
	for _, entry := range logs.All() {
		for _, value := range []string{"one", "two", "three", "bad again"} {
			if strings.Contains(entry.Message, value) && value != "one" {
				t.Errorf("the log shows a value: %q", entry.Message)
			}
		}
	}
}

// What is read while it is being written is neither used nor complained of.
func TestSecretThatIsBeingWrittenIsReadLater(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeTestFile(t, file, "old")
	clock := newTestClock()
	logger, logs := observed()
	during := func() {}
	s, err := newSecret("caller_token", "{file."+file+"}", func(v string) error {
		during()
		if v == "ha" {
			return errors.New("half")
		}
		return nil
	}, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	for i, halves := range [][2]string{{"half", "half and whole"}, {"ha", "half"}} {
		before := s.load().text
		during = func() { writeTestFile(t, file, halves[1]) }
		writeTestFile(t, file, halves[0])
		clock.advance(fileCheckInterval)
		if got := s.load().text; got != before {
			t.Errorf("%d: half a file was used", i)
		}
		during = func() {}
		clock.advance(fileCheckInterval)
		if got := s.load().text; got != halves[1] {
			t.Errorf("%d: the whole file was not used", i)
		}
	}
	if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 0 {
		t.Errorf("%d errors were logged", n)
	}
}

// Only one caller at a time waits for the files.
func TestCallersDoNotWaitForAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeTestFile(t, file, "old")
	clock := newTestClock()
	logger, _ := observed()
	reading, finish := make(chan struct{}), make(chan struct{})
	first := true
	s, err := newSecret("caller_token", "{file."+file+"}", func(string) error {
		if !first {
			close(reading)
			<-finish
		}
		first = false
		return nil
	}, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, file, "newer")
	clock.advance(fileCheckInterval)
	loaded := make(chan string)
	go func() { loaded <- s.load().text }()
	<-reading
	clock.advance(10 * fileCheckInterval)
	for range 3 {
		if got := s.load().text; got != "old" {
			t.Errorf("%q while the file is read", got)
		}
	}
	close(finish)
	if got := <-loaded; got != "newer" {
		t.Errorf("%q when the file has been read", got)
	}
}

// Kubernetes swaps a symbolic link to a folder.
func TestSecretFollowsSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		// Same size and same time: only the file itself differs.
		file := filepath.Join(dir, version, "secret")
		if err := os.WriteFile(file, []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "current")
	point := func(to string) {
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	point("v1")
	clock := newTestClock()
	logger, _ := observed()
	s, err := newSecret("caller_token", "{file."+filepath.Join(link, "secret")+"}", func(string) error { return nil }, logger, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	point("v2")
	clock.advance(fileCheckInterval)
	if s.load().text != "v2" {
		t.Error("the link's new target was not read")
	}
}

func TestSecretTextIsPrintableASCII(t *testing.T) {
	check := checkSecretText("caller_token")
	for value, ok := range map[string]bool{
		"a": true, " ~": true, "a b:c": true, "": false, "a\nb": false, "a\rb": false, "a\x00": false, "\x7f": false, "é": false,
	} {
		if err := check(value); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// Braces are evaluated where they hold one of our placeholders. Other secrets
// may have braces, too.
func TestLiteralSecretMayHaveBraces(t *testing.T) {
	t.Setenv("CONVOAI_TEST_SECRET", "b{c}d")
	for _, test := range []struct {
		raw, want string
		literal   bool
	}{
		{"a{b}c", "a{b}c", true},
		{"{}", "{}", true},
		{"a{b", "a{b", true},
		{"{http.request.host}", "{http.request.host}", true},
		{"{system.hostname}", "{system.hostname}", true},
		{"a{b}{env.CONVOAI_TEST_SECRET}", "a{b}b{c}d", false},
		{"{env.CONVOAI_TEST_SECRET}", "b{c}d", false}, // once, not what comes of it
	} {
		logger, logs := observed()
		s, err := newSecret("customer_secret", test.raw, checkSecretText("customer_secret"), logger, newTestClock().now)
		if err != nil || s.load().text != test.want {
			t.Errorf("%s: evaluated to something else: %v", test.raw, err)
			continue
		}
		if warned := logs.FilterMessageSnippet("written literally").Len() == 1; warned != test.literal {
			t.Errorf("%s: warned of as a literal: %t", test.raw, warned)
		}
	}
}
