package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// keptVersions is how many versions of a component are kept, the current one included.
const keptVersions = 64

// ComponentOptions configures importing and creating components.
type ComponentOptions struct {
	// Password opens the file that is imported, or the current content of the
	// component that is regenerated; nil means none. For the latter, and where the
	// registry keeps the password, it need not be given.
	Password trustkeep.PasswordSource
	// KeyPassword opens the private key of a store where that has another password than the
	// store, as JKS allows. If nil, Password does.
	KeyPassword trustkeep.PasswordSource
	// KeyPasswords are the same by alias, for stores with several such keys.
	KeyPasswords map[string]trustkeep.PasswordSource
	// NewPassword protects the private key from then on. If nil, Password does.
	NewPassword trustkeep.PasswordSource
	// Alias of the entry to take of a file that holds several; for PGP, the fingerprint
	// of the key.
	Alias string
	// ID of a new component. If empty, a random one.
	ID string
	// Unique refuses to import or create what another component already has, with
	// trustkeep.ErrExists and the names of these; a private component and one of its public part
	// are not the same. Entries of one file are compared, two imports at the same moment are not. If false, Audit reports
	// it.
	Unique bool
}

// kinds are those of components, asked in this order what a file is.
func kinds() []component.Kind {
	return []component.Kind{keystore.ComponentKind(), pgp.ComponentKind()}
}

func (r *Registry) options(o ComponentOptions) component.Options {
	return component.Options{
		Kinds: kinds(), Scanner: r.o.Scanner, Clock: r.o.Clock, Rand: r.o.Rand,
		Password: o.Password, KeyPassword: o.KeyPassword, KeyPasswords: o.KeyPasswords, NewPassword: o.NewPassword, Alias: o.Alias, ID: o.ID,
	}
}

func (o ComponentOptions) protection() trustkeep.PasswordSource {
	if o.NewPassword != nil {
		return o.NewPassword
	}
	return o.Password
}

// Import makes a component of a file, X.509 or OpenPGP as the content has it, private if
// it holds a private key; see component.Import, whose errors it returns. Nothing is stored
// before every stage has passed: size, scanner, format, password, policy.
// trustkeep.ErrExists: the ID is taken.
//
// The password of a private component is kept if the registry has a Sealer.
func (r *Registry) Import(ctx context.Context, name string, data []byte, o ComponentOptions) (*component.Component, error) {
	c, err := component.Import(ctx, name, data, r.options(o))
	if err != nil {
		return nil, failure("import", name, err)
	}
	if err := r.checkUnique(ctx, c, o); err != nil {
		return nil, failure("import", name, err)
	}
	return r.add(ctx, "import", c, o.protection())
}

// ImportAll makes a component of each entry of a file, such as a keystore with several keys,
// each perhaps under a password of its own; see component.ImportAll. Nothing is stored unless all
// entries pass. If storing one fails, those that are stored already are returned beside the
// error.
func (r *Registry) ImportAll(ctx context.Context, data []byte, o ComponentOptions) ([]*component.Component, error) {
	all, err := component.ImportAll(ctx, data, r.options(o))
	if err != nil {
		return nil, failure("import all", "", err)
	}
	for i, c := range all {
		err := r.checkUnique(ctx, c, o)
		if o.Unique && err == nil {
			err = unlike(c, all[:i])
		}
		if err != nil {
			return nil, failure("import all", c.Name(), err)
		}
	}
	for i, c := range all {
		stored, err := r.add(ctx, "import all", c, o.protection())
		if err != nil {
			return all[:i], err
		}
		all[i] = stored
	}
	return all, nil
}

// Create makes a component of what a source has: a new key, or one that is in memory; see
// component.Create. trustkeep.ErrExists: the ID is taken.
func (r *Registry) Create(ctx context.Context, name string, source component.Source, o ComponentOptions) (*component.Component, error) {
	c, err := component.Create(ctx, name, source, r.options(o))
	if err != nil {
		return nil, failure("create", name, err)
	}
	if err := r.checkUnique(ctx, c, o); err != nil {
		return nil, failure("create", name, err)
	}
	return r.add(ctx, "create", c, o.protection())
}

// checkUnique is ComponentOptions.Unique.
func (r *Registry) checkUnique(ctx context.Context, c *component.Component, o ComponentOptions) error {
	if !o.Unique {
		return nil
	}
	same, err := r.ByFingerprint(ctx, c.Fingerprint())
	if err != nil {
		return err
	}
	return unlike(c, same)
}

