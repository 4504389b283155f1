package pgp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/component"
)

// Component is a PGP key under management. It implements trustkeep.Component.
//
// A Component never changes: what changes one returns a new Component with the
// same ID, to be put in the place of the old. It keeps the versions that it has
// replaced. Private components hold their keys locked by a passphrase, which
// the component does not know.
//
// It is safe for concurrent use.
type Component struct {
	id       string
	name     string
	versions []Revision // the current one last
}

var _ trustkeep.Component = (*Component)(nil)

// Revision is one version of a component's content.
type Revision struct {
	Number   int
	Replaced time.Time // when this version came to be
	Key      *Key
}

// ComponentOptions says how to import or make the content of a component. The
// zero value is fine for public keys.
type ComponentOptions struct {
	Options
	// Scanner sees the file before anything reads it. Nil means none.
	Scanner trustkeep.Scanner
	// Policy sees the component that would result, and refuses it by an error, as
	// the last stage before it exists. Nil admits everything.
	Policy func(*Component) error
	// Passphrase is that of a private key. For a key that comes locked it is
	// checked if given; a key that comes without a passphrase, or is
	// generated, is locked with it and cannot be taken in without.
	Passphrase trustkeep.PasswordSource
	// NewPassphrase locks a private key from then on. Nil stands for Passphrase.
	NewPassphrase trustkeep.PasswordSource
	// ID is the ID of a new component. Empty means 32 random hex digits.
	ID string
}

// ImportComponent makes a component of a key file, armored or binary. The
// component is private if the key is, else public. Nothing is taken over before
// every stage has passed: size, scanner, format, passphrase, policy.
//
// The errors wrap ErrRejected (the scanner, the policy, or a private key without
// passphrase when none is given), ErrUnsupported (several keys in one file),
// ErrIncorrectPassword, or what Parse returns.
func ImportComponent(ctx context.Context, name string, data []byte, o ComponentOptions) (*Component, error) {
	if err := component.CheckName(name); err != nil {
		return nil, withPrefix(err)
	}
	key, err := importKey(ctx, name, data, o)
	if err == nil {
		key, err = lockedImport(key, o)
	}
	if err != nil {
		return nil, err
	}
	return newComponent(name, key, o)
}

// GenerateComponent makes a private component with a new key. The passphrase of
// options.Passphrase is used; that of key must be nil.
func GenerateComponent(ctx context.Context, name string, key GenerateOptions, o ComponentOptions) (*Component, error) {
	if err := component.CheckName(name); err != nil {
		return nil, withPrefix(err)
	}
	k, err := generateLocked(ctx, key, o)
	if err != nil {
		return nil, err
	}
	return newComponent(name, k, o)
}

func newComponent(name string, key *Key, o ComponentOptions) (*Component, error) {
	id, err := component.NewID(o.ID, o.rand())
	if err != nil {
		return nil, withPrefix(err)
	}
	return admitted(&Component{id: id, name: name, versions: []Revision{{1, o.now().UTC(), key}}}, o)
}

// admitted is the last stage of every change of content.
func admitted(c *Component, o ComponentOptions) (*Component, error) {
	if o.Policy != nil {
		if err := o.Policy(c); err != nil {
			return nil, &trustkeep.Error{Op: "pgp: policy", Alias: c.name, Err: err}
		}
	}
	return c, nil
}

// importKey runs the import pipeline up to the format.
func importKey(ctx context.Context, name string, data []byte, o ComponentOptions) (*Key, error) {
	if err := component.Admit(ctx, name, data, o.budget(), o.Scanner); err != nil {
		return nil, &trustkeep.Error{Op: "pgp: import", Alias: name, Err: err}
	}
	ring, err := o.Parse(data)
	if err != nil {
		return nil, err
	}
	if ring.Len() != 1 || len(ring.skipped) > 0 {
		return nil, fail(trustkeep.ErrUnsupported, "a component holds one key; the file has %d, and %d parts that cannot be read", ring.Len(), len(ring.skipped))
	}
	return ring.keys[0], nil
}

