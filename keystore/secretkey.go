package keystore

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// SecretKey is a symmetric key or a stored password. It is immutable, and prints as its
// algorithm and length.
type SecretKey struct {
	algorithm string
	secret    *redact.Secret
}

// NewSecretKey makes a secret key. The algorithm is Java's name ("AES", "DESede",
// "HmacSHA256", "PBE" for a password) or a dotted object identifier. The key is copied. The
// error wraps ErrInvalid without algorithm or key.
func NewSecretKey(algorithm string, key []byte) (*SecretKey, error) {
	if algorithm == "" || len(key) == 0 {
		return nil, &trustkeep.Error{Op: "keystore: new secret key", Err: fmt.Errorf("no algorithm or no key: %w", trustkeep.ErrInvalid)}
	}
	return &SecretKey{algorithm, redact.NewSecret(key)}, nil
}

// Algorithm returns the name of the algorithm.
func (s *SecretKey) Algorithm() string { return s.algorithm }

// Reveal returns a copy of the key.
func (s *SecretKey) Reveal() []byte { return bytes.Clone(s.secret.Bytes()) }

// String returns algorithm and length. The printing methods have value receivers, so that a
// copied SecretKey prints no more than a pointer to one.
func (s SecretKey) String() string {
	return fmt.Sprintf("%s key of %d bits", trustkeep.Printable(s.algorithm), 8*len(s.secret.Bytes()))
}

// Format prints String for every verb.
func (s SecretKey) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText returns String, for JSON.
func (s SecretKey) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer through String.
func (s SecretKey) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SecretKey decrypts the secret key with an alias. It uses the key's own password if one was
// given (Options.KeyPasswords), else the store's.
//
// Errors: ErrNotFound if there is no such entry or it holds no secret key;
// ErrIncorrectPassword, ErrUnsupported, ErrCorrupt.
func (k *Keystore) SecretKey(alias string) (*SecretKey, error) {
	const op = "keystore: secret key"
	s, it, password, err := k.key(op, alias)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	plain, err := openSecret(it.e, password.Bytes())
	if err != nil {
		return nil, s.fail(op, it.e.Alias, err, "")
	}
	defer clear(plain)
	return &SecretKey{it.e.Key.AlgorithmName(), redact.NewSecret(plain)}, nil
}

func openSecret(e *entry.Entry, password []byte) ([]byte, error) {
	switch {
	case e.Kind != entry.Secret:
		return nil, fmt.Errorf("the entry is of kind %s and has no secret key: %w", kindOf(e.Kind), trustkeep.ErrNotFound)
	case e.Key != nil && e.Key.Unlock != nil:
		return e.Key.Open(password)
	case e.Err != nil:
		return nil, e.Err
	}
	return nil, fmt.Errorf("secret key cannot be read: %w", trustkeep.ErrUnsupported)
}

// SetSecretKey stores a secret key under an alias and replaces the entry with exactly that
// alias. PKCS#12, JCEKS and BouncyCastle's formats hold secret keys; saving in another format
// is ErrUnsupported. The error wraps ErrExists if the alias of another entry differs only in
// case.
func (k *Keystore) SetSecretKey(alias string, key *SecretKey) error {
	const op = "keystore: set secret key"
	if key == nil || key.secret == nil {
		return &trustkeep.Error{Op: op, Alias: alias, Err: fmt.Errorf("nil key: %w", trustkeep.ErrInvalid)}
	}
	secret := key.secret
	return k.put(op, &item{e: &entry.Entry{Alias: alias, Kind: entry.Secret, Key: &entry.PrivateKey{
		Algorithm: key.algorithm,
		Unlock:    func([]byte, limits.Spender) ([]byte, error) { return bytes.Clone(secret.Bytes()), nil },
	}}})
}
