package environment

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// The types of components in records.
const (
	typeX509 = "certificate"
	typePGP  = "certificate.pgp"
)

// componentRecord is a component at rest. Private keys are under their passwords, and
// those under the registry's data key.
type componentRecord struct {
	stamp
	Type string           `json:"type"`
	X509 *component.State `json:"x509,omitempty"`
	PGP  *component.State `json:"pgp,omitempty"`
	// Secrets are the passwords of versions, by number, and of the keys that wait for
	// requests to be answered, by the negative number of the request.
	Secrets map[int]*secret `json:"secrets,omitempty"`

	fresh map[digest]*redact.Secret // passwords of contents that are about to be stored, to be sealed
}

func newComponentRecord() *componentRecord { return new(componentRecord) }

func (d *componentRecord) check(id string) error {
	for n, s := range d.Secrets {
		if s == nil {
			return fmt.Errorf("%s has an empty password record", numbered(n))
		}
	}
	switch {
	case d.X509 != nil:
		return is(d.X509.ID, id)
	case d.PGP != nil:
		return is(d.PGP.ID, id)
	}
	return nil // which component refuses
}

// component returns what the record holds. It does not trust the record to be right.
func (d *componentRecord) component() (*component.Component, error) {
	switch {
	case d.Type == typeX509 && d.X509 != nil && d.PGP == nil:
		return component.Restore(*d.X509, keystore.ComponentKind())
	case d.Type == typePGP && d.PGP != nil && d.X509 == nil:
		return component.Restore(*d.PGP, pgp.ComponentKind())
	}
	return nil, fmt.Errorf("component of type %q: %w", trustkeep.Printable(d.Type), trustkeep.ErrCorrupt)
}

// state returns what the record holds, and the kind of it; nil for nothing.
func (d *componentRecord) state() (component.Kind, *component.State) {
	if d.X509 != nil {
		return keystore.ComponentKind(), d.X509
	}
	return pgp.ComponentKind(), d.PGP
}

// setState puts a component's state into the record.
func (d *componentRecord) setState(k trustkeep.Kind, s *component.State) error {
	switch k {
	case trustkeep.X509:
		d.Type, d.X509, d.PGP = typeX509, s, nil
	case trustkeep.PGP:
		d.Type, d.X509, d.PGP = typePGP, nil, s
	default:
		return fmt.Errorf("component of kind %s: %w", k, trustkeep.ErrUnsupported)
	}
	return nil
}

// setContent puts the component's state into the record, and lets go of what is too old
// to be kept.
func (d *componentRecord) setContent(c *component.Component) error {
	s := c.State()
	s.Versions = s.Versions[max(0, len(s.Versions)-keptVersions):]
	kept := keysOfState(&s)
	for n, before := range d.keys() {
		// Update may return a component that begins again with version 1. The
		// password is that of the key, not of the number.
		if now, ok := kept[n]; ok && !sameKey(before, now) {
			delete(kept, n)
		}
	}
	maps.DeleteFunc(d.Secrets, func(n int, _ *secret) bool { _, ok := kept[n]; return !ok })
	return d.setState(c.Kind(), &s)
}

// keys returns what is in the record, by the numbers of Secrets.
func (d *componentRecord) keys() map[int]component.Stored {
	if d.X509 != nil {
		return keysOfState(d.X509)
	}
	return keysOfState(d.PGP)
}

func keysOfState(s *component.State) map[int]component.Stored {
	out := make(map[int]component.Stored)
	for n, stored := range storedIn(s) {
		out[n] = *stored
	}
	return out
}

// storedIn yields what is stored in a state, by the numbers of Secrets: versions, and keys that
// wait.
func storedIn(s *component.State) iter.Seq2[int, *component.Stored] {
	return func(yield func(int, *component.Stored) bool) {
		if s == nil {
			return
		}
		for i := range s.Versions {
			if !yield(s.Versions[i].Number, &s.Versions[i].Stored) {
				return
			}
		}
		for i := range s.Pending {
			if !yield(-s.Pending[i].Number, &s.Pending[i].Stored) {
				return
			}
		}
	}
}

// numbered spells a number of Secrets.
func numbered(n int) string {
	if n < 0 {
		return fmt.Sprintf("request %d", -n)
	}
	return fmt.Sprintf("version %d", n)
}

func sameKey(a, b component.Stored) bool {
	return bytes.Equal(a.Store, b.Store) && bytes.Equal(a.Data, b.Data)
}