// unlike refuses a component that is like one of others.
func unlike(c *component.Component, others []*component.Component) error {
	var names []string
	for _, other := range others {
		if other.Kind() == c.Kind() && other.Visibility() == c.Visibility() && other.Fingerprint() == c.Fingerprint() {
			names = append(names, fmt.Sprintf("%s %q", other.ID(), printable(other.Name())))
		}
	}
	if names != nil {
		return &trustkeep.Error{Op: "the same as component " + strings.Join(names, ", "), Err: trustkeep.ErrExists, Hint: "use that, or re-import into it"}
	}
	return nil
}

// Add stores a component that was made elsewhere. password is that of a private one,
// which is checked and kept if the registry has a Sealer; nil keeps none.
//
// Errors wrap trustkeep.ErrExists where the ID is taken, ErrIncorrectPassword, ErrInvalid
// for an ID that CheckKey refuses, ErrUnsupported for content of other kinds than X.509 and
// PGP, and whatever the policy returns.
func (r *Registry) Add(ctx context.Context, c *component.Component, password trustkeep.PasswordSource) error {
	_, err := r.add(ctx, "add", c, password)
	return err
}

func (r *Registry) add(ctx context.Context, op string, c *component.Component, password trustkeep.PasswordSource) (*component.Component, error) {
	if c == nil {
		return nil, failure(op, "", fmt.Errorf("no component: %w", trustkeep.ErrInvalid))
	}
	fail := func(err error) (*component.Component, error) { return nil, failure(op, c.Name(), err) }
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
	if len(d.fresh) > 0 {
		return d.component() // under the password that is kept
	}
	return c, nil
}

// Component returns a component. The error wraps trustkeep.ErrNotFound.
func (r *Registry) Component(ctx context.Context, id string) (*component.Component, error) {
	c, _, _, err := r.component(ctx, id)
	return c, failure("component", id, err)
}

func (r *Registry) component(ctx context.Context, id string) (*component.Component, *componentRecord, uint64, error) {
	if err := checkID("component", id); err != nil {
		return nil, nil, 0, err
	}
	d := new(componentRecord)
	revision, err := r.get(ctx, componentKey(id), d)
	if err != nil {
		return nil, nil, 0, err
	}
	if revision == 0 {
		return nil, nil, 0, trustkeep.ErrNotFound
	}
	c, err := d.component()
	return c, d, revision, err
}

