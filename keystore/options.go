package keystore

import (
	"bytes"
	"crypto/sha256"
	"io"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/formats"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Options says how a store is read. The zero value is what the functions Load,
// Read and Parse use.
type Options struct {
	// Limits bounds the work that an input may cause; zero fields stand for
	// the defaults.
	Limits trustkeep.Limits
	// Strict makes anything about the store that is kept and reported
	// otherwise an error: an entry that cannot be understood, a certificate
	// that cannot be parsed, a remark of Findings.
	Strict bool
	// AllowUnauthenticated opens a PKCS#12 file that has no MAC although a
	// password was given. Nothing then vouches for what it holds.
	AllowUnauthenticated bool
	// Unlock decrypts all private keys while the store is opened, on the
	// cores there are, so that a wrong key password is an error of Load
	// (trustkeep.ErrIncorrectPassword) rather than of Identity.
	Unlock bool
	// KeyPasswords are passwords of single keys that differ from the
	// store's, by alias.
	KeyPasswords map[string]trustkeep.PasswordSource
	// Clock tells the time for entries that are added; nil is time.Now.
	Clock func() time.Time
	// Rand supplies the keys and serial numbers of Generate, Renew and
	// SignRequest, for reproducible tests; RSA keys never depend on it. Nil
	// is crypto/rand.
	Rand io.Reader

	ticks <-chan struct{} // of Watch, in tests: one look each
}

// Load opens the store in the file at path. A nil password means none, which is not the
// empty one. The store holds a copy of the password, for unlocking keys, until Close.
//
// Errors wrap trustkeep.ErrIncorrectPassword, ErrCorrupt, ErrLimit,
// ErrUnsupported or the error of the file system.
func Load(path string, password trustkeep.PasswordSource) (*Keystore, error) {
	return Options{}.Load(path, password)
}

// Read is Load for a stream, which is read to its end.
func Read(r io.Reader, password trustkeep.PasswordSource) (*Keystore, error) {
	return Options{}.Read(r, password)
}

// Parse is Load for bytes, which are neither kept nor changed.
func Parse(data []byte, password trustkeep.PasswordSource) (*Keystore, error) {
	return Options{}.Parse(data, password)
}

// Load is the function Load with these options.
func (o Options) Load(path string, password trustkeep.PasswordSource) (*Keystore, error) {
	const op = "keystore: load"
	data, err := storefile.ReadFile(path, o.Limits.MaxSize)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	secret, err := reveal(password)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	k, err := o.open(op, path, data, secret)
	if err != nil {
		return nil, err
	}
	k.current().origin = origin{path: path, sum: sha256.Sum256(data)}
	return k, nil
}

// Read is the function Read with these options.
func (o Options) Read(r io.Reader, password trustkeep.PasswordSource) (*Keystore, error) {
	const op = "keystore: read"
	data, err := storefile.ReadAll(r, o.Limits.MaxSize)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	secret, err := reveal(password)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return o.open(op, "", data, secret)
}

// Parse is the function Parse with these options.
func (o Options) Parse(data []byte, password trustkeep.PasswordSource) (*Keystore, error) {
	const op = "keystore: parse"
	secret, err := reveal(password)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	// The entries share memory with what they were read from.
	return o.open(op, "", bytes.Clone(data), secret)
}

// New returns an empty store that will be written as PKCS#12.
func New() *Keystore { return Options{}.New() }

// New is the function New with these options.
func (o Options) New() *Keystore {
	return &Keystore{options: o}
}

// open makes a store of data, which it owns.
func (o Options) open(op, path string, data []byte, password *redact.Secret) (*Keystore, error) {
	store, err := formats.Parse(data, entry.ReadOptions{
		Password:             password.Bytes(),
		Budget:               limits.New(o.Limits),
		AllowUnauthenticated: o.AllowUnauthenticated,
		Unlock:               o.Unlock,
	})
	if err != nil {
		e := &trustkeep.Error{Op: op, Path: path, Err: err, Hint: hintFor(err, password)}
		password.Wipe()
		if f, ok := formats.Detect(data); ok {
			e.Format = string(f)
		}
		return nil, e
	}
	k, err := o.fromStore(store, password)
	if err != nil {
		password.Wipe()
		return nil, &trustkeep.Error{Op: op, Path: path, Format: string(store.Format), Err: err}
	}
	return k, nil
}

func reveal(password trustkeep.PasswordSource) (*redact.Secret, error) {
	if password == nil {
		return nil, nil
	}
	b, err := password.Reveal()
	if err != nil {
		return nil, err
	}
	if b == nil {
		b = []byte{} // a source that answers has a password
	}
	secret := redact.NewSecret(b)
	clear(b)
	return secret, nil
}
