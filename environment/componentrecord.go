package environment

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// Secrets are the passwords of versions, by number.
	Secrets map[int]*secret `json:"secrets,omitempty"`

	fresh map[digest]*redact.Secret // passwords of contents that are about to be stored, to be sealed
}

func newComponentRecord() *componentRecord { return new(componentRecord) }

func (d *componentRecord) check(id string) error {
	for n, s := range d.Secrets {
		if s == nil {
			return fmt.Errorf("version %d has an empty password record", n)
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
	kept := make(map[int]component.Stored, len(s.Versions))
	for _, v := range s.Versions {
		kept[v.Number] = v.Stored
	}
	for _, before := range []*component.State{d.X509, d.PGP} {
		if before == nil {
			continue
		}
		for _, v := range before.Versions {
			// Update may return a component that begins again with version 1. The
			// password is that of the key, not of the number.
			if now, ok := kept[v.Number]; ok && !sameKey(v.Stored, now) {
				delete(kept, v.Number)
			}
		}
	}
	maps.DeleteFunc(d.Secrets, func(n int, _ *secret) bool { _, ok := kept[n]; return !ok })
	return d.setState(c.Kind(), &s)
}

func sameKey(a, b component.Stored) bool {
	return bytes.Equal(a.Store, b.Store) && bytes.Equal(a.Data, b.Data)
}

// frozen returns a record of the current version alone.
func (d *componentRecord) frozen() *componentRecord {
	out := &componentRecord{stamp: d.stamp, Type: d.Type, Secrets: make(map[int]*secret)}
	last := func(of *component.State) *component.State {
		if of == nil {
			return nil
		}
		s := *of
		s.Versions = s.Versions[len(s.Versions)-1:]
		if n := s.Versions[0].Number; d.Secrets[n] != nil {
			out.Secrets[n] = d.Secrets[n]
		}
		return &s
	}
	out.X509, out.PGP = last(d.X509), last(d.PGP)
	return out
}

// fill makes d the record of a component that is new or changed: content, policy, and
// the password of its current version.
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
	old := maps.Clone(d.Secrets)
	if err := d.setContent(c); err != nil {
		return err
	}
	if c.Visibility() != trustkeep.Private || d.Secrets[c.Version()] != nil && password == nil {
		return nil
	}
	s, err := r.secretFor(ctx, c, old, password)
	if err != nil || s == nil {
		return err
	}
	if d.Secrets == nil {
		d.Secrets = make(map[int]*secret)
	}
	d.Secrets[c.Version()] = s
	return nil
}

// secretFor finds the password of a component's current version: the one that is given,
// or one of those that are kept of other versions, the newest first. It must open the
// key. Without a vault, or where nothing was ever kept, there is none.
func (r *Registry) secretFor(ctx context.Context, c *component.Component, old map[int]*secret, given trustkeep.PasswordSource) (*secret, error) {
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
		return r.secrets.seal(c.ID(), password)
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
		password, err := r.reveal(ctx, c.ID(), old[n])
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

// opens tells whether the password is that of a private component.
func opens(c *component.Component, password []byte) error {
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

// passwordOf returns the password of the current version in the record.
func (r *Registry) passwordOf(ctx context.Context, d *componentRecord, c *component.Component, sealed openSealed) (trustkeep.PasswordSource, error) {
	if c.Visibility() != trustkeep.Private {
		return nil, fmt.Errorf("a public component has no password: %w", trustkeep.ErrUnsupported)
	}
	if s := d.Secrets[c.Version()]; s != nil {
		password, err := r.reveal(ctx, c.ID(), s)
		if err != nil {
			return nil, err
		}
		defer clear(password)
		return trustkeep.Password(string(password)), nil
	}
	switch p, err := sealed(ctx, d); {
	case err == nil:
		defer p.Wipe()
		return trustkeep.Password(string(p.Bytes())), nil
	case !errors.Is(err, trustkeep.ErrNotFound):
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
// that Options.Resolve finds it by. It must resolve to the password now.
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
		d.Secrets[c.Version()] = s
		return nil
	})
	if err == nil {
		r.tell(ctx, Event{Action: "password reference set", Object: id, After: reference})
	}
	return failure("set password reference", id, err)
}

// files shows a component as files that keytool, openssl and gpg open.
func (d *componentRecord) files() []File {
	c, err := d.component()
	if err != nil {
		return nil
	}
	var out []File
	for _, f := range c.Content().Files() {
		out = append(out, File{Name: content.FileName(c.Name()) + f.Suffix, Data: f.Data})
	}
	return out
}
