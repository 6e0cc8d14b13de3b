package connect

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

// memory is a storage.
type memory struct {
	lock sync.Mutex

	mu      sync.Mutex // guards what follows
	values  map[string][]byte
	broken  string // the key that cannot be stored
	stored  int
	locking int
}

func (m *memory) Lock(context.Context, string) error {
	m.lock.Lock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locking++
	return nil
}

func (m *memory) Unlock(context.Context, string) error {
	m.lock.Unlock()
	return nil
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok := m.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Store(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key == m.broken {
		return errors.New("the disk is full")
	}
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.values[key] = value
	m.stored++
	return nil
}

func keep(t *testing.T, m *memory, now time.Time) *CA {
	t.Helper()
	ca, err := keptCA(t.Context(), m, func() time.Time { return now }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestCAIsKept(t *testing.T) {
	m, now := new(memory), time.Now()
	first := keep(t, m, now)
	if again := keep(t, m, now.Add(5*365*24*time.Hour)); !again.certificate.Equal(first.certificate) || !again.key.Equal(first.key) {
		t.Error("the CA is another one after a restart")
	}
	if m.stored != 2 || m.locking != 1 {
		t.Errorf("stored %d times, locked %d times", m.stored, m.locking)
	}
	text, err := KeptCertificate(t.Context(), m)
	if err != nil || !bytes.Equal(text, first.PEM()) || strings.Contains(string(text), "PRIVATE") {
		t.Errorf("the certificate to trust is another one: %v", err)
	}
	if _, err := KeptCertificate(t.Context(), new(memory)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an empty storage: %v", err)
	}
}

func TestSidecarsThatStartTogetherHaveOneCA(t *testing.T) {
	m := new(memory)
	cas := make([]*CA, 8)
	var starting sync.WaitGroup
	for i := range cas {
		starting.Go(func() { cas[i], _ = keptCA(t.Context(), m, time.Now, zap.NewNop()) })
	}
	starting.Wait()
	for _, ca := range cas {
		if ca == nil || !ca.certificate.Equal(cas[0].certificate) {
			t.Fatal("two sidecars have different CAs")
		}
	}
	if m.stored != 2 {
		t.Errorf("stored %d times", m.stored)
	}
}

func TestCAThatEndsIsReplaced(t *testing.T) {
	m, now := new(memory), time.Now()
	first := keep(t, m, now)
	if ca := keep(t, m, first.certificate.NotAfter.Add(-caEnds-time.Hour)); !ca.certificate.Equal(first.certificate) {
		t.Error("replaced too early")
	}
	later := first.certificate.NotAfter.Add(-caEnds)
	second := keep(t, m, later)
	if second.certificate.Equal(first.certificate) || !second.certificate.NotAfter.After(later.Add(caLifetime-time.Minute)) {
		t.Error("not replaced")
	}
}

// replacing is a storage in which another sidecar replaces the CA after the
// certificate was read, and before its key is.
type replacing struct {
	*memory
	replace func()
}

func (r *replacing) Load(ctx context.Context, key string) ([]byte, error) {
	if replace := r.replace; key == privateKeyKey && replace != nil {
		r.replace = nil
		replace()
	}
	return r.memory.Load(ctx, key)
}

func TestCAThatIsBeingReplacedIsReadAgain(t *testing.T) {
	m := new(memory)
	later := keep(t, m, time.Now()).certificate.NotAfter.Add(-caEnds)
	var second *CA
	storage := &replacing{m, func() { second = keep(t, m, later) }}
	ca, err := keptCA(t.Context(), storage, func() time.Time { return later }, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if !ca.certificate.Equal(second.certificate) || !ca.key.Equal(second.key) {
		t.Error("two sidecars have different CAs")
	}
}

// A CA that was lost in part is nothing to guess about: clients trust it.
func TestBrokenStorageIsSaid(t *testing.T) {
	whole := new(memory)
	keep(t, whole, time.Now())
	other := new(memory)
	keep(t, other, time.Now())
	for name, test := range map[string]struct {
		change func(map[string][]byte)
		says   string
	}{
		"no key":             {func(v map[string][]byte) { delete(v, privateKeyKey) }, "has no key"},
		"an empty key":       {func(v map[string][]byte) { v[privateKeyKey] = nil }, "not in PEM"},
		"the key of another": {func(v map[string][]byte) { v[privateKeyKey] = other.values[privateKeyKey] }, "do not belong together"},
		"half a certificate": {func(v map[string][]byte) { v[certificateKey] = v[certificateKey][:100] }, "not in PEM"},
	} {
		m := &memory{values: maps.Clone(whole.values)}
		test.change(m.values)
		_, err := keptCA(t.Context(), m, time.Now, zap.NewNop())
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "remove") {
			t.Errorf("%s: %v", name, err)
		}
		if m.stored != 0 {
			t.Errorf("%s: it was overwritten", name)
		}
	}
	// The key alone is what a crash has left: nobody trusts it yet.
	m := &memory{values: maps.Clone(whole.values)}
	delete(m.values, certificateKey)
	if _, err := keptCA(t.Context(), m, time.Now, zap.NewNop()); err != nil || m.stored != 2 {
		t.Errorf("of a key alone: %v, stored %d times", err, m.stored)
	}
	for _, key := range []string{certificateKey, privateKeyKey} {
		m := &memory{broken: key}
		if _, err := keptCA(t.Context(), m, time.Now, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("%s cannot be stored: %v", key, err)
		}
		if !m.lock.TryLock() {
			t.Error("the storage stays locked")
		}
	}
}
