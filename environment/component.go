package environment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/formats"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// keptVersions is how many versions of a component are kept, the current one included.
const keptVersions = 64

// ComponentOptions says how the content of a component is read or made.
type ComponentOptions struct {
	// Password opens the file that is imported, or the current content of the
	// component that is regenerated; nil means none. For the latter, and where the
	// registry keeps the password, it need not be given.
	Password trustkeep.PasswordSource
	// NewPassword protects the private key from then on. Nil stands for Password.
	NewPassword trustkeep.PasswordSource
	// Alias of the entry to take of a file that holds several.
	Alias string
	// ID of a new component; empty makes one up.
	ID string
}

func (o ComponentOptions) protection() trustkeep.PasswordSource {
	if o.NewPassword != nil {
		return o.NewPassword
	}
	return o.Password
}

func (r *Registry) x509Options(o ComponentOptions) keystore.ComponentOptions {
	return keystore.ComponentOptions{
		Options: keystore.Options{Clock: r.o.Clock, Rand: r.o.Rand}, Scanner: r.o.Scanner,
		Password: o.Password, NewPassword: o.NewPassword, Alias: o.Alias, ID: o.ID,
	}
}

func (r *Registry) pgpOptions(o ComponentOptions) pgp.ComponentOptions {
	return pgp.ComponentOptions{
		Options: pgp.Options{Clock: r.o.Clock, Rand: r.o.Rand}, Scanner: r.o.Scanner,
		Passphrase: o.Password, NewPassphrase: o.NewPassword, ID: o.ID,
	}
}

// Import makes a component of a file, X.509 or OpenPGP as the content has it, private if
// it holds a private key; see keystore.ImportComponent and pgp.ImportComponent, whose
// errors it returns. Nothing is stored before every stage has passed: size, scanner,
// format, password, policy. trustkeep.ErrExists: the ID is taken.
//
// The password of a private component is kept if the registry has a Key.
func (r *Registry) Import(ctx context.Context, name string, data []byte, o ComponentOptions) (trustkeep.Component, error) {
	c, err := r.imported(ctx, name, data, o)
	if err != nil {
		return nil, failure("import", name, err)
	}
	return r.create(ctx, "import", c, o.protection())
}

func (r *Registry) imported(ctx context.Context, name string, data []byte, o ComponentOptions) (trustkeep.Component, error) {
	if isOpenPGP(data) {
		return or[trustkeep.Component](pgp.ImportComponent(ctx, name, data, r.pgpOptions(o)))
	}
	return or[trustkeep.Component](keystore.ImportComponent(ctx, name, data, r.x509Options(o)))
}

// or keeps a nil pointer from becoming an interface that is not nil.
func or[I any, T interface{ comparable }](v T, err error) (I, error) {
	var none I
	if err != nil {
		return none, err
	}
	return any(v).(I), nil
}

// isOpenPGP tells a key of RFC 9580 from the formats of package keystore: armor by its
// first line, packets by the bit that each begins with (section 4.2), where nothing else
// fits.
func isOpenPGP(data []byte) bool {
	if bytes.Contains(data[:min(len(data), 1<<16)], []byte("-----BEGIN PGP ")) {
		return true
	}
	_, known := formats.Detect(data)
	return !known && len(data) > 0 && data[0]&0x80 != 0
}

// GenerateX509 makes a private component with a new key, see issue.GenerateComponent.
func (r *Registry) GenerateX509(ctx context.Context, name string, cert issue.Options, o ComponentOptions) (*keystore.Component, error) {
	c, err := issue.GenerateComponent(ctx, name, cert, r.x509Options(o))
	if err != nil {
		return nil, failure("generate", name, err)
	}
	if _, err := r.create(ctx, "generate", c, o.protection()); err != nil {
		return nil, err
	}
	return c, nil
}

// GeneratePGP makes a private component with a new key, see pgp.GenerateComponent.
func (r *Registry) GeneratePGP(ctx context.Context, name string, key pgp.GenerateOptions, o ComponentOptions) (*pgp.Component, error) {
	c, err := pgp.GenerateComponent(ctx, name, key, r.pgpOptions(o))
	if err != nil {
		return nil, failure("generate", name, err)
	}
	if _, err := r.create(ctx, "generate", c, o.protection()); err != nil {
		return nil, err
	}
	return c, nil
}