// Components returns all components, by ID. Damaged records are skipped and reported in the
// error.
func (r *Registry) Components(ctx context.Context) ([]*component.Component, error) {
	records, err := r.storage.List(ctx, componentsPrefix)
	if err != nil {
		return nil, failure("components", "", err)
	}
	var out []*component.Component
	var damaged []error
	for _, record := range records {
		d := new(componentRecord)
		err := decode(record, d)
		if err == nil {
			var c *component.Component
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
func (r *Registry) ByFingerprint(ctx context.Context, fingerprint string) ([]*component.Component, error) {
	all, err := r.Components(ctx)
	return slices.DeleteFunc(all, func(c *component.Component) bool { return c.Fingerprint() != fingerprint || c.Version() == 0 }), err
}

// Update replaces a component by what change makes of it, a component of the same ID. If
// somebody else was faster, change is called again with what they left. If it changes nothing,
// and there is no password, nothing is written. So change should only compute: Renew asks a
// CA once.
//
// password is that of the new content, if it is another than before; a component whose
// password is not kept needs none. Errors are those of change and Add;
// trustkeep.ErrNotFound.
func (r *Registry) Update(ctx context.Context, id string, password trustkeep.PasswordSource, change func(*component.Component) (*component.Component, error)) (*component.Component, error) {
	if change == nil {
		return nil, failure("update", id, fmt.Errorf("no change: %w", trustkeep.ErrInvalid))
	}
	return r.update(ctx, "update", id, password, func(_ *componentRecord, c *component.Component) (*component.Component, error) { return change(c) })
}

// update is Update under the name of an operation, with a change that is shown the record.
func (r *Registry) update(ctx context.Context, op, id string, password trustkeep.PasswordSource, change func(*componentRecord, *component.Component) (*component.Component, error)) (*component.Component, error) {
	for range maxAttempts {
		before, d, revision, err := r.component(ctx, id)
		if err != nil {
			return nil, failure(op, id, err)
		}
		after, err := change(d, before)
		if err != nil {
			return nil, failure(op, before.Name(), err)
		}
		if password == nil && !d.Deleting && after.Equal(before) {
			return after, nil
		}
		d, _, err = r.replace(ctx, d, revision, before, after, password)
		if err == nil && len(d.fresh) > 0 {
			return d.component() // under the password that is kept
		}
		if err == nil {
			return after, nil
		}
		if !errors.Is(err, trustkeep.ErrConflict) || ctx.Err() != nil {
			return nil, failure(op, before.Name(), err)
		}
	}
	return nil, failure(op, id, trustkeep.ErrConflict)
}

// replace writes a component in the place of another, and returns its record and revision.
func (r *Registry) replace(ctx context.Context, d *componentRecord, revision uint64, before, after *component.Component, password trustkeep.PasswordSource) (*componentRecord, uint64, error) {
	if err := takesPlaceOf(after, before); err != nil {
		return nil, 0, err
	}
	if d.Deleting {
		return nil, 0, beingDeleted(componentKey(before.ID()))
	}
	if err := r.checkUsable(ctx, before, after); err != nil {
		return nil, 0, err
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

func takesPlaceOf(after, before *component.Component) error {
	if after == nil {
		return fmt.Errorf("no component: %w", trustkeep.ErrInvalid)
	}
	if after.ID() != before.ID() || after.Kind() != before.Kind() || after.Visibility() != before.Visibility() {
		return fmt.Errorf("a change of ID, kind or visibility: %w", trustkeep.ErrUnsupported)
	}
	if after.Version() == 0 && before.Version() > 0 {
		return fmt.Errorf("a request alone in the place of a certificate: %w", trustkeep.ErrUnsupported)
	}
	return nil
}

// Draft opens a component to change it over some time. Saving fails with a
// *ConflictError if somebody else has changed it since. password is that of the content
// to be saved, see Update; it is asked for when the draft is saved.
func (r *Registry) Draft(ctx context.Context, id string, password trustkeep.PasswordSource) (*component.Draft, error) {
	before, d, revision, err := r.component(ctx, id)
	if err != nil {
		return nil, failure("draft", id, err)
	}
	return component.NewDraft(before, func(after *component.Component) error {
		written, at, err := r.replace(ctx, d, revision, before, after, password)
		if err != nil {
			return failure("save", before.Name(), err)
		}
		before, d, revision = after, written, at // what the next Save starts from
		return nil
	}), nil
}

// Reimport replaces the content of a component by that of a file, see
// component.Component.Reimport. Whatever refers to the component goes on with the new
// content, except frozen copies; see Environment.Stale. The error also wraps
// trustkeep.ErrUnsupported for a certificate that crypto/x509 refuses if something refers to the
// component.
func (r *Registry) Reimport(ctx context.Context, id string, data []byte, o ComponentOptions) (*component.Component, error) {
	return r.Update(ctx, id, o.protection(), func(c *component.Component) (*component.Component, error) {
		return c.Reimport(ctx, data, r.options(o))
	})
}

// ChangePassword gives the private key of a component another password, given its
// current one. The error wraps trustkeep.ErrIncorrectPassword, ErrUnsupported for a public
// component, or is one of Update.
func (r *Registry) ChangePassword(ctx context.Context, id string, current, next trustkeep.PasswordSource) (*component.Component, error) {
	return r.Update(ctx, id, next, func(c *component.Component) (*component.Component, error) {
		return c.ChangePassword(current, next, r.options(ComponentOptions{}))
	})
}

// Rename gives a component another name. Whatever refers to it does so by ID.
// Errors are those of Update.
func (r *Registry) Rename(ctx context.Context, id, name string) (*component.Component, error) {
	return r.Update(ctx, id, nil, func(c *component.Component) (*component.Component, error) { return c.Rename(name) })
}

// Rollback makes an earlier version of a component current again, as a new version. The
// last 64 versions are kept; for another one the error wraps trustkeep.ErrNotFound. Other
// errors are those of Update.
func (r *Registry) Rollback(ctx context.Context, id string, version int) (*component.Component, error) {
	return r.Update(ctx, id, nil, func(c *component.Component) (*component.Component, error) {
		return c.Rollback(version, r.options(ComponentOptions{}))
	})
}

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
func describe(c *component.Component) string {
	text := fmt.Sprintf("%s %s %q", c.Visibility(), c.Kind(), trustkeep.Printable(c.Name()))
	if c.Version() > 0 {
		until := "without end"
		if !c.NotAfter().IsZero() {
			until = "until " + c.NotAfter().UTC().Format("2006-01-02 15:04:05 MST")
		}
		text += fmt.Sprintf(", version %d, %s, %s", c.Version(), c.Fingerprint(), until)
	}
	for _, p := range c.Pending() {
		text += fmt.Sprintf(", %s waits", p)
	}
	return text
}