// frozen returns a record of the current version alone, which there must be.
func (d *componentRecord) frozen() *componentRecord {
	out := &componentRecord{stamp: d.stamp, Type: d.Type, Secrets: make(map[int]*secret)}
	last := func(of *component.State) *component.State {
		if of == nil {
			return nil
		}
		s := *of
		s.Versions, s.Pending, s.LastRequest = s.Versions[len(s.Versions)-1:], nil, 0
		if n := s.Versions[0].Number; d.Secrets[n] != nil {
			out.Secrets[n] = d.Secrets[n]
		}
		return &s
	}
	out.X509, out.PGP = last(d.X509), last(d.PGP)
	return out
}

// fill makes d the record of a component that is new or changed: content, policy, and
// the passwords of its current version and of keys that wait.
func (r *Registry) fill(ctx context.Context, d *componentRecord, c *component.Component, password trustkeep.PasswordSource) error {
	if r.o.Policy != nil {
		if err := r.o.Policy(c); err != nil {
			return fmt.Errorf("policy: %w", err)
		}
	}
	if sealed, err := r.isSealed(ctx); err != nil {
		return err
	} else if sealed {
		return r.fillSealed(ctx, d, c, password)
	}
	old, before := maps.Clone(d.Secrets), d.keys()
	if err := d.setContent(c); err != nil {
		return err
	}
	if c.Visibility() != trustkeep.Private {
		return nil
	}
	now := d.keys()
	isNew := newIn(before, now)
	keep := func(n int, key locked, given trustkeep.PasswordSource) error {
		s, err := r.secretFor(ctx, c.ID(), key, old, given)
		if err != nil || s == nil {
			return err
		}
		if d.Secrets == nil {
			d.Secrets = make(map[int]*secret)
		}
		d.Secrets[n] = s
		return nil
	}
	requested := false
	for _, p := range c.Pending() {
		if !isNew(-p.Number) {
			continue
		}
		requested = true
		err := keep(-p.Number, p, password)
		if errors.Is(err, trustkeep.ErrIncorrectPassword) && password != nil {
			err = keep(-p.Number, p, nil) // the password given is that of the content
		}
		if err != nil {
			return err
		}
	}
	n := c.Version()
	if n == 0 || d.Secrets[n] != nil && password == nil {
		return nil
	}
	if requested && !isNew(n) {
		return nil // the password given is that of the key that waits
	}
	return keep(n, c, password)
}

// newIn tells which keys are not those of before.
func newIn(before, now map[int]component.Stored) func(n int) bool {
	return func(n int) bool { was, ok := before[n]; return !ok || !sameKey(was, now[n]) }
}

// locked is what a password opens: a component, or a request.
type locked interface {
	CheckPassword(trustkeep.PasswordSource) error
}

// secretFor finds the password of a key that is to be stored: the one that is given, or one
// of those that are kept of other versions, the newest first. It must open the key. Without
// a vault, or where nothing was ever kept, there is none.
func (r *Registry) secretFor(ctx context.Context, id string, c locked, old map[int]*secret, given trustkeep.PasswordSource) (*secret, error) {
	if given != nil {
		password, err := given.Reveal()
		if err != nil {
			return nil, err
		}
		defer clear(password)
		if err := opens(c, password); err != nil {
			return nil, err
		}
		if r.secrets == nil {
			return nil, nil
		}
		return r.secrets.seal(id, password)
	}
	if len(old) == 0 {
		return nil, nil
	}
	var failed error
	tried := make(map[secretName]bool) // most versions have the password of the one before
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(old))) {
		name := secretName{old[n].Reference, old[n].Tag}
		if name != (secretName{}) && tried[name] {
			continue
		}
		tried[name] = true
		password, err := r.reveal(ctx, id, old[n])
		if err == nil {
			err = opens(c, password)
			clear(password)
		}
		if err == nil {
			return old[n], nil
		}
		if !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			failed = cmp.Or(failed, err) // one of the others may do
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, &trustkeep.Error{Op: "keep password", Err: trustkeep.ErrIncorrectPassword, Hint: "the password was changed: give the new one"}
}

// secretName is the same for the same password of a component.
type secretName struct{ reference, tag string }

// opens tells whether the password is that of a key.
func opens(c locked, password []byte) error {
	return c.CheckPassword(trustkeep.PasswordFunc(func() ([]byte, error) { return slices.Clone(password), nil }))
}

func (r *Registry) reveal(ctx context.Context, id string, s *secret) ([]byte, error) {
	if s.Reference != "" {
		if r.o.Resolve == nil {
			return nil, &trustkeep.Error{Op: "password by reference", Alias: s.Reference, Err: trustkeep.ErrUnsupported, Hint: "set Options.Resolve"}
		}
		return r.o.Resolve(ctx, s.Reference)
	}
	if r.secrets == nil {
		return nil, errNoSealer
	}
	return r.secrets.open(id, s)
}