// Add stores a component that was made elsewhere. password is that of a private one,
// which is checked and kept if the registry has a Key; nil keeps none.
//
// Errors wrap trustkeep.ErrExists where the ID is taken, ErrIncorrectPassword,
// ErrUnsupported for another kind of component than those of packages keystore and pgp or
// for an ID that CheckKey refuses, and whatever the policy returns.
func (r *Registry) Add(ctx context.Context, c trustkeep.Component, password trustkeep.PasswordSource) error {
	_, err := r.create(ctx, "add", c, password)
	return err
}

func (r *Registry) create(ctx context.Context, op string, c trustkeep.Component, password trustkeep.PasswordSource) (trustkeep.Component, error) {
	fail := func(err error) (trustkeep.Component, error) { return nil, failure(op, c.Name(), err) }
	if err := checkID(op, c.ID()); err != nil {
		return fail(err)
	}
	d := new(componentRecord)
	if err := r.fill(ctx, d, c, password); err != nil {
		return fail(err)
	}
	_, err := r.put(ctx, componentKey(c.ID()), d, 0)
	if errors.Is(err, trustkeep.ErrConflict) {
		err = fmt.Errorf("component %s: %w", c.ID(), trustkeep.ErrExists)
	}
	if err != nil {
		return fail(err)
	}
	r.tell(ctx, Event{Action: "component created", Object: c.ID(), After: describe(c)})
	return c, nil
}

// Component returns a component, a *keystore.Component or a *pgp.Component. The error
// wraps trustkeep.ErrNotFound.
func (r *Registry) Component(ctx context.Context, id string) (trustkeep.Component, error) {
	c, _, _, err := r.component(ctx, id)
	return c, failure("component", id, err)
}

func (r *Registry) component(ctx context.Context, id string) (trustkeep.Component, *componentRecord, uint64, error) {
	if err := checkID("component", id); err != nil {
		return nil, nil, 0, err
	}
	d := new(componentRecord)
	revision, err := r.get(ctx, componentKey(id), d)
	if err != nil {
		return nil, nil, 0, err
	}
	if revision == 0 {
		return nil, nil, 0, fmt.Errorf("component: %w", trustkeep.ErrNotFound)
	}
	c, err := d.component()
	return c, d, revision, err
}

// Components returns all components, by ID. Those whose records are damaged are left out
// and named by the error, which does not keep the others from being returned.
func (r *Registry) Components(ctx context.Context) ([]trustkeep.Component, error) {
	records, err := r.storage.List(ctx, componentsPrefix)
	if err != nil {
		return nil, failure("components", "", err)
	}
	var out []trustkeep.Component
	var damaged []error
	for _, record := range records {
		d := new(componentRecord)
		err := decode(record, d)
		if err == nil {
			var c trustkeep.Component
			if c, err = d.component(); err == nil {
				out = append(out, c)
				continue
			}
		}
		damaged = append(damaged, err)
	}
	return out, failure("components", "", errors.Join(damaged...))
}

// ByFingerprint returns the components whose current content has a fingerprint, so that
// the same certificate need not be kept twice.
func (r *Registry) ByFingerprint(ctx context.Context, fingerprint string) ([]trustkeep.Component, error) {
	all, err := r.Components(ctx)
	return slices.DeleteFunc(all, func(c trustkeep.Component) bool { return c.Fingerprint() != fingerprint }), err
}

// Update replaces a component by what change makes of it, a component of the same ID. If
// somebody else was faster, change is called again with what they left.
//
// password is that of the new content, if it is another than before; a component whose
// password is not kept needs none. Errors are those of change and Add;
// trustkeep.ErrNotFound.
func (r *Registry) Update(ctx context.Context, id string, password trustkeep.PasswordSource, change func(trustkeep.Component) (trustkeep.Component, error)) (trustkeep.Component, error) {
	for range maxAttempts {
		before, d, revision, err := r.component(ctx, id)
		if err != nil {
			return nil, failure("update", id, err)
		}
		after, err := change(before)
		if err != nil {
			return nil, failure("update", before.Name(), err)
		}
		_, _, err = r.replace(ctx, d, revision, before, after, password)
		if err == nil {
			return after, nil
		}
		if !errors.Is(err, trustkeep.ErrConflict) || ctx.Err() != nil {
			return nil, failure("update", before.Name(), err)
		}
	}
	return nil, failure("update", id, trustkeep.ErrConflict)
}

