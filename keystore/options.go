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

// Options configures reading a store. The zero value is what the functions Load,
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
	// Rand supplies the IDs of components and the salts that protect their keys. If nil,
	// crypto/rand.
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

// New returns an empty store that will be written as PKCS#12.
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
	store, err := formats.Parse(in.Data, entry.ReadOptions{
		Password:             in.Password.Bytes(),
		Budget:               limits.New(o.Limits),
		AllowUnauthenticated: o.AllowUnauthenticated,
		Unlock:               o.Unlock,
	})
	if err != nil {
		format, _ := formats.Detect(in.Data)
		return fail(format, err)
	}
	k, err := o.fromStore(store, in.Password)
	if err != nil {
		return fail(store.Format, err)
	}
	k.current().file = in.Origin
	return k, nil
}
