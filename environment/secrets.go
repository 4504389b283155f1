package environment

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// dataKeySize is that of AES-256.
const dataKeySize = 32

// Key protects the data key of a registry, under which passwords are encrypted. The keys
// of this package are PasswordKey, IdentityKey and FileKey; one that wraps by a key
// management service is as easily made.
//
// Implementations are safe for concurrent use.
type Key interface {
	// ID tells keys apart. It is stored in the clear.
	ID() string
	// Wrap encrypts and authenticates a data key of 32 bytes.
	Wrap(dataKey []byte) ([]byte, error)
	// Unwrap undoes Wrap. The error wraps trustkeep.ErrIncorrectPassword if the key
	// is another or the data was changed.
	Unwrap(wrapped []byte) ([]byte, error)
}

// vaultRecord holds the data key, wrapped by each of the keys that open it.
type vaultRecord struct {
	stamp
	Keys []wrappedKey `json:"keys"`
}

type wrappedKey struct {
	ID      string `json:"id"`
	Wrapped []byte `json:"wrapped"`
}

func newVaultRecord() *vaultRecord { return new(vaultRecord) }

func (v *vaultRecord) find(id string) int {
	return slices.IndexFunc(v.Keys, func(k wrappedKey) bool { return k.ID == id })
}

// vault encrypts passwords under the data key.
type vault struct {
	aead cipher.AEAD
	mac  func() hash.Hash // of tags; its key is where package fmt does not print it
	rand io.Reader
}

// openVault unwraps the data key, or makes one in a storage that has none.
func (r *Registry) openVault(ctx context.Context, key Key) (*vault, error) {
	dataKey, err := r.dataKey(ctx, key)
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	return newVault(dataKey, r.o.Rand)
}

func (r *Registry) dataKey(ctx context.Context, key Key) ([]byte, error) {
	var dataKey []byte
	err := change(ctx, r, secretsKey, newVaultRecord, func(d *vaultRecord, exists bool) (err error) {
		if i := d.find(key.ID()); i >= 0 {
			dataKey, err = key.Unwrap(d.Keys[i].Wrapped)
			if err == nil && len(dataKey) != dataKeySize {
				err = fmt.Errorf("data key of %d bytes: %w", len(dataKey), trustkeep.ErrCorrupt)
			}
			if err != nil {
				return err
			}
			return errSame
		}
		if exists {
			return &trustkeep.Error{Op: "open secrets", Err: trustkeep.ErrIncorrectPassword, Hint: "this key is none of those that were added to the registry"}
		}
		dataKey = make([]byte, dataKeySize)
		if _, err := io.ReadFull(r.rand(), dataKey); err != nil {
			return err
		}
		wrapped, err := key.Wrap(dataKey)
		d.Keys = []wrappedKey{{key.ID(), wrapped}}
		return err
	})
	return dataKey, err
}

func (r *Registry) rand() io.Reader {
	if r.o.Rand != nil {
		return r.o.Rand
	}
	return rand.Reader
}

func newVault(dataKey []byte, random io.Reader) (*vault, error) {
	if random == nil {
		random = rand.Reader
	}
	block, err := aes.NewCipher(dataKey)
	if err != nil {
		return nil, err
	}
	v := &vault{rand: random}
	if v.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, dataKey, nil, "trustkeep password tag", 32)
	v.mac = func() hash.Hash { return hmac.New(sha256.New, key) }
	return v, err
}

// AddKey lets another key open the registry's passwords too: each program can have one
// of its own. One of the same ID is replaced.
func (r *Registry) AddKey(ctx context.Context, key Key) error {
	if r.secrets == nil {
		return failure("add key", "", errNoKey)
	}
	dataKey, err := r.dataKey(ctx, r.o.Key)
	if err != nil {
		return failure("add key", "", err)
	}
	defer clear(dataKey)
	wrapped, err := key.Wrap(dataKey)
	if err != nil {
		return failure("add key", "", err)
	}
	err = change(ctx, r, secretsKey, newVaultRecord, func(d *vaultRecord, _ bool) error {
		if i := d.find(key.ID()); i >= 0 {
			d.Keys[i].Wrapped = wrapped
		} else {
			d.Keys = append(d.Keys, wrappedKey{key.ID(), wrapped})
		}
		return nil
	})
	if err == nil {
		r.tell(ctx, Event{Action: "key added", Object: trustkeep.Printable(key.ID())})
	}
	return failure("add key", "", err)
}

// RemoveKey ends a key's access to passwords that are read from then on. The last key
// cannot be removed: trustkeep.ErrInUse. An unknown ID is trustkeep.ErrNotFound.
//
// Who had the key may have kept the data key; change the passwords of components where
// that matters.
func (r *Registry) RemoveKey(ctx context.Context, id string) error {
	err := change(ctx, r, secretsKey, newVaultRecord, func(d *vaultRecord, _ bool) error {
		i := d.find(id)
		if i < 0 {
			return trustkeep.ErrNotFound
		}
		if len(d.Keys) == 1 {
			return fmt.Errorf("the only key: %w", trustkeep.ErrInUse)
		}
		d.Keys = slices.Delete(d.Keys, i, i+1)
		return nil
	})
	if err == nil {
		r.tell(ctx, Event{Action: "key removed", Object: trustkeep.Printable(id)})
	}
	return failure("remove key", id, err)
}

var errNoKey = &trustkeep.Error{Op: "secrets", Err: trustkeep.ErrUnsupported, Hint: "open the registry with a Key to keep passwords"}

// secret is a password at rest: encrypted, or the name of where it is.
type secret struct {
	Sealed    []byte `json:"sealed,omitempty"`
	Reference string `json:"reference,omitempty"`
	// Tag is the same for the same password of the same component, and tells
	// nothing else to whoever lacks the data key.
	Tag string `json:"tag,omitempty"`
}

func (v *vault) seal(id string, password []byte) (*secret, error) {
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(password)+v.aead.Overhead())
	if _, err := io.ReadFull(v.rand, nonce); err != nil {
		return nil, err
	}
	return &secret{Sealed: v.aead.Seal(nonce, nonce, password, []byte(id)), Tag: v.tag(id, password)}, nil
}

func (v *vault) open(id string, s *secret) ([]byte, error) {
	n := v.aead.NonceSize()
	if len(s.Sealed) < n {
		return nil, fmt.Errorf("encrypted password: %w", trustkeep.ErrCorrupt)
	}
	password, err := v.aead.Open(nil, s.Sealed[:n], s.Sealed[n:], []byte(id))
	if err != nil {
		// Under the right data key, so it was changed or is another component's.
		return nil, fmt.Errorf("encrypted password: %w", trustkeep.ErrCorrupt)
	}
	return password, nil
}

func (v *vault) tag(id string, password []byte) string {
	mac := v.mac()
	mac.Write([]byte(id))
	mac.Write([]byte{0})
	mac.Write(password)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