// replace writes a component in the place of another, and returns its record and revision.
func (r *Registry) replace(ctx context.Context, d *componentRecord, revision uint64, before, after trustkeep.Component, password trustkeep.PasswordSource) (*componentRecord, uint64, error) {
	if after.ID() != before.ID() || after.Kind() != before.Kind() || after.Visibility() != before.Visibility() {
		return nil, 0, fmt.Errorf("a change of ID, kind or visibility: %w", trustkeep.ErrUnsupported)
	}
	if d.Deleting {
		return nil, 0, beingDeleted(componentKey(before.ID()))
	}
	next := *d // the one that was read stays as it is, for another attempt
	next.Secrets = maps.Clone(d.Secrets)
	if err := r.fill(ctx, &next, after, password); err != nil {
		return nil, 0, err
	}
	revision, err := r.put(ctx, componentKey(before.ID()), &next, revision)
	if err != nil {
		return nil, 0, err
	}
	r.tell(ctx, Event{Action: "component changed", Object: before.ID(), Before: describe(before), After: describe(after)})
	return &next, revision, nil
}

// Draft opens a component to change it over some time. Saving fails with a
// *ConflictError if somebody else has changed it since. password is that of the content
// to be saved, see Update; it is asked for when the draft is saved.
func (r *Registry) Draft(ctx context.Context, id string, password trustkeep.PasswordSource) (*trustkeep.Draft[trustkeep.Component], error) {
	before, d, revision, err := r.component(ctx, id)
	if err != nil {
		return nil, failure("draft", id, err)
	}
	return trustkeep.NewDraft(before, func(after trustkeep.Component) error {
		written, at, err := r.replace(ctx, d, revision, before, after, password)
		if err != nil {
			return failure("save", before.Name(), err)
		}
		before, d, revision = after, written, at // what the next Save starts from
		return nil
	}), nil
}

// Reimport replaces the content of a component by that of a file, see
// keystore.Component.Reimport and its counterpart in pgp. Whatever refers to the
// component goes on with the new content, except frozen copies; see Environment.Stale.
func (r *Registry) Reimport(ctx context.Context, id string, data []byte, o ComponentOptions) (trustkeep.Component, error) {
	return r.Update(ctx, id, o.protection(), func(c trustkeep.Component) (trustkeep.Component, error) {
		switch c := c.(type) {
		case *keystore.Component:
			return or[trustkeep.Component](c.Reimport(ctx, data, r.x509Options(o)))
		case *pgp.Component:
			return or[trustkeep.Component](c.Reimport(ctx, data, r.pgpOptions(o)))
		}
		return nil, errKind
	})
}

// RegenerateX509 replaces key and certificate of a private X.509 component, see
// keystore.Component.Regenerate. The password may be left out where it is kept.
func (r *Registry) RegenerateX509(ctx context.Context, id string, renew issue.RenewOptions, o ComponentOptions) (*keystore.Component, error) {
	return or[*keystore.Component](r.Update(ctx, id, o.protection(), func(c trustkeep.Component) (trustkeep.Component, error) {
		x, ok := c.(*keystore.Component)
		if !ok {
			return nil, errKind
		}
		if o.Password == nil && x.Visibility() == trustkeep.Private {
			p, err := r.Password(ctx, id)
			if err != nil {
				return nil, err
			}
			o.Password = p
		}
		return or[trustkeep.Component](issue.RegenerateComponent(ctx, x, renew, r.x509Options(o)))
	}))
}

