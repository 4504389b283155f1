package environment

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// A change of what counts where, and sealing for it, are writes of several records. So, as in
// refer.go, everybody writes first and looks then:
//
//   - sealFirst seals a component for the environments in which it begins to count, and touches
//     what is sealed there already. Then the change is written. Then settle looks whether what
//     it refers to is still sealed, and what others have made count meanwhile, and seals it
//     again from memory if not.
//   - settle removes what is sealed for an environment in which a component no longer counts, if
//     nobody has touched it since, and only where all others that need the passwords have them.
//     Then it looks whether the component counts there after all, and puts back what it removed.
//
// Who dies in between leaves a component sealed for an environment in which it does not count;
// settle of the next change removes that.

// isSealed tells whether the registry is sealed.
func (r *Registry) isSealed(ctx context.Context) (bool, error) {
	revision, err := r.get(ctx, ringKey(administrators), newRingRecord())
	return revision != 0, err
}

// sealer is what one change seals.
type sealer struct {
	r      *Registry
	opened map[*ringRecord]*ring
	rings  map[string]*ring          // those to seal under, see ringOf
	fresh  map[digest]*redact.Secret // passwords that this change has made
	found  map[digest]*redact.Secret // and that it has opened
	stale  map[string]*ring          // those before others had a new data key made
	look   map[string]bool           // components that this change refers to
	prune  map[string]bool           // and those of which there may be passwords too many
	wrote  bool
}

func (r *Registry) newSealer() *sealer {
	return &sealer{
		r: r, opened: make(map[*ringRecord]*ring), rings: make(map[string]*ring), fresh: make(map[digest]*redact.Secret), found: make(map[digest]*redact.Secret),
		stale: make(map[string]*ring), look: make(map[string]bool), prune: make(map[string]bool),
	}
}

// sealFirst does before a record is written, or deleted if d is nil, what must be done before. The
// function that it returns does the rest; it is called whether or not the record was written, but
// not after an error.
func (r *Registry) sealFirst(ctx context.Context, key string, d document) (settle func(), err error) {
	kind, _, id := kindOfKey(key)
	switch kind {
	case "components", "connections", "partners", "environments", "processes of environment":
	default:
		return func() {}, nil
	}
	if on, err := r.isSealed(ctx); err != nil || !on {
		return func() {}, err
	}
	was, err := r.references(ctx)
	if err != nil {
		return func() {}, err
	}
	next := was.with(key, d)
	before, after := was.whereabouts(), next.whereabouts()
	s := r.newSealer()
	settle = func() { s.settle(context.WithoutCancel(ctx), key, after) }
	defer func() {
		if err != nil && s.wrote {
			settle()
		}
	}()

	concerned := make(map[string]bool)
	before.differ(after, func(component string) { concerned[component] = true })
	var own *componentRecord
	switch d := d.(type) {
	case *componentRecord:
		own, concerned[id], s.prune[id] = d, true, true
		s.add(d)
	case *deployedRecord:
		for component, f := range d.Frozen {
			concerned[component], s.prune[component] = true, true
			s.add(f)
		}
	case *environmentRecord:
		for component, f := range d.Held {
			concerned[component], s.prune[component] = true, true
			s.add(f)
		}
	}
	if p := was.deployed[key]; p != nil {
		for component := range p.record.Frozen {
			s.prune[component] = true
		}
	}
	if before := was.environments[id]; kind == "environments" && before != nil {
		for component := range before.Held {
			s.prune[component] = true
		}
	}
	if kind == "environments" && was.environments[id] == nil && d != nil {
		if err := s.newEnvironment(ctx, was, id); err != nil {
			return settle, err
		}
	}
	for _, component := range slices.Sorted(maps.Keys(concerned)) {
		if kind == "components" && component == id && d == nil {
			continue
		}
		record := own
		if kind != "components" || component != id {
			if record, err = r.currentRecord(ctx, component); err != nil {
				return settle, err
			}
		}
		s.look[component] = true
		for _, place := range after.places(component, record.outline()) {
			want := s.wanted(was, next, after, place, component, record)
			counted := slices.Contains(before.of(component), place) || !slices.Contains(after.of(component), place)
			if len(want) == 0 || counted && was.holds(place, component, want) {
				continue
			}
			if err := s.ensure(ctx, was, place, component, want); err != nil {
				return settle, err
			}
		}
	}
	return settle, nil
}

// add takes note of the passwords that were made for a record.
func (s *sealer) add(d *componentRecord) { maps.Copy(s.fresh, d.fresh) }

// currentRecord returns the record of a component, nil if there is none.
func (r *Registry) currentRecord(ctx context.Context, component string) (*componentRecord, error) {
	d := new(componentRecord)
	revision, err := r.get(ctx, componentKey(component), d)
	if err != nil || revision == 0 {
		return nil, err
	}
	return d, nil
}

