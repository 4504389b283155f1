package keystore

import (
	"io"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Options configures how a store is read. The zero value is what Load, Read and Parse use.
type Options struct {
	// Limits bounds the work that an input may cause. Zero fields mean the defaults. Opening
	// the store is one operation; so is later the unlocking of each key, and of all keys
	// together by CheckKeys or where the store is saved under another password.
	Limits trustkeep.Limits
	// Strict turns what is otherwise kept and reported into an error: an entry that is not
	// understood, a certificate that cannot be parsed, a finding.
	Strict bool
	// AllowUnauthenticated opens a PKCS#12 file without a MAC although a password is given.
	// Nothing then vouches for its content.
	AllowUnauthenticated bool
	// Unlock decrypts all private keys when the store is opened, in parallel. A wrong key
	// password is then an error of Load (ErrIncorrectPassword) and not of Identity. Opening
	// the store and its keys is one operation to Limits.
	Unlock bool
	// KeyPasswords holds, by alias, the passwords of keys that differ from the store's.
	KeyPasswords map[string]trustkeep.PasswordSource
	// Clock dates entries that are added. If nil, time.Now.
	Clock func() time.Time
	// Rand supplies the IDs of components and the salts that protect their keys. If nil,
	// crypto/rand.
	Rand io.Reader

	ticks <-chan struct{} // of Watch, in tests: one look each
}

// Load opens the store in the file at path. A nil password means none, which differs from the
// empty one. The store keeps a copy of the password, for unlocking keys, until Close.
//
// Errors wrap trustkeep.ErrIncorrectPassword, ErrCorrupt, ErrLimit, ErrUnsupported or the
// error of the file system.
func Load(path string, password trustkeep.PasswordSource) (*Keystore, error) {
	return Options{}.Load(path, password)
}

// Read is Load for a stream. It reads to the end.
func Read(r io.Reader, password trustkeep.PasswordSource) (*Keystore, error) {
	return Options{}.Read(r, password)
}

// Parse is Load for bytes. It neither keeps nor changes data.
func Parse(data []byte, password trustkeep.PasswordSource) (*Keystore, error) {
	return Options{}.Parse(data, password)
}

// Load is the function Load with these options.
func (o Options) Load(path string, password trustkeep.PasswordSource) (*Keystore, error) {
	return o.kind().Load(path, password)
}

// Read is the function Read with these options.
func (o Options) Read(r io.Reader, password trustkeep.PasswordSource) (*Keystore, error) {
	return o.kind().Read(r, password)
}

// Parse is the function Parse with these options.
func (o Options) Parse(data []byte, password trustkeep.PasswordSource) (*Keystore, error) {
	return o.kind().Parse(data, password)
}

// New returns an empty store that is written as PKCS#12.
func New() *Keystore { return Options{}.New() }

// New is the function New with these options.
func (o Options) New() *Keystore {
	return &Keystore{options: o}
}

// kind is what storefile needs to know of keystores.
func (o Options) kind() storefile.Kind[*Keystore] {
	return storefile.Kind[*Keystore]{
		Package: "keystore", MaxSize: o.Limits.MaxSize, Open: o.open,
		New: func(password *redact.Secret) *Keystore {
			k := o.New()
			k.current().password = password
			return k
		},
		Encode: func(k *Keystore, path string, save trustkeep.SaveOptions) ([]byte, error) {
			return k.encode("keystore: update", path, save)
		},
		Close: func(k *Keystore) { k.Close() },
	}
}

// open makes a store.
func (o Options) open(in storefile.Input) (*Keystore, error) {
	fail := func(format trustkeep.Format, err error) (*Keystore, error) {
		hint := hintFor(err, in.Password)
		in.Password.Wipe()
		return nil, &trustkeep.Error{Op: in.Op, Path: in.Path, Format: string(format), Err: err, Hint: hint}
	}
	budget := limits.New(o.Limits)
	store, err := formats.Parse(in.Data, entry.ReadOptions{
		Password:             in.Password.Bytes(),
		Budget:               budget,
		AllowUnauthenticated: o.AllowUnauthenticated,
		Unlock:               o.Unlock,
	})
	if err != nil {
		format, _ := formats.Detect(in.Data)
		return fail(format, err)
	}
	k, err := o.fromStore(store, in.Password, budget)
	if err != nil {
		return fail(store.Format, err)
	}
	k.current().file = in.Origin
	return k, nil
}