// RegeneratePGP replaces the key of a private PGP component, see
// pgp.Component.Regenerate. The passphrase is NewPassword, or Password, or the one that
// is kept.
func (r *Registry) RegeneratePGP(ctx context.Context, id string, key pgp.GenerateOptions, o ComponentOptions) (*pgp.Component, error) {
	return or[*pgp.Component](r.Update(ctx, id, o.protection(), func(c trustkeep.Component) (trustkeep.Component, error) {
		p, ok := c.(*pgp.Component)
		if !ok {
			return nil, errKind
		}
		if o.protection() == nil && p.Visibility() == trustkeep.Private {
			kept, err := r.Password(ctx, id)
			if err != nil {
				return nil, err
			}
			o.Password = kept
		}
		return or[trustkeep.Component](p.Regenerate(ctx, key, r.pgpOptions(o)))
	}))
}

// ChangePassword gives the private key of a component another password, given its
// current one.
func (r *Registry) ChangePassword(ctx context.Context, id string, current, next trustkeep.PasswordSource) (trustkeep.Component, error) {
	return r.Update(ctx, id, next, func(c trustkeep.Component) (trustkeep.Component, error) {
		switch c := c.(type) {
		case *keystore.Component:
			return or[trustkeep.Component](c.ChangePassword(current, next, r.x509Options(ComponentOptions{})))
		case *pgp.Component:
			return or[trustkeep.Component](c.ChangePassphrase(current, next, pgp.Options{Clock: r.o.Clock, Rand: r.o.Rand}))
		}
		return nil, errKind
	})
}

// Rename gives a component another name. Whatever refers to it does so by ID.
func (r *Registry) Rename(ctx context.Context, id, name string) (trustkeep.Component, error) {
	return r.Update(ctx, id, nil, func(c trustkeep.Component) (trustkeep.Component, error) {
		switch c := c.(type) {
		case *keystore.Component:
			return or[trustkeep.Component](c.Rename(name))
		case *pgp.Component:
			return or[trustkeep.Component](c.Rename(name))
		}
		return nil, errKind
	})
}

// Rollback makes an earlier version of a component current again, as a new version. The
// last 64 versions are kept.
func (r *Registry) Rollback(ctx context.Context, id string, version int) (trustkeep.Component, error) {
	return r.Update(ctx, id, nil, func(c trustkeep.Component) (trustkeep.Component, error) {
		switch c := c.(type) {
		case *keystore.Component:
			return or[trustkeep.Component](c.Rollback(version, r.x509Options(ComponentOptions{})))
		case *pgp.Component:
			return or[trustkeep.Component](c.Rollback(version, pgp.Options{Clock: r.o.Clock, Rand: r.o.Rand}))
		}
		return nil, errKind
	})
}

var errKind = fmt.Errorf("a component of another kind: %w", trustkeep.ErrUnsupported)

// Delete removes a component. The error wraps trustkeep.ErrInUse, and says by what, while
// anything refers to it, frozen copies included, see Uses; trustkeep.ErrNotFound if there
// is none, and trustkeep.ErrConflict if somebody else deletes it at the same moment.
//
// Whatever refers to it for the first time meanwhile fails with trustkeep.ErrNotFound. A
// program that ends in the middle can leave it so that nothing more can refer to it or
// change it; delete it again then.
func (r *Registry) Delete(ctx context.Context, id string) error {
	c, _, _, err := r.component(ctx, id)
	if err != nil {
		return failure("delete", id, err)
	}
	err = remove(ctx, r, componentKey(id), newComponentRecord, func(v *inventory) error {
		if uses := v.uses(id); len(uses) > 0 {
			return &trustkeep.Error{Op: "look for uses", Err: fmt.Errorf("%w: %s", trustkeep.ErrInUse, listed(uses)), Hint: "end these uses first"}
		}
		return nil
	}, nil)
	if err == nil {
		r.tell(ctx, Event{Action: "component deleted", Object: id, Before: describe(c)})
	}
	return failure("delete", c.Name(), err)
}

// describe says for events what is in a component.
func describe(c trustkeep.Component) string {
	until := "without end"
	if !c.NotAfter().IsZero() {
		until = "until " + c.NotAfter().UTC().Format("2006-01-02 15:04:05 MST")
	}
	return fmt.Sprintf("%s %s %q, version %d, %s, %s", c.Visibility(), c.Kind(), trustkeep.Printable(c.Name()), c.Version(), c.Fingerprint(), until)
}