// wanted returns the contents whose passwords a place needs, as far as they are kept at all: in
// was, or by this change.
func (s *sealer) wanted(was, next *inventory, where whereabouts, place, component string, d *componentRecord) []contentID {
	return slices.DeleteFunc(next.needs(where, place, component, d.outline()), func(c contentID) bool {
		return s.fresh[c.Digest] == nil && s.found[c.Digest] == nil && !was.knows(component, c.Digest)
	})
}

// holds tells whether the passwords of contents are sealed for a place.
func (v *inventory) holds(place, component string, want []contentID) bool {
	c := v.sealed[sealedKey(place, component)]
	return len(want) == 0 || c != nil && !slices.ContainsFunc(want, func(w contentID) bool { return c.record.find(w) < 0 })
}

// newEnvironment makes the data key of an environment that is about to be created. Its recipients
// are the administrators.
func (s *sealer) newEnvironment(ctx context.Context, v *inventory, env string) error {
	to := v.rings[administrators]
	if to == nil {
		return v.damaged[ringKey(administrators)]
	}
	return change(ctx, s.r, ringKey(env), newRingRecord, func(d *ringRecord, exists bool) error {
		if exists && d.names() == to.names() && string(d.digest()) == string(to.digest()) {
			if _, err := d.open(env, s.r.o.OpeningKey); err == nil {
				return errSame // somebody who creates it too, or died over it
			}
		}
		d.Former, d.Recipients = nil, slices.Clone(to.Recipients)
		if err := newRing(env, d, s.r.rand()); err != nil {
			return err
		}
		_, err := d.open(env, s.r.o.OpeningKey)
		return err
	})
}

// ringOf opens the data key of a place and makes sure that it is the one under which everything
// else of the place is sealed. Somebody who may write to the storage could have put one of
// theirs in its place.
func (s *sealer) ringOf(ctx context.Context, place string) (*ring, error) {
	if o := s.rings[place]; o != nil {
		return o, nil
	}
	var failed error
	for range 3 { // others may be about to replace it
		v, err := s.r.listOf(ctx, ringKey(place))
		if err != nil {
			return nil, err
		}
		d := v.rings[place]
		if d == nil {
			if err := v.damaged[ringKey(place)]; err != nil {
				return nil, err
			}
			return nil, &trustkeep.Error{Op: "seal for " + placeOf(place), Err: trustkeep.ErrNotFound, Hint: "there is no data key; call Registry.Seal again"}
		}
		o, err := d.open(place, s.r.o.OpeningKey)
		if err != nil {
			return nil, err
		}
		if old := s.stale[place]; old != nil && old.generation < o.generation {
			o.former[old.generation] = old.dataKey // under which this change has sealed something
		}
		failed = nil
		for _, c := range sortedBy(v.sealed) {
			if c.env == place && len(c.record.Secrets) > 0 {
				password, err := o.openSecret(c.component, c.record, 0)
				clear(password)
				failed = errors.Join(failed, err)
			}
		}
		if failed == nil {
			s.rings[place] = o
			return o, nil
		}
	}
	return nil, failed
}

// ensure seals the passwords of contents for a place.
func (s *sealer) ensure(ctx context.Context, v *inventory, place, component string, want []contentID) error {
	for _, c := range want {
		if _, err := s.password(v, component, c.Digest); err != nil {
			return err
		}
	}
	return s.write(ctx, place, component, func(o *ring, d *sealedRecord) (map[contentID]*redact.Secret, error) {
		all := make(map[contentID]*redact.Secret)
		for i, one := range d.Secrets {
			if password, err := o.openSecret(component, d, i); err == nil {
				all[one.contentID] = redact.NewSecret(password)
				clear(password)
			}
		}
		for _, c := range want {
			p, _ := s.password(v, component, c.Digest)
			all[c] = p
		}
		return all, nil
	})
}

// write seals for a place what edit makes of a record.
func (s *sealer) write(ctx context.Context, place, component string, edit func(*ring, *sealedRecord) (map[contentID]*redact.Secret, error)) error {
	for range maxAttempts {
		o, err := s.ringOf(ctx, place)
		if err != nil {
			return err
		}
		_, err = changeAny(ctx, s.r, sealedKey(place, component), newSealedRecord, func(d *sealedRecord, exists bool) error {
			all, err := edit(o, d)
			if err != nil {
				return err
			}
			return o.seal(component, d, all, s.r.rand())
		})
		if err != nil {
			return err
		}
		s.wrote = true
		// Who has a new data key made looks for what is sealed under the one before, and may
		// have looked already.
		now := newRingRecord()
		if _, err := s.r.get(ctx, ringKey(place), now); err != nil {
			return err
		}
		if now.Generation == o.generation {
			return nil
		}
		s.stale[place] = o
		delete(s.rings, place)
	}
	return trustkeep.ErrConflict
}

// open opens the data key of a record.
func (s *sealer) open(env string, d *ringRecord) (*ring, error) {
	if o := s.opened[d]; o != nil {
		return o, nil
	}
	o, err := d.open(env, s.r.o.OpeningKey)
	if err == nil {
		s.opened[d] = o
	}
	return o, err
}

