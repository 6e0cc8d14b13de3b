package connect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Where the CA is in Caddy's storage. Files have mode 0600 there.
const (
	certificateKey = "convoai/connect/ca.crt"
	privateKeyKey  = "convoai/connect/ca.key"

	lockName = "convoai_connect_ca"
)

// Storage is what is needed of Caddy's storage.
type Storage interface {
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

// The CA is made anew a while before it ends, so that it does not end in the middle
// of a day; a warning comes long before that.
const (
	caEnds  = 7 * 24 * time.Hour
	caWarns = 60 * 24 * time.Hour
)

// keptCA returns the CA in storage. Where there is none it makes one; several
// sidecars that share the storage get the same.
func keptCA(ctx context.Context, storage Storage, now func() time.Time, logger *zap.Logger) (*CA, error) {
	ca, err := loadCA(ctx, storage, now)
	if err == nil && !ca.ends(caEnds) {
		if ca.ends(caWarns) {
			logger.Warn("the CA for intercepted calls ends soon: there will be a new one, which clients have to trust", zap.Time("not_after", ca.certificate.NotAfter))
		}
		return ca, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errOfTwo) {
		return nil, err
	}
	if err := storage.Lock(ctx, lockName); err != nil {
		return nil, fmt.Errorf("locking Caddy's storage, where the CA is kept: %w", err)
	}
	defer func() {
		if err := storage.Unlock(context.WithoutCancel(ctx), lockName); err != nil {
			logger.Error("unlocking the storage", zap.Error(err))
		}
	}()
	switch ca, err := loadCA(ctx, storage, now); {
	case err == nil && !ca.ends(caEnds):
		return ca, nil // made meanwhile
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil:
		logger.Warn("the CA for intercepted calls has ended: clients have to trust the new one, see caddy convoai trust")
	}
	return storeCA(ctx, storage, now, logger)
}

func storeCA(ctx context.Context, storage Storage, now func() time.Time, logger *zap.Logger) (*CA, error) {
	ca, err := newCA(now)
	if err != nil {
		return nil, fmt.Errorf("making the CA: %w", err)
	}
	certificate, key, err := ca.encode()
	if err != nil {
		return nil, fmt.Errorf("making the CA: %w", err)
	}
	// Without the certificate, the key counts as absent.
	for _, one := range []struct {
		name  string
		value []byte
	}{{privateKeyKey, key}, {certificateKey, certificate}} {
		if err := storage.Store(ctx, one.name, one.value); err != nil {
			return nil, fmt.Errorf("keeping the CA in Caddy's storage: %w", err)
		}
	}
	logger.Info("made a CA for intercepted calls", zap.String("subject", ca.certificate.Subject.CommonName), zap.Time("not_after", ca.certificate.NotAfter))
	return ca, nil
}

// loadCA returns the CA in storage. Where there is none its error is
// [fs.ErrNotExist].
func loadCA(ctx context.Context, storage Storage, now func() time.Time) (*CA, error) {
	certificate, err := storage.Load(ctx, certificateKey)
	if err != nil {
		return nil, fmt.Errorf("the CA in Caddy's storage: %w", err)
	}
	key, err := storage.Load(ctx, privateKeyKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the CA in Caddy's storage has no key: remove %s to have a new one made, which clients have to trust", certificateKey)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the CA in Caddy's storage: %w", err)
	}
	ca, err := parseCA(certificate, key, now)
	if err != nil {
		return nil, fmt.Errorf("the CA in Caddy's storage (%s, %s) cannot be used: %w; remove both to have a new one made, which clients have to trust", certificateKey, privateKeyKey, err)
	}
	return ca, nil
}

// KeptCertificate returns the certificate of the CA in storage, for clients to
// trust. Where there is none its error is [fs.ErrNotExist].
func KeptCertificate(ctx context.Context, storage Storage) ([]byte, error) {
	text, err := storage.Load(ctx, certificateKey)
	if err != nil {
		return nil, err
	}
	if _, err := parseCertificate(text); err != nil {
		return nil, fmt.Errorf("%s: %w", certificateKey, err)
	}
	return text, nil
}

// ends reports whether c ends within d.
func (c *CA) ends(d time.Duration) bool { return !c.now().Add(d).Before(c.certificate.NotAfter) }

// MemoryCA returns the CA of this process, which is kept nowhere. It is made at the
// first call.
var MemoryCA = sync.OnceValues(func() (*CA, error) { return newCA(time.Now) })