// keyNumber is the number in Secrets of what a component has to be opened: its current
// version, or the newest of the keys that wait for the first one.
func keyNumber(c *component.Component) int {
	if waiting := c.Pending(); c.Version() == 0 && len(waiting) > 0 {
		return -waiting[len(waiting)-1].Number
	}
	return c.Version()
}

// passwordOf returns the password of the current version in the record.
func (r *Registry) passwordOf(ctx context.Context, d *componentRecord, c *component.Component, sealed openSealed) (trustkeep.PasswordSource, error) {
	if c.Visibility() != trustkeep.Private {
		return nil, fmt.Errorf("a public component has no password: %w", trustkeep.ErrUnsupported)
	}
	return r.passwordOfKey(ctx, d, c, keyNumber(c), sealed)
}

// passwordOfKey returns the password of a version, or of the key of a request.
func (r *Registry) passwordOfKey(ctx context.Context, d *componentRecord, c *component.Component, n int, sealed openSealed) (trustkeep.PasswordSource, error) {
	if s := d.Secrets[n]; s != nil {
		password, err := r.reveal(ctx, c.ID(), s)
		if err != nil {
			return nil, err
		}
		defer clear(password)
		return trustkeep.Password(string(password)), nil
	}
	switch p, err := sealed(ctx, d, n); {
	case p != nil:
		defer p.Wipe()
		return trustkeep.Password(string(p.Bytes())), nil
	case err != nil && (r.o.Passwords == nil || !errors.Is(err, trustkeep.ErrNotFound)):
		return nil, err
	}
	if r.o.Passwords == nil {
		return nil, &trustkeep.Error{Op: "password", Alias: c.Name(), Err: trustkeep.ErrNotFound, Hint: "it is not kept; set Options.Passwords, or Options.Sealer before the component is stored"}
	}
	return r.o.Passwords(ctx, c.ID())
}

// Password returns the password of a private component: the one that is kept, or what
// Options.Passwords says. The error wraps trustkeep.ErrNotFound where neither knows it,
// and ErrUnsupported for a public component.
func (r *Registry) Password(ctx context.Context, id string) (trustkeep.PasswordSource, error) {
	c, d, _, err := r.component(ctx, id)
	if err != nil {
		return nil, failure("password", id, err)
	}
	p, err := r.passwordOf(ctx, d, c, r.openSealed)
	return p, failure("password", id, err)
}

// SetPasswordReference makes the registry keep, in the place of the password, a name
// that Options.Resolve finds it by. It must resolve to the password now: the error wraps
// trustkeep.ErrIncorrectPassword if that is another one, ErrUnsupported without
// Options.Resolve, ErrNotFound for a component that does not exist, ErrInvalid without a name.
func (r *Registry) SetPasswordReference(ctx context.Context, id, reference string) error {
	if err := checkID("set password reference", id); err != nil {
		return err
	}
	if reference == "" {
		return failure("set password reference", id, fmt.Errorf("no reference: %w", trustkeep.ErrInvalid))
	}
	err := change(ctx, r, componentKey(id), newComponentRecord, func(d *componentRecord, exists bool) error {
		if !exists {
			return missing(componentKey(id))
		}
		c, err := d.component()
		if err != nil {
			return err
		}
		s := &secret{Reference: reference}
		password, err := r.reveal(ctx, id, s)
		if err != nil {
			return err
		}
		defer clear(password)
		if err := opens(c, password); err != nil {
			return err
		}
		if r.secrets != nil {
			s.Tag = r.secrets.tag(id, password)
		}
		if d.Secrets == nil {
			d.Secrets = make(map[int]*secret)
		}
		d.Secrets[keyNumber(c)] = s
		return nil
	})
	if err == nil {
		r.tell(ctx, Event{Action: "password reference set", Object: id, After: reference})
	}
	return failure("set password reference", id, err)
}

// files shows a component as files that keytool, openssl and gpg open, and its requests.
func (d *componentRecord) files() []File {
	c, err := d.component()
	if err != nil {
		return nil
	}
	var out []File
	for _, f := range c.Content().Files() {
		out = append(out, File{Name: content.FileName(c.Name()) + f.Suffix, Data: f.Data})
	}
	for _, p := range c.Pending() {
		out = append(out, File{Name: fmt.Sprintf("%s-%d.csr", content.FileName(c.Name()), p.Number), Data: p.Request})
	}
	return out
}