// password returns the password of a content: one that this change has made, or one that is
// sealed for any place whose secrets the program can open. The error says who can.
func (s *sealer) password(v *inventory, component string, d digest) (*redact.Secret, error) {
	if p := s.fresh[d]; p != nil {
		return p, nil
	}
	if p := s.found[d]; p != nil {
		return p, nil
	}
	var failed []error
	for _, c := range sortedBy(v.sealed) {
		i := slices.IndexFunc(c.record.Secrets, func(one sealedSecret) bool { return one.Digest == d })
		if c.component != component || i < 0 {
			continue
		}
		to := v.rings[c.env]
		if to == nil {
			failed = append(failed, fmt.Errorf("the data key of %s is gone: %w", placeOf(c.env), trustkeep.ErrCorrupt))
			continue
		}
		o, err := s.open(c.env, to)
		if err == nil {
			var password []byte
			if password, err = o.openSecret(component, c.record, i); err == nil {
				s.found[d] = redact.NewSecret(password)
				clear(password)
				return s.found[d], nil
			}
		}
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil, &trustkeep.Error{Op: "password", Alias: component, Err: trustkeep.ErrNotFound, Hint: "it is sealed nowhere"}
	}
	return nil, fmt.Errorf("password of component %s: %w", trustkeep.Printable(component), errors.Join(failed...))
}

// outsealed tells whether a record is sealed under another data key than that of now: it was
// prepared before, and a former recipient could open it.
func (v *inventory) outsealed(key string) bool {
	c := v.sealed[key]
	return c != nil && (v.rings[c.env] == nil || v.rings[c.env].Generation != c.record.Generation)
}

// sealingOrder is in which order prepared records are written: what is sealed, what refers to it,
// and what is not sealed any more.
func sealingOrder(s *state) int {
	kind, _, _ := kindOfKey(s.key)
	switch secret := kind == "secrets" || kind == "secrets of component"; {
	case secret && s.deleted():
		return 2
	case secret:
		return 0
	}
	return 1
}

// randomPassword has 256 bits: what it protects needs no costly derivation to be safe from
// whoever reads the storage.
func randomPassword(random io.Reader) ([]byte, error) {
	raw := make([]byte, 32)
	defer clear(raw)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.AppendEncode(nil, raw), nil
}

// protect puts the private contents of a record under random passwords, except those that before
// has too: they are under one already, or their password is not kept. passwords returns those to
// try, each with what it is for; it is asked once, when it is needed.
func (r *Registry) protect(d, before *componentRecord, passwords func() ([]*redact.Secret, error)) error {
	k, s := d.state()
	if s == nil {
		return nil
	}
	known := make(map[digest]bool)
	for _, c := range before.contents() {
		known[c.Digest] = true
	}
	var candidates []*redact.Secret
	var asked error
	own := *s
	own.Versions, own.Pending = slices.Clone(s.Versions), slices.Clone(s.Pending)
	made := make(map[digest]component.Stored) // a key that waits may be that of a version
	for n, stored := range storedIn(&own) {
		if again, ok := made[digestOfKey(*stored)]; ok {
			*stored = again
			delete(d.Secrets, n)
			continue
		}
		if known[digestOfKey(*stored)] {
			continue
		}
		if visibility, err := k.Outline(*stored); err != nil || visibility != trustkeep.Private {
			continue
		}
		one, err := component.Restore(component.State{ID: own.ID, Name: own.Name, Versions: []component.VersionState{{Number: 1, Stored: *stored}}}, k)
		if err != nil {
			return fmt.Errorf("%s: %w", numbered(n), err)
		}
		if candidates == nil && asked == nil {
			candidates, asked = passwords()
		}
		failed := asked
		done := false
		for _, p := range candidates {
			random, err := randomPassword(r.rand())
			if err != nil {
				return err
			}
			next, err := one.ChangePassword(source(p.Bytes()), source(random), r.options(ComponentOptions{}))
			if err == nil {
				was := digestOfKey(*stored)
				*stored = next.State().Versions[1].Stored
				made[was] = *stored
				d.keep(digestOfKey(*stored), random)
				done = true
			}
			clear(random)
			if done {
				break
			}
			failed = err
		}
		if !done && failed == nil {
			failed = &trustkeep.Error{Op: "seal", Err: trustkeep.ErrIncorrectPassword, Hint: "give the password of the private key, or set Options.Passwords"}
		}
		if !done {
			return fmt.Errorf("%s: %w", numbered(n), failed)
		}
		delete(d.Secrets, n)
	}
	*s = own
	return nil
}

func source(password []byte) trustkeep.PasswordSource {
	return trustkeep.PasswordFunc(func() ([]byte, error) { return slices.Clone(password), nil })
}

// keep notes the password of a content that is about to be stored.
func (d *componentRecord) keep(of digest, password []byte) {
	if d.fresh == nil {
		d.fresh = make(map[digest]*redact.Secret)
	}
	d.fresh[of] = redact.NewSecret(password)
}