// lockedImport makes sure that a private key is locked, by a passphrase that is
// right if one was given.
func lockedImport(key *Key, o ComponentOptions) (*Key, error) {
	if !key.IsPrivate() {
		return key, nil
	}
	_, unprotected := key.MarshalPrivate()
	if o.protection() == nil {
		return key, unprotected
	}
	open, err := key.Unlock(o.Passphrase, o.Options) // some parts may be locked, others not
	if err != nil {
		return nil, err
	}
	if unprotected == nil && o.NewPassphrase == nil {
		return key, nil
	}
	return open.Lock(o.protection(), o.Options)
}

// protection is the passphrase of a private component from then on.
func (o ComponentOptions) protection() trustkeep.PasswordSource {
	if o.NewPassphrase != nil {
		return o.NewPassphrase
	}
	return o.Passphrase
}

func generateLocked(ctx context.Context, g GenerateOptions, o ComponentOptions) (*Key, error) {
	if o.protection() == nil || g.Passphrase != nil {
		return nil, fail(trustkeep.ErrInvalid, "a private component needs a passphrase, in ComponentOptions")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.Options, g.Passphrase = o.Options, o.protection()
	key, _, err := Generate(g)
	if err != nil {
		return nil, err
	}
	return key.forget(), nil
}

// forget returns the key without what passphrases have opened.
func (k *Key) forget() *Key {
	out := *k.state()
	out.unlocked = nil
	return keyOf(&out)
}

// String names the component, its version and its key.
func (c *Component) String() string {
	return fmt.Sprintf("%s PGP component %q, version %d, %s", c.Visibility(), trustkeep.Printable(c.name), c.Version(), c.Fingerprint())
}

// GoString is String, so that %#v shows no more.
func (c *Component) GoString() string { return c.String() }

func (c *Component) current() Revision { return c.versions[len(c.versions)-1] }

// ID identifies the component for life.
func (c *Component) ID() string { return c.id }

// Name is for people.
func (c *Component) Name() string { return c.name }

// Kind returns trustkeep.PGP.
func (c *Component) Kind() trustkeep.Kind { return trustkeep.PGP }

// Visibility tells whether the component holds a private key.
func (c *Component) Visibility() trustkeep.Visibility {
	if c.Key().IsPrivate() {
		return trustkeep.Private
	}
	return trustkeep.Public
}

// Key returns the current key. That of a private component is locked.
func (c *Component) Key() *Key { return c.current().Key }

// Fingerprint is that of the current key.
func (c *Component) Fingerprint() string { return c.Key().Fingerprint() }

// NotBefore is when the current key was made.
func (c *Component) NotBefore() time.Time { return c.Key().NotBefore() }

// NotAfter is when the current key expires; zero for never.
func (c *Component) NotAfter() time.Time { return c.Key().NotAfter() }

// Revoked tells whether the current key has been revoked.
func (c *Component) Revoked() bool { return c.Key().Revoked() }

// Version starts at 1 and grows by one with each replacement.
func (c *Component) Version() int { return c.current().Number }

// Versions returns all versions, the current one last.
func (c *Component) Versions() []Revision { return slices.Clone(c.versions) }

// Rename gives the component another name. Its version stays.
func (c *Component) Rename(name string) (*Component, error) {
	if err := component.CheckName(name); err != nil {
		return nil, withPrefix(err)
	}
	out := *c
	out.name = name
	return &out, nil
}

// Reimport replaces the content by that of a key file, see ImportComponent. A
// private component takes private keys, a public one public keys; the other
// kind is an error that wraps ErrUnsupported. A copy of the current key is
// merged, see Key.Merge, so an extended expiry counts and nothing known is
// lost.
func (c *Component) Reimport(ctx context.Context, data []byte, o ComponentOptions) (*Component, error) {
	key, err := importKey(ctx, c.name, data, o)
	if err != nil {
		return nil, err
	}
	if key.IsPrivate() != c.Key().IsPrivate() {
		return nil, fail(trustkeep.ErrUnsupported, "a %s component cannot take over a key of the other kind", c.Visibility())
	}
	if key, err = lockedImport(key, o); err != nil {
		return nil, err
	}
	if key.Fingerprint() == c.Fingerprint() {
		// The newly imported copy leads: its passphrase is the one that counts.
		if key, err = key.Merge(c.Key()); err != nil {
			return nil, err
		}
	}
	return admitted(c.replace(key.forget(), o.Options), o)
}

// Regenerate replaces the key of a private component by a new one. Without user
// IDs in the options, the new key gets those of the current one that are valid.
// For a public component, the error wraps ErrUnsupported: whoever holds the
// private key has to make a new one.
func (c *Component) Regenerate(ctx context.Context, key GenerateOptions, o ComponentOptions) (*Component, error) {
	if c.Visibility() != trustkeep.Private {
		return nil, fail(trustkeep.ErrUnsupported, "no key can be generated for a public component")
	}
	if key.UserIDs == nil {
		for _, u := range c.Key().Info(Options{Clock: o.Clock, Allow: Legacy}).UserIDs {
			if u.Valid {
				key.UserIDs = append(key.UserIDs, u.ID)
			}
		}
	}
	k, err := generateLocked(ctx, key, o)
	if err != nil {
		return nil, err
	}
	return admitted(c.replace(k, o.Options), o)
}

// Update replaces the content by a changed copy of the current key, such as one
// with a later expiry. The error wraps ErrKeyMismatch for another key and
// ErrRejected for a private key with a part that has no passphrase.
func (c *Component) Update(key *Key, cfg Options) (*Component, error) {
	if key.Fingerprint() != c.Fingerprint() || key.IsPrivate() != c.Key().IsPrivate() {
		return nil, fail(trustkeep.ErrKeyMismatch, "key %s is not the one of component %q", key.Fingerprint(), trustkeep.Printable(c.name))
	}
	if key.IsPrivate() {
		if _, err := key.MarshalPrivate(); err != nil {
			return nil, err
		}
	}
	return c.replace(key.forget(), cfg), nil
}

// ChangePassphrase locks the key of a private component by another passphrase.
// A current one that is wrong is an error that wraps ErrIncorrectPassword; for a
// public component the error wraps ErrUnsupported.
func (c *Component) ChangePassphrase(current, replacement trustkeep.PasswordSource, cfg Options) (*Component, error) {
	if c.Visibility() != trustkeep.Private {
		return nil, fail(trustkeep.ErrUnsupported, "a public component has no passphrase")
	}
	key, err := c.relocked(current, replacement, cfg)
	if err != nil {
		return nil, err
	}
	return c.replace(key, cfg), nil
}

func (c *Component) relocked(current, replacement trustkeep.PasswordSource, cfg Options) (*Key, error) {
	if current == nil || replacement == nil {
		return nil, fail(trustkeep.ErrInvalid, "a private key needs a passphrase")
	}
	return c.Key().ChangePassphrase(current, replacement, cfg)
}

// Rollback makes the content of an earlier version current again, as a new
// version. The error wraps ErrNotFound when there is no such version.
func (c *Component) Rollback(version int, cfg Options) (*Component, error) {
	for _, r := range c.versions {
		if r.Number == version {
			return c.replace(r.Key, cfg), nil
		}
	}
	return nil, fail(trustkeep.ErrNotFound, "version %d of component %q", version, trustkeep.Printable(c.name))
}

func (c *Component) replace(key *Key, cfg Options) *Component {
	out := *c
	out.versions = append(slices.Clone(c.versions), Revision{c.Version() + 1, cfg.now().UTC(), key})
	return &out
}

// File suffixes of exported keys.
const (
	PublicSuffix  = "_pub.asc"
	PrivateSuffix = "_priv.asc"
)

// ExportPublic returns the public key as text and a name for the file. It is
// what a partner needs to encrypt to the component and to verify what it signs.
func (c *Component) ExportPublic() (fileName string, data []byte, err error) {
	data, err = c.Key().Armor()
	return component.FileName(c.name) + PublicSuffix, data, err
}

// ExportPrivate returns the private key as text, locked by a passphrase of the
// caller's choice, and a name for the file. The error wraps ErrUnsupported for
// a public component, ErrInvalid when no passphrase is given.
func (c *Component) ExportPrivate(current, passphrase trustkeep.PasswordSource, cfg Options) (fileName string, data []byte, err error) {
	if c.Visibility() != trustkeep.Private {
		return "", nil, fail(trustkeep.ErrUnsupported, "a public component has no private key to export")
	}
	key, err := c.relocked(current, passphrase, cfg)
	if err != nil {
		return "", nil, err
	}
	data, err = key.ArmorPrivate()
	return component.FileName(c.name) + PrivateSuffix, data, err
}

// ComponentState is a component in a form that can be stored, for example as
// JSON. Private keys are in it as they are kept: locked.
type ComponentState struct {
	ID       string
	Name     string
	Versions []RevisionState
}

// RevisionState is one version in a ComponentState; Data is a binary key.
type RevisionState struct {
	Number   int
	Replaced time.Time
	Data     []byte
}

// State returns what RestoreComponent makes the component of again.
func (c *Component) State() (ComponentState, error) {
	s := ComponentState{ID: c.id, Name: c.name}
	for _, r := range c.versions {
		data := []byte(nil)
		var err error
		if r.Key.IsPrivate() {
			data, err = r.Key.MarshalPrivate()
		} else {
			data = r.Key.Marshal()
		}
		if err != nil {
			return ComponentState{}, err
		}
		s.Versions = append(s.Versions, RevisionState{r.Number, r.Replaced, data})
	}
	return s, nil
}

// RestoreComponent makes a component of its stored state. The error wraps
// ErrCorrupt when the state contradicts itself or has a private key that no
// passphrase protects, since State never does and any passphrase would seem to
// open it.
func RestoreComponent(s ComponentState, cfg Options) (*Component, error) {
	if s.ID == "" || len(s.Versions) == 0 {
		return nil, fail(trustkeep.ErrCorrupt, "component state without ID or version")
	}
	if err := component.CheckName(s.Name); err != nil {
		return nil, fail(trustkeep.ErrCorrupt, "component %s: %v", trustkeep.Printable(s.ID), err)
	}
	c := &Component{id: s.ID, name: s.Name}
	for i, v := range s.Versions {
		ring, err := cfg.Parse(v.Data)
		if errors.Is(err, trustkeep.ErrEmpty) {
			return nil, fail(trustkeep.ErrCorrupt, "version %d of component %s: %v", v.Number, trustkeep.Printable(s.ID), err)
		}
		if err != nil {
			return nil, err
		}
		if ring.Len() != 1 || len(ring.skipped) > 0 || i > 0 && v.Number <= s.Versions[i-1].Number || v.Number < 1 || v.Number > math.MaxInt32 {
			return nil, fail(trustkeep.ErrCorrupt, "version %d of component %s", v.Number, trustkeep.Printable(s.ID))
		}
		key := ring.keys[0]
		if i > 0 && key.IsPrivate() != c.Key().IsPrivate() {
			return nil, fail(trustkeep.ErrCorrupt, "version %d of component %s is of another kind", v.Number, trustkeep.Printable(s.ID))
		}
		if key.IsPrivate() {
			if _, err := key.MarshalPrivate(); err != nil {
				return nil, fail(trustkeep.ErrCorrupt, "version %d of component %s: %v", v.Number, trustkeep.Printable(s.ID), err)
			}
		}
		c.versions = append(c.versions, Revision{v.Number, v.Replaced, key})
	}
	return c, nil
}
