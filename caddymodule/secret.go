package caddymodule

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// secret is a configured value that must never be shown: a literal, or text
// with placeholders. Where these name files, it follows the files.
type secret struct {
	name  string // its subdirective, for messages
	raw   string // as configured
	check func(string) error

	files    []string    // of {file.*} placeholders in raw
	reloaded func(error) // counts changes of the files; may be nil
	logger   *zap.Logger
	now      func() time.Time

	value     atomic.Pointer[secretValue]
	checkedAt atomic.Int64 // Unix nanoseconds of the last look at the files
	bad       atomic.Bool  // the content that is there now was refused, and that was said; written under mu

	taken, failed atomic.Pointer[reload] // the last time that a changed file was taken over, and that it could not be

	mu    sync.Mutex // held by the one that looks at the files; guards what follows
	stamp stamp      // of the content that was read last
}

// secretValue is one value of a secret. A new value is another secretValue, so
// that pointers tell them apart.
type secretValue struct {
	text     string
	identity [sha256.Size]byte // of text, to key by without holding it
}

// reload is what has come of a file that has changed.
type reload struct {
	at  time.Time
	err error // names the subdirective, never the value
}

// fileCheckInterval is how often the files of a secret are looked at, at most.
// A replaced file takes effect with the first call after it.
const fileCheckInterval = time.Second

var filePlaceholder = regexp.MustCompile(`\{file\.([^{}]+)\}`)

// newSecret evaluates raw. Its error names the subdirective and the
// placeholders, never the value.
func newSecret(name, raw string, check func(string) error, logger *zap.Logger, now func() time.Time) (*secret, error) {
	s := &secret{name: name, raw: raw, check: check, logger: logger, now: now}
	for _, match := range filePlaceholder.FindAllStringSubmatch(raw, -1) {
		s.files = append(s.files, match[1])
	}
	if !hasPlaceholder(raw) {
		logger.Warn("a secret is written literally and so becomes part of Caddy's configuration; use {env.*} or {file.*}",
			zap.String("subdirective", name))
	}
	s.checkedAt.Store(now().UnixNano())
	s.stamp = s.look() // before the reading, so that a change during it is seen the next time
	value, err := s.read()
	if err != nil {
		return nil, err
	}
	s.value.Store(value)
	return s, nil
}

// load returns the present value, or nil where s is nil. A file that has changed
// is read again, at most once per fileCheckInterval; what cannot be used is
// reported once and leaves the value as it is. Only one caller at a time waits for
// the files: the others have the present value meanwhile.
func (s *secret) load() *secretValue {
	if s == nil {
		return nil
	}
	if len(s.files) == 0 {
		return s.value.Load()
	}
	now, last := s.now(), s.checkedAt.Load()
	since := now.UnixNano() - last
	if since >= 0 && since < int64(fileCheckInterval) || !s.mu.TryLock() {
		return s.value.Load()
	}
	defer s.mu.Unlock()
	if s.checkedAt.CompareAndSwap(last, now.UnixNano()) {
		s.follow(now)
	}
	return s.value.Load()
}

// present returns the present value without a look at the files, or nil where s
// is nil.
func (s *secret) present() *secretValue {
	if s == nil {
		return nil
	}
	return s.value.Load()
}

// follow reads the files again if they have changed. It is called with s.mu held.
func (s *secret) follow(now time.Time) {
	before := s.look()
	if before == s.stamp && !before.recent(now) {
		return
	}
	value, err := s.read()
	if s.look() != before {
		return // they are being written: the next look will see what comes of it
	}
	s.stamp = before
	if err != nil {
		s.report(err, now)
		return
	}
	mended := s.bad.Swap(false)
	if value.identity == s.value.Load().identity {
		if mended {
			s.logger.Info("a secret's file can be used again: the value is what it was", zap.String("subdirective", s.name))
		}
		return
	}
	s.value.Store(value)
	s.taken.Store(&reload{at: now})
	s.count(nil)
	s.logger.Info("a secret's file has changed: using the new value", zap.String("subdirective", s.name))
}

// report says once that the files have something in them that cannot be used.
func (s *secret) report(err error, now time.Time) {
	if s.bad.Swap(true) {
		return
	}
	s.failed.Store(&reload{now, err})
	s.count(err)
	s.logger.Error("a secret's file has changed but cannot be used: keeping the previous value",
		zap.String("subdirective", s.name), zap.Error(err))
}

func (s *secret) count(err error) {
	if s.reloaded != nil {
		s.reloaded(err)
	}
}

// read evaluates the placeholders.
func (s *secret) read() (*secretValue, error) {
	text, err := replace(s.name, s.raw)
	if err != nil {
		return nil, err
	}
	if err := s.check(text); err != nil {
		if hasPlaceholder(s.raw) {
			return nil, fmt.Errorf("%w (it comes from %s)", err, placeholders(s.raw))
		}
		return nil, err
	}
	return &secretValue{text: text, identity: sha256.Sum256([]byte(text))}, nil
}

// stamp identifies the content of files without reading them.
type stamp struct {
	files   string    // size, time and identity of each
	changed time.Time // the latest of their times
}

// stampResolution is how coarse the times of files may be. A file that has been
// rewritten twice within it may look as if it had been once.
const stampResolution = 2 * time.Second

// recent reports whether files may have changed again since, without the stamp
// showing it.
func (s stamp) recent(now time.Time) bool {
	return now.Sub(s.changed).Abs() <= stampResolution
}

// look returns the stamp of the files. Stat follows symbolic links, which is how Kubernetes
// swaps mounted secrets.
func (s *secret) look() stamp {
	var b strings.Builder
	var made stamp
	for _, name := range s.files {
		info, err := os.Stat(name)
		if err != nil {
			b.WriteString("?;")
			continue
		}
		fmt.Fprintf(&b, "%d %d %s;", info.ModTime().UnixNano(), info.Size(), fileID(info))
		if info.ModTime().After(made.changed) {
			made.changed = info.ModTime()
		}
	}
	made.files = b.String()
	return made
}

// trimEnd removes the white space that files and shells leave at the end.
func trimEnd(s string) string { return strings.TrimRight(s, " \t\r\n") }

// replace evaluates the placeholders of a subdirective's value and trims its end.
func replace(name, raw string) (string, error) {
	replacer := caddy.NewReplacer()
	ok := true
	text := trimEnd(placeholder.ReplaceAllStringFunc(raw, func(one string) string {
		value, err := replacer.ReplaceOrErr(one, true, true)
		ok = ok && err == nil
		return value
	}))
	if hasPlaceholder(raw) && (!ok || text == "") {
		return "", fmt.Errorf("%s: %s is not set, empty or not readable", name, placeholders(raw))
	}
	return text, nil
}

// placeholder matches what is evaluated in a value. Other braces belong to the
// value, which may be a secret that has braces in it.
var placeholder = regexp.MustCompile(`\{(env|file)\.[^{}]+\}`)

// hasPlaceholder reports whether the value is known only when it is replaced.
func hasPlaceholder(s string) bool { return placeholder.MatchString(s) }

// placeholders names the placeholders of raw, and nothing else of it.
func placeholders(raw string) string { return strings.Join(placeholder.FindAllString(raw, -1), " ") }

// checkSecretText accepts what can stand in a header: printable ASCII.
func checkSecretText(name string) func(string) error {
	return func(value string) error {
		if value == "" {
			return fmt.Errorf("%s must not be empty", name)
		}
		for i := range len(value) {
			if value[i] < 0x20 || value[i] > 0x7e {
				return fmt.Errorf("%s must consist of printable ASCII characters", name)
			}
		}
		return nil
	}
}
