package keystore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/component"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Identity opens the private key of the component with its password.
//
// The errors wrap ErrUnsupported for a public component and for keys that the standard
// library does not know, ErrIncorrectPassword, and ErrCorrupt where the stored key does
// not belong to the certificate that the component describes, or where crypto/x509
// refuses the certificate (trustkeep.Certificate.Usable).
func (c *Component) Identity(password trustkeep.PasswordSource) (*Identity, error) {
	ks, err := c.open(password, Options{})
	if err != nil {
		return nil, componentError("open", c.name, err)
	}
	defer ks.Close()
	id, err := ks.Identity("")
	if err != nil {
		return nil, componentError("open", c.name, err)
	}
	id.alias = c.name
	return id, nil
}

// open returns the store of a private component, with its key alone.
//
// The component may come from a storage that others can write to, and nothing but the
// password vouches for the store. So a store in a format that has no integrity check, or
// with none, is not that of the component, whatever it holds.
func (c *Component) open(password trustkeep.PasswordSource, o Options) (*Keystore, error) {
	r := c.current()
	if r.store == nil {
		return nil, fmt.Errorf("a public component has no private key: %w", trustkeep.ErrUnsupported)
	}
	secret, err := storefile.Reveal(password)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	if len(secret.Bytes()) == 0 {
		return nil, &trustkeep.Error{Op: "open key", Err: trustkeep.ErrIncorrectPassword, Hint: "no password was given"}
	}
	ks, err := Options{Limits: o.Limits, Clock: o.Clock, Rand: o.Rand}.Parse(r.store, trustkeep.PasswordFunc(func() ([]byte, error) { return bytes.Clone(secret.Bytes()), nil }))
	if err != nil {
		return nil, err
	}
	if ks.Format() != trustkeep.PKCS12 || !ks.restoreChain(r.chain) {
		ks.Close()
		return nil, fmt.Errorf("the stored key is not that of the certificate: %w", trustkeep.ErrCorrupt)
	}
	return ks, nil
}

// restoreChain reports whether a store, just parsed, holds one key, and of certificates
// just these. The key gets them for its chain, in this order: in PKCS#12 they have none,
// and those that are no link of the chain, such as another way to a cross-signed CA, stay
// beside the key when it is read.
func (k *Keystore) restoreChain(chain [][]byte) bool {
	var key *item
	var have [][]byte
	for _, it := range k.current().items {
		switch {
		case it.e.Kind == entry.Key && key == nil:
			key = it
		case it.e.Kind != entry.Opaque:
			return false
		}
		for _, c := range it.e.Chain {
			have = append(have, c.Raw)
		}
	}
	want := slices.Clone(chain)
	slices.SortFunc(have, bytes.Compare)
	slices.SortFunc(want, bytes.Compare)
	if key == nil || len(key.e.Chain) == 0 || !bytes.Equal(key.e.Chain[0].Raw, chain[0]) || !slices.EqualFunc(have, want, bytes.Equal) {
		return false
	}
	only := key.variant(func(e *entry.Entry) {
		e.Chain = make([]*entry.Certificate, len(chain))
		for i, der := range chain {
			e.Chain[i] = entry.NewCertificate(der)
		}
	})
	return k.edit(func(s *state) (*state, error) { return s.with([]*item{only}), nil }) == nil
}

// Rename gives the component another name. Its version stays.
func (c *Component) Rename(name string) (*Component, error) {
	if err := component.CheckName(name); err != nil {
		return nil, componentError("rename", c.name, err)
	}
	out := *c
	out.name = name
	return &out, nil
}

// Reimport replaces the content by that of a file, see ImportComponent. A private
// component takes private keys, a public one certificates; the other kind is an error
// that wraps ErrUnsupported. Issuers that the file leaves out are taken from the current
// chain where they fit.
func (c *Component) Reimport(ctx context.Context, data []byte, o ComponentOptions) (*Component, error) {
	r, err := importRevision(ctx, c.name, data, o, c.current())
	if err != nil {
		return nil, componentError("reimport", c.name, err)
	}
	return admitted("reimport", c.replace(r, o), o)
}

// Change replaces the content of a private component by what change makes of it: change
// gets a store that holds the key with its chain under the alias. Package issue renews and
// regenerates components through it. Options hold the current password, which the key keeps
// unless NewPassword is set. op is what errors call it.
//
// For a public component the error wraps ErrUnsupported: whoever holds the private key has
// to make a new one.
func (c *Component) Change(ctx context.Context, op string, change func(ks *Keystore, alias string) error, o ComponentOptions) (*Component, error) {
	if err := ctx.Err(); err != nil {
		return nil, componentError(op, c.name, err)
	}
	if c.current().store == nil {
		return nil, componentError(op, c.name, fmt.Errorf("no key or certificate can be made for a public component: %w", trustkeep.ErrUnsupported))
	}
	password, err := storefile.Reveal(o.Password)
	if err != nil {
		return nil, componentError(op, c.name, err)
	}
	defer password.Wipe()
	o.Password = revealed(password)
	ks, err := c.open(o.Password, o.Options)
	if err != nil {
		return nil, componentError(op, c.name, err)
	}
	defer ks.Close()
	alias := ks.Aliases()[0]
	if err := change(ks, alias); err != nil {
		return nil, componentError(op, c.name, err)
	}
	r, err := protect(ks, alias, c.name, o)
	if err != nil {
		return nil, componentError(op, c.name, err)
	}
	return admitted(op, c.replace(r, o), o)
}

// ChangePassword gives the key of a private component another password, as a new version.
// The current one must be given: a wrong one is an error that wraps ErrIncorrectPassword.
// The error wraps ErrUnsupported for a public component and ErrEmpty for an empty
// password.
func (c *Component) ChangePassword(current, next trustkeep.PasswordSource, o ComponentOptions) (*Component, error) {
	store, err := c.sealed(current, next, trustkeep.SaveOptions{Rand: o.Rand})
	if err != nil {
		return nil, componentError("change password", c.name, err)
	}
	r := *c.current()
	r.store = store
	return c.replace(&r, o), nil
}

// sealed returns the key and its chain under another password.
func (c *Component) sealed(current, next trustkeep.PasswordSource, o trustkeep.SaveOptions) ([]byte, error) {
	ks, err := c.open(current, Options{})
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	return sealComponent(ks, ks.Aliases()[0], c.name, next, o)
}

// Rollback makes the content of an earlier version current again, as a new version. The
// key then has the password of that version. The error wraps ErrNotFound when there is
// no such version.
func (c *Component) Rollback(version int, o ComponentOptions) (*Component, error) {
	for _, r := range c.versions {
		if r.number == version {
			again := *r
			return admitted("roll back", c.replace(&again, o), o)
		}
	}
	return nil, componentError("roll back", c.name, fmt.Errorf("version %d: %w", version, trustkeep.ErrNotFound))
}

func (c *Component) replace(r *revision, o ComponentOptions) *Component {
	r.number, r.replaced = c.Version()+1, o.now()
	out := *c
	out.versions = append(slices.Clone(c.versions), r)
	return &out
}
