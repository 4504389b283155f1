package environment

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/given"
)

// dataKeySize is that of AES-256.
const dataKeySize = 32

// Sealer protects the data key of a registry, under which passwords are encrypted. Use
// PasswordSealer, IdentitySealer or FileSealer, or write one that wraps with a key management
// service.
//
// Implementations are safe for concurrent use.
type Sealer interface {
	// ID tells sealers apart. It is stored in the clear. An empty ID means unavailable;
	// Wrap then returns the reason.
	ID() string
	// Wrap encrypts and authenticates a data key of 32 bytes.
	Wrap(dataKey []byte) ([]byte, error)
	// Unwrap reverses Wrap. The error wraps trustkeep.ErrIncorrectPassword if the key
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
	aead *fips.GCM
	mac  func() hash.Hash // of tags; its key is where package fmt does not print it
}

// openVault unwraps the data key, or makes one in a storage that has none.
func (r *Registry) openVault(ctx context.Context, key Sealer) (*vault, error) {
	dataKey, err := r.dataKey(ctx, key)
	if errors.Is(err, trustkeep.ErrNotFound) {
		switch sealed, e := r.isSealed(ctx); {
		case e != nil:
			return nil, e
		case sealed && r.o.OpeningKey == nil:
			return nil, &trustkeep.Error{Op: "open secrets", Err: trustkeep.ErrUnsupported, Hint: "the registry is sealed: set Options.OpeningKey instead of Sealer"}
		case sealed:
			return nil, nil
		}
		dataKey, err = r.newDataKey(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	return newVault(dataKey, r.o.Rand)
}

// dataKey unwraps the data key; trustkeep.ErrNotFound in a storage that has none.
func (r *Registry) dataKey(ctx context.Context, key Sealer) ([]byte, error) {
	id, err := idOf(key)
	if err != nil {
		return nil, err
	}
	d := new(vaultRecord)
	revision, err := r.get(ctx, secretsKey, d)
	if err != nil {
		return nil, err
	}
	if revision == 0 {
		return nil, missing(secretsKey)
	}
	return d.unwrap(id, key)
}

// dataKey unwraps the data key in the record.
func (v *vaultRecord) dataKey(key Sealer) ([]byte, error) {
	id, err := idOf(key)
	if err != nil {
		return nil, err
	}
	return v.unwrap(id, key)
}

func (v *vaultRecord) unwrap(id string, key Sealer) ([]byte, error) {
	i := v.find(id)
	if i < 0 {
		return nil, &trustkeep.Error{Op: "open secrets", Err: trustkeep.ErrIncorrectPassword, Hint: "this key is none of those that were added to the registry"}
	}
	dataKey, err := key.Unwrap(v.Keys[i].Wrapped)
	if err == nil && len(dataKey) != dataKeySize {
		err = fmt.Errorf("data key of %d bytes: %w", len(dataKey), trustkeep.ErrCorrupt)
	}
	return dataKey, err
}

// newDataKey makes the data key of a storage, or unwraps the one that somebody else was
// faster to make. Where passwords are kept under one that is lost, a new one would hide
// that.
func (r *Registry) newDataKey(ctx context.Context, key Sealer) ([]byte, error) {
	id, err := idOf(key)
	if err != nil {
		return nil, err
	}
	v, err := r.listOf(ctx, componentsPrefix)
	if err != nil {
		return nil, err
	}
	for id, h := range sortedBy(v.components) {
		for _, s := range h.record.Secrets {
			if len(s.Sealed) > 0 {
				return nil, fmt.Errorf("the password of component %s is kept, and the record %q is gone: %w", id, secretsKey, trustkeep.ErrCorrupt)
			}
		}
	}
	dataKey := make([]byte, dataKeySize)
	if _, err := io.ReadFull(r.rand(), dataKey); err != nil {
		return nil, err
	}
	wrapped, err := key.Wrap(dataKey)
	if err != nil {
		return nil, err
	}
	_, err = r.put(ctx, secretsKey, &vaultRecord{Keys: []wrappedKey{{id, wrapped}}}, 0)
	if errors.Is(err, trustkeep.ErrConflict) {
		return r.dataKey(ctx, key)
	}
	return dataKey, err
}

// idOf is the ID of a key. One that has none says why when it is used.
func idOf(key Sealer) (string, error) {
	if given.IsNil(key) {
		return "", fmt.Errorf("no sealer: %w", trustkeep.ErrInvalid)
	}
	id := key.ID()
	if id != "" {
		return id, nil
	}
	if _, err := key.Wrap(make([]byte, dataKeySize)); err != nil {
		return "", err
	}
	return "", fmt.Errorf("a sealer without ID: %w", trustkeep.ErrInvalid)
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
	aead, err := fips.NewGCM(dataKey, random)
	if err != nil {
		return nil, err
	}
	v := &vault{aead: aead}
	key, err := hkdf.Key(sha256.New, dataKey, nil, "trustkeep password tag", 32)
	v.mac = func() hash.Hash { return hmac.New(sha256.New, key) }
	return v, err
}

// AddSealer lets another sealer open the registry's passwords too: each program can have its
// own. A sealer of the same ID is replaced. The registry must have been opened with a sealer
// that has not been removed.
//
// Errors wrap trustkeep.ErrUnsupported for a registry without Options.Sealer, ErrInvalid for
// nil, ErrIncorrectPassword if the registry's own sealer has been removed, or are those of
// Wrap.
func (r *Registry) AddSealer(ctx context.Context, key Sealer) error {
	if r.secrets == nil {
		return failure("add sealer", "", errNoSealer)
	}
	id, err := idOf(key)
	if err != nil {
		return failure("add sealer", "", err)
	}
	dataKey, err := r.dataKey(ctx, r.o.Sealer)
	if err != nil {
		return failure("add sealer", id, err)
	}
	defer clear(dataKey)
	wrapped, err := key.Wrap(dataKey)
	if err != nil {
		return failure("add sealer", id, err)
	}
	err = change(ctx, r, secretsKey, newVaultRecord, func(d *vaultRecord, exists bool) error {
		if !exists {
			return missing(secretsKey)
		}
		if i := d.find(id); i >= 0 {
			d.Keys[i].Wrapped = wrapped
		} else {
			d.Keys = append(d.Keys, wrappedKey{id, wrapped})
		}
		return nil
	})
	if err == nil {
		r.tell(ctx, Event{Action: "sealer added", Object: id})
	}
	return failure("add sealer", id, err)
}

// Sealers returns the IDs of the sealers that open the registry's passwords, see Sealer.
func (r *Registry) Sealers(ctx context.Context) ([]string, error) {
	d := new(vaultRecord)
	if _, err := r.get(ctx, secretsKey, d); err != nil {
		return nil, failure("sealers", "", err)
	}
	var out []string
	for _, k := range d.Keys {
		out = append(out, k.ID)
	}
	return out, nil
}

// RemoveSealer ends a sealer's access to passwords that are read from then on. The error wraps
// trustkeep.ErrInUse for the last sealer, trustkeep.ErrNotFound for an unknown ID.
//
// A program that had the sealer may have kept the data key: if that matters, change the
// passwords of the components.
func (r *Registry) RemoveSealer(ctx context.Context, id string) error {
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
		r.tell(ctx, Event{Action: "sealer removed", Object: id})
	}
	return failure("remove sealer", id, err)
}

var errNoSealer = &trustkeep.Error{Op: "secrets", Err: trustkeep.ErrUnsupported, Hint: "open the registry with a Sealer to keep passwords"}

// secret is a password at rest: encrypted, or the name of where it is.
type secret struct {
	Sealed    []byte `json:"sealed,omitempty"`
	Reference string `json:"reference,omitempty"`
	// Tag is the same for the same password of the same component, and tells
	// nothing else to whoever lacks the data key.
	Tag string `json:"tag,omitempty"`
}

func (v *vault) seal(id string, password []byte) (*secret, error) {
	sealed, err := v.aead.Seal(password, []byte(id))
	if err != nil {
		return nil, err
	}
	return &secret{Sealed: sealed, Tag: v.tag(id, password)}, nil
}

func (v *vault) open(id string, s *secret) ([]byte, error) {
	password, err := v.aead.Open(s.Sealed, []byte(id))
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
