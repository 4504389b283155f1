package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Truststore is a set of trusted certificates under aliases. It is safe for
// concurrent use: readers work on immutable snapshots, and each change makes a
// new one. The zero Truststore is empty and trusts nobody.
type Truststore struct {
	turns storefile.Turns // of writers
	state atomic.Pointer[state]
	// history are the states before, the newest last. See Activate.
	history []*state
	// clock dates entries that are added; nil is time.Now.
	clock  func() time.Time
	limits trustkeep.Limits
}

// state is one generation of a store; it does not change.
type state struct {
	snapshot *Snapshot
	// entries are all of the store, also those that make nobody trusted.
	entries  []*entry.Entry
	scopes   map[string]Scope        // by entry.Fold of the alias
	byAlias  map[string]*entry.Entry // by entry.Fold; built by find
	aliases  sync.Once
	findings []trustkeep.Finding
	origin   origin
}

// origin is what is known about how the store was written, so that it can be
// written again in kind.
type origin struct {
	file          storefile.Origin
	format        trustkeep.Format
	source        any               // the codec's own record
	profile       trustkeep.Profile // last asked for in Save; empty: that of source
	password      *redact.Secret
	authenticated bool
	beside        []besideEntry     // of the file beside the store
	besideSum     [sha256.Size]byte // of that file; zero without
	keys          int               // private and secret keys in the file
}

// Entry is one trusted certificate of a store.
type Entry struct {
	Alias       string
	Certificate *x509.Certificate // shared; do not modify it
	Created     time.Time         // zero where the format does not say
}

// New returns a store of these certificates, which are shared and not copied. Each gets an
// alias made of its subject, see Add. Nil certificates are skipped, repeated ones taken
// once. A store without certificates trusts nobody.
func New(certs ...*x509.Certificate) *Truststore {
	t := new(Truststore)
	b := newEditor(t.current())
	for _, c := range certs {
		if c != nil && !b.has(c) {
			b.add(b.freeAlias(c), c, time.Time{})
		}
	}
	t.state.Store(b.state(1))
	return t
}

// current returns the state of now, for the zero Truststore too.
func (t *Truststore) current() *state {
	if s := t.state.Load(); s != nil {
		return s
	}
	s := &state{snapshot: newSnapshot(1, nil, nil), origin: origin{format: trustkeep.PKCS12}}
	if t.state.CompareAndSwap(nil, s) {
		return s
	}
	return t.state.Load()
}

// Snapshot implements Source. It fails with trustkeep.ErrInvalid on a nil
// *Truststore. An empty store has a snapshot, which trusts nobody.
func (t *Truststore) Snapshot() (*Snapshot, error) {
	if t == nil {
		return nil, errNil("snapshot")
	}
	return t.current().snapshot, nil
}

// Generation counts the changes of the store, starting at 1.
func (t *Truststore) Generation() uint64 { return t.current().snapshot.generation }

// Len is the number of trusted certificates.
func (t *Truststore) Len() int { return t.current().snapshot.Len() }

// Certificates returns the trusted certificates in the order of the store.
func (t *Truststore) Certificates() []*x509.Certificate { return t.current().snapshot.Certificates() }

// Format is the format that the store was read in and will be saved in;
// PKCS#12 for a store that was not read.
func (t *Truststore) Format() trustkeep.Format { return t.current().origin.format }

// Authenticated reports whether a MAC or digest vouched for the content when
// the store was read. It is false for formats that have none, such as PEM, and
// for a store that was not read.
func (t *Truststore) Authenticated() bool {
	return t.current().origin.authenticated
}

// HasKeys reports whether the file also holds private or secret keys, which do not belong
// in a file that is made to be handed out.
func (t *Truststore) HasKeys() bool { return t.current().origin.keys > 0 }

// Aliases returns the aliases of the trusted certificates in the order of the
// store.
func (t *Truststore) Aliases() []string {
	entries := t.Entries()
	aliases := make([]string, len(entries))
	for i, e := range entries {
		aliases[i] = e.Alias
	}
	return aliases
}

// Entries returns the trusted certificates with their aliases in the order of
// the store.
func (t *Truststore) Entries() []Entry {
	var out []Entry
	for _, e := range t.current().entries {
		if c := trusted(e); c != nil {
			out = append(out, Entry{Alias: e.Alias, Certificate: c, Created: e.Created})
		}
	}
	return out
}

// Entry returns the trusted certificate of that alias. Case does not count. It
// fails with trustkeep.ErrNotFound.
func (t *Truststore) Entry(alias string) (Entry, error) {
	s := t.current()
	if e := s.find(alias); e != nil {
		if c := trusted(e); c != nil {
			return Entry{Alias: e.Alias, Certificate: c, Created: e.Created}, nil
		}
	}
	return Entry{}, s.notFound("entry", alias)
}

// trusted returns the certificate of an entry that makes somebody trusted, and
// nil for every other entry.
func trusted(e *entry.Entry) *x509.Certificate {
	if e.Kind != entry.Trusted || len(e.Chain) != 1 {
		return nil
	}
	c, err := e.Chain[0].X509()
	if err != nil {
		return nil
	}
	return c
}

// find returns the entry of that alias, as it is spelled or else without
// regard to case. A file may have two aliases that differ in case only.
func (s *state) find(alias string) *entry.Entry {
	s.aliases.Do(func() {
		s.byAlias = make(map[string]*entry.Entry, len(s.entries))
		for _, e := range s.entries {
			if folded := entry.Fold(e.Alias); s.byAlias[folded] == nil {
				s.byAlias[folded] = e
			}
		}
	})
	e := s.byAlias[entry.Fold(alias)]
	if e == nil || e.Alias == alias {
		return e
	}
	for _, exact := range s.entries {
		if exact.Alias == alias {
			return exact
		}
	}
	return e
}

func (s *state) notFound(op, alias string) error {
	return &trustkeep.Error{
		Op: "truststore: " + op, Path: s.origin.file.Path(), Alias: alias, Err: trustkeep.ErrNotFound,
		Hint: "the store has " + count(s.snapshot.Len(), "trusted certificate"),
	}
}

// String summarises the store: "jks truststore, 144 certificates".
func (t *Truststore) String() string {
	if t == nil {
		return "truststore <nil>"
	}
	s := t.current()
	return fmt.Sprintf("%s truststore, %s", s.origin.format, s.snapshot)
}

// LogValue implements slog.LogValuer through String.
func (t *Truststore) LogValue() slog.Value { return slog.StringValue(t.String()) }
