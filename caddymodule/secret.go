package caddymodule

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
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

	replaced func(previous *secretValue) // called when a file has brought another value; may be nil

	files  []string // of {file.*} placeholders in raw
	logger *zap.Logger
	now    func() time.Time

	value     atomic.Pointer[secretValue]
	checkedAt atomic.Int64 // Unix nanoseconds of the last look at the files
	bad       atomic.Bool  // the files' present content was refused, and that was said
}

// secretValue is one value of a secret. A new value is another secretValue, so
// that pointers tell them apart.
type secretValue struct {
	text     string
	identity [sha256.Size]byte // of text, to key by without holding it
	stamp    string            // of the files that it was read from
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
	value, err := s.read()
	if err != nil {
		return nil, err
	}
	s.value.Store(value)
	return s, nil
}

// load returns the present value. A file that has changed is read again, at most
// once per fileCheckInterval; what cannot be used is reported once and leaves
// the value as it is.
func (s *secret) load() *secretValue {
	current := s.value.Load()
	if len(s.files) == 0 {
		return current
	}
	now, last := s.now().UnixNano(), s.checkedAt.Load()
	if since := now - last; since >= 0 && since < int64(fileCheckInterval) || !s.checkedAt.CompareAndSwap(last, now) {
		return current
	}
	if s.stamp() == current.stamp {
		s.bad.Store(false)
		return current
	}
	value, err := s.read()
	if err != nil {
		if !s.bad.Swap(true) {
			s.logger.Error("a secret's file has changed but cannot be used: keeping the previous value", zap.Error(err))
		}
		return current
	}
	s.bad.Store(false)
	s.value.Store(value)
	if value.identity == current.identity {
		return value
	}
	if s.replaced != nil {
		s.replaced(current)
	}
	s.logger.Info("a secret's file has changed: using the new value", zap.String("subdirective", s.name))
	return value
}

// read evaluates the placeholders. The stamp is taken first, so that a change
// during the reading is seen the next time.
func (s *secret) read() (*secretValue, error) {
	stamp := s.stamp()
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
	return &secretValue{text: text, identity: sha256.Sum256([]byte(text)), stamp: stamp}, nil
}

// stamp identifies the content of the files without reading them. Stat follows
// symbolic links, which is how Kubernetes swaps mounted secrets.
func (s *secret) stamp() string {
	var b strings.Builder
	for _, name := range s.files {
		info, err := os.Stat(name)
		if err != nil {
			b.WriteString("?;")
			continue
		}
		fmt.Fprintf(&b, "%d %d %s;", info.ModTime().UnixNano(), info.Size(), fileID(info))
	}
	return b.String()
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
