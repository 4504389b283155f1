package environment

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Options configures a Registry. The zero value keeps no passwords and scans nothing.
type Options struct {
	// Sealer protects the passwords of private components at rest. If nil, none are
	// kept, and Passwords must return them.
	Sealer Sealer
	// OpeningKey opens the passwords of the environments that it is a recipient of, in a
	// registry that is sealed; see Registry.Seal. If nil, none are opened.
	OpeningKey *OpeningKey
	// Passwords is asked for the password of a private component that the storage
	// does not have, by its ID. If nil, there are no others.
	Passwords func(ctx context.Context, id string) (trustkeep.PasswordSource, error)
	// Resolve fetches a password that a component refers to by name, such as one in
	// a secrets manager; see SetPasswordReference. The name is what the storage has, so
	// it should find nothing but passwords of components. If nil, references fail.
	Resolve func(ctx context.Context, reference string) ([]byte, error)
	// Authority says whose signatures count, see package authority. Then the storage is not
	// trusted: what is read must be vouched for by signatures, and what is written is
	// signed. The registry follows its successors. If nil, whoever can write to the storage
	// decides what is trusted.
	Authority *authority.Authority
	// Signer signs changes, if there is an Authority, with a key that has the right to. If
	// nil, changes are trustkeep.ErrNotPermitted; atoms need none.
	Signer crypto.Signer
	// Scanner sees every file that Import and Reimport are given. If nil, nothing is
	// scanned.
	Scanner trustkeep.Scanner
	// Policy sees every component before it is stored, new or changed, and refuses
	// it by an error. If nil, everything is admitted.
	Policy component.Policy
	// OnEvent is told of every change made through this Registry, after it was
	// made. It is called by the goroutine that makes the change.
	OnEvent func(Event)
	// Logger gets every event too. If nil, nothing is logged.
	Logger *slog.Logger
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
	// Rand supplies keys, IDs and nonces; nil is crypto/rand.
	Rand io.Reader
}

// Registry manages what one organisation has: its components, its connections and processes,
// and the environments to which they are deployed. All of it is in a Storage, which any
// number of programs may share; a Registry keeps no state but the key that opens the
// passwords.
//
// It is safe for concurrent use. Changes to one record are made one after another, those of
// other programs included.
type Registry struct {
	storage Storage
	o       Options
	secrets *vault // nil without Options.Sealer

	outlines *outlines
}

// Open opens the registry in a storage; an empty storage is an empty registry.
//
// With Options.Sealer, the error wraps trustkeep.ErrIncorrectPassword if the sealer is not one
// of this storage; the first sealer that a storage is opened with becomes its own. It wraps
// trustkeep.ErrInvalid without a storage.
func Open(ctx context.Context, storage Storage, o Options) (*Registry, error) {
	if given.IsNil(storage) {
		return nil, failure("open", "", fmt.Errorf("no storage: %w", trustkeep.ErrInvalid))
	}
	if given.NilPointer(o.Scanner) || given.NilPointer(o.Sealer) || given.NilPointer(o.Signer) {
		return nil, failure("open", "", fmt.Errorf("a scanner, sealer or signer that is a nil pointer: %w", trustkeep.ErrInvalid))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Signer != nil {
		o.Signer = redact.Key(o.Signer)
	}
	r := &Registry{storage: storage, o: o, outlines: new(outlines)}
	if o.Authority != nil {
		l, err := newLedger(storage, r)
		if err != nil {
			return nil, failure("open", "", err)
		}
		r.storage = l
	}
	if o.Sealer != nil {
		v, err := r.openVault(ctx, o.Sealer)
		if err != nil {
			return nil, failure("open", "", err)
		}
		r.secrets = v
	}
	return r, nil
}

func (r *Registry) now() time.Time {
	if r.o.Clock != nil {
		return r.o.Clock().UTC()
	}
	return time.Now().UTC()
}
