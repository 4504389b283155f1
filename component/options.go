package component

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Policy admits a component: it sees the component that would result, and an error refuses it.
type Policy func(*Component) error

// Options configures how content is read, made and admitted. The zero value fits calls that
// need neither kinds nor a password.
type Options struct {
	// Kinds that Import reads, asked in this order whether a file is theirs. If none claims
	// it, the first one returns the error. Import needs at least one, Reimport none; nothing
	// else uses them.
	Kinds []Kind
	// Scanner sees a file before anything parses it. If nil, files are not scanned.
	Scanner trustkeep.Scanner
	// Policy is the last stage of every change of content. If nil, everything is admitted.
	Policy Policy
	// Password opens the file that is imported, or the current content that is changed. If
	// nil, no password. It is asked for at most once.
	Password trustkeep.PasswordSource
	// KeyPassword opens the private key of an imported store where that has another password
	// than the store, as JKS, JCEKS and BouncyCastle's formats allow. If nil, Password does.
	KeyPassword trustkeep.PasswordSource
	// KeyPasswords are the same by alias, for stores with several such keys. They take
	// precedence over KeyPassword.
	KeyPasswords map[string]trustkeep.PasswordSource
	// NewPassword protects the private key. If nil, Password does.
	NewPassword trustkeep.PasswordSource
	// Alias of the entry to import from a file with several; for PGP, the fingerprint of the
	// key. If empty, the only entry. The chain is completed from the whole file.
	Alias string
	// ID of a new component. If empty, 32 random hex digits.
	ID string
	// Limits bounds the work that a file may cause. A zero MaxSize means 4 MiB here; other
	// zero fields mean those of the kind, see keystore.Options.
	Limits trustkeep.Limits
	// Clock dates versions and certificates. If nil, time.Now.
	Clock func() time.Time
	// Rand supplies IDs, keys and salts. If nil, crypto/rand.
	Rand io.Reader
}

// maxFile bounds a file to be imported unless Limits says otherwise.
const maxFile = 4 << 20

func (o Options) now() time.Time {
	if o.Clock != nil {
		return o.Clock().UTC()
	}
	return time.Now().UTC()
}

// admit runs the stages of an import that come before the content is looked at.
func (o Options) admit(ctx context.Context, name string, file []byte) error {
	if hasNil(o.Kinds) {
		return fmt.Errorf("Options.Kinds has a nil: %w", trustkeep.ErrInvalid)
	}
	if given.NilPointer(o.Scanner) {
		return fmt.Errorf("Options.Scanner is a nil pointer: %w", trustkeep.ErrInvalid)
	}
	if o.Limits.MaxSize == 0 {
		o.Limits.MaxSize = maxFile
	}
	return admit(ctx, name, file, limits.New(o.Limits), o.Scanner)
}

func hasNil(kinds []Kind) bool {
	return slices.ContainsFunc(kinds, func(k Kind) bool { return given.IsNil(k) })
}

// of returns what a kind of content needs, and what forgets the password again.
func (o Options) of(name string) (c content.Options, forget func()) {
	c = content.Options{Name: name, Alias: o.Alias, KeyPassword: o.KeyPassword, KeyPasswords: o.KeyPasswords, NewPassword: o.NewPassword, Limits: o.Limits, Clock: o.Clock, Rand: o.Rand}
	c.Password, forget = once(o.Password)
	return c, forget
}

// once returns a source that asks another one at most once, and what wipes the answer.
func once(source trustkeep.PasswordSource) (trustkeep.PasswordSource, func()) {
	if source == nil {
		return nil, func() {}
	}
	var mu sync.Mutex
	var asked bool
	var secret *redact.Secret
	var failed error
	reveal := func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if !asked {
			asked = true
			var password []byte
			if password, failed = source.Reveal(); password == nil {
				password = []byte{} // a source that answers has a password
			}
			secret = redact.NewSecret(password)
			clear(password)
		}
		if failed != nil {
			return nil, failed
		}
		return append([]byte{}, secret.Bytes()...), nil
	}
	forget := func() {
		mu.Lock()
		defer mu.Unlock()
		secret.Wipe()
		asked, failed = true, fmt.Errorf("a password that was wiped: %w", trustkeep.ErrInvalid)
	}
	return trustkeep.PasswordFunc(reveal), forget
}

// admitted is the last stage of every change of content.
func (o Options) admitted(op string, c *Component) (*Component, error) {
	if o.Policy != nil {
		if err := o.Policy(c); err != nil {
			return nil, failure(op, c.name, fmt.Errorf("policy: %w", err))
		}
	}
	return c, nil
}
