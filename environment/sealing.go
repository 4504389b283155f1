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

// sealedCopy is a record of sealed passwords in an inventory.
type sealedCopy struct {
	env, component string
	revision       uint64
	record         *sealedRecord
}

// with returns the inventory after a change; d is nil for a deletion.
func (v *inventory) with(key string, d document) *inventory {
	next := v.clone()
	_, env, id := kindOfKey(key)
	switch d := d.(type) {
	case nil:
		next.forget(key)
	case *connectionRecord:
		next.connections[id] = d.Connection
	case *partnerRecord:
		next.partners[id] = d.Partner
	case *environmentRecord:
		next.environments[id] = d
	case *deployedRecord:
		next.deployed[key] = &deployedProcess{environment: env, record: d}
	}
	return next
}

// whereabouts tells in which environments components count.
type whereabouts map[string][]string

func (v *inventory) whereabouts() whereabouts {
	out := make(whereabouts)
	for env := range sortedBy(v.environments) {
		for key := range v.counts(env) {
			if kind, _, id := kindOfKey(key); kind == "components" {
				out[id] = append(out[id], env)
			}
		}
	}
	return out
}

// of returns where a component has to be sealed.
func (w whereabouts) of(component string) []string {
	if places := w[component]; len(places) > 0 {
		return places
	}
	return []string{administrators}
}

// places returns where passwords of a component have to be sealed: keys that wait for the reply to
// a request are for administrators alone, wherever the component counts.
func (w whereabouts) places(component string, has outline) []string {
	out := w.of(component)
	if len(has.waiting) > 0 && !slices.Contains(out, administrators) {
		out = append(slices.Clone(out), administrators)
	}
	return out
}

// outline is what a record of a component has to be sealed.
type outline struct {
	versions []contentID
	waiting  []contentID     // keys that wait, beside those that a version has
	private  map[digest]bool // those that are private, and whose password is not kept by reference
}

func (d *componentRecord) outline() outline {
	var o outline
	for _, c := range d.contents() {
		if c.Version > 0 {
			o.versions = append(o.versions, c)
		}
	}
	for _, c := range d.contents() {
		if c.Version < 0 && !slices.ContainsFunc(o.versions, func(v contentID) bool { return v.Digest == c.Digest }) {
			o.waiting = append(o.waiting, c)
		}
	}
	return o
}

// needs returns the contents of a component whose passwords a place needs, if they are kept.
func (v *inventory) needs(where whereabouts, place, component string, has outline) []contentID {
	switch {
	case place != administrators:
		out := slices.Clone(has.versions)
		for _, f := range v.frozenIn(place, component) {
			for _, c := range f.contents() {
				if !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
		return out
	case slices.Contains(where.of(component), administrators):
		return slices.Concat(has.versions, has.waiting)
	}
	return has.waiting
}

// differ calls found for the components that count elsewhere in another picture.
func (w whereabouts) differ(other whereabouts, found func(component string)) {
	for component, places := range w {
		if !slices.Equal(places, other[component]) {
			found(component)
		}
	}
	for component := range other {
		if w[component] == nil {
			found(component)
		}
	}
}

// frozenIn returns the copies of a component that an environment is kept at and that its deployed
// processes have.
func (v *inventory) frozenIn(env, component string) []*componentRecord {
	var out []*componentRecord
	if d := v.environments[env]; d != nil && d.Held[component] != nil {
		out = append(out, d.Held[component])
	}
	for _, p := range v.deployed {
		if p.environment != env {
			continue
		}
		if f := p.record.Frozen[component]; f != nil {
			out = append(out, f)
		}
	}
	return out
}

// contents are those of all versions in a record that have a private key, and of keys that wait
// for requests to be answered; and public PGP keys, whose digests nobody knows.
func (d *componentRecord) contents() []contentID {
	var out []contentID
	if d == nil {
		return nil
	}
	for _, s := range []*component.State{d.X509, d.PGP} {
		if s == nil {
			continue
		}
		for n, stored := range storedIn(s) {
			if len(stored.Store)+len(stored.Data) > 0 {
				out = append(out, contentID{n, digestOfKey(*stored)})
			}
		}
	}
	return out
}

// knows tells whether the password of a content is sealed anywhere.
func (v *inventory) knows(component string, d digest) bool {
	for _, c := range v.sealed {
		if c.component == component && c.record.knows(d) {
			return true
		}
	}
	return false
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

// settle finishes what sealFirst began. A failure leaves something sealed where it need not be,
// which the next change removes; the log has it.
func (s *sealer) settle(ctx context.Context, key string, expected whereabouts) {
	if err := s.settled(ctx, key, expected); err != nil {
		s.r.o.Logger.ErrorContext(ctx, "a sealed password could not be removed or put back; the next change tries again", "error", err)
	}
}

func (s *sealer) settled(ctx context.Context, key string, expected whereabouts) error {
	v, err := s.r.references(ctx)
	if err != nil {
		return err
	}
	if err := v.unread(); err != nil {
		return err // what it refers to would seem not to count
	}
	where := v.whereabouts()
	kind, _, id := kindOfKey(key)
	records := make(map[string]*componentRecord) // nil for one that is gone
	recordOf := func(component string) (*componentRecord, error) {
		if d, ok := records[component]; ok {
			return d, nil
		}
		d, err := s.r.currentRecord(ctx, component)
		if err == nil {
			records[component] = d
		}
		return d, err
	}
	var failed []error
	// Somebody may have removed what did not count yet, or made it count elsewhere.
	where.differ(expected, func(component string) { s.look[component] = true })
	for component := range s.look {
		d, err := recordOf(component)
		if err != nil {
			return err
		}
		for _, place := range where.places(component, d.outline()) {
			if want := s.wanted(v, v, where, place, component, d); d != nil && !v.holds(place, component, want) {
				failed = append(failed, s.ensure(ctx, v, place, component, want))
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	mended, err := s.mend(ctx, v, where)
	if err != nil {
		return err
	}
	if len(failed) > 0 || mended {
		if v, err = s.r.references(ctx); err != nil {
			return err
		}
	}
	var removed []*sealedCopy
	for key, c := range sortedBy(v.sealed) {
		counts, deleted := slices.Contains(where.of(c.component), c.env), kind == "components" && id == c.component
		if _, there := v.listed[c.component]; counts && there && !s.prune[c.component] {
			continue
		}
		d, err := recordOf(c.component)
		counts = err == nil && slices.Contains(where.places(c.component, d.outline()), c.env)
		switch {
		case err != nil:
			failed = append(failed, err)
			continue
		case d == nil && !deleted:
			if deleted, err = s.r.wasDeleted(ctx, c.component); err != nil || !deleted {
				failed = append(failed, err)
				continue // somebody is about to create it, or was
			}
		case d != nil && !s.replaceable(v, where, d, c.component):
			continue
		case d != nil && counts:
			failed = append(failed, s.pruneAt(ctx, v, where, c, d))
			continue
		}
		if c.env != administrators {
			if err := s.r.expose(ctx, v, c.env, Recipient{}, []*sealedCopy{c}); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		if err := s.r.delete(ctx, key, c.revision); err == nil {
			removed = append(removed, c)
		} else if !errors.Is(err, trustkeep.ErrConflict) && !errors.Is(err, trustkeep.ErrNotFound) {
			failed = append(failed, err)
		}
	}
	if len(removed) > 0 {
		failed = append(failed, s.lookAgain(ctx, removed))
	}
	for env, d := range sortedBy(v.rings) {
		behind := func(c *sealedCopy) bool { return c.env == env && c.record.Generation < d.Generation }
		if len(d.Former) > 0 && slices.ContainsFunc(values(v.sealed), behind) {
			err := s.r.completeRing(ctx, env)
			if !errors.Is(err, trustkeep.ErrNotPermitted) && !errors.Is(err, trustkeep.ErrUnsupported) { // those who can will
				failed = append(failed, err)
			}
		}
	}
	if kind == "environments" && v.environments[id] == nil && v.rings[id] != nil {
		failed = append(failed, s.forgetRing(ctx, id))
	}
	return errors.Join(failed...)
}

// wasDeleted tells whether a component that there is not was deleted: it may also be about to be
// created.
func (r *Registry) wasDeleted(ctx context.Context, component string) (bool, error) {
	all, err := r.storage.Versions(ctx, componentKey(component))
	if errors.Is(err, trustkeep.ErrNotFound) {
		return false, nil
	}
	return err == nil && len(all) > 0 && all[len(all)-1].Deleted, err
}

// replaceable tells whether everybody who needs the passwords of a component has them.
func (s *sealer) replaceable(v *inventory, where whereabouts, d *componentRecord, component string) bool {
	for _, place := range where.places(component, d.outline()) {
		if want := s.wanted(v, v, where, place, component, d); !v.holds(place, component, want) {
			return false
		}
	}
	return true
}

// lookAgain puts back what was removed if it counts after all, or if somebody else has removed
// what was to be in its place, and tells of the rest.
func (s *sealer) lookAgain(ctx context.Context, removed []*sealedCopy) error {
	v, err := s.r.references(ctx)
	if err != nil {
		return err
	}
	where := v.whereabouts()
	var failed []error
	for _, c := range removed {
		d, err := s.r.currentRecord(ctx, c.component)
		has, kept := d.outline(), v.clone()
		kept.sealed[sealedKey(c.env, c.component)] = c
		if err == nil && d != nil && (slices.Contains(where.places(c.component, has), c.env) || !s.replaceable(kept, where, d, c.component)) {
			back := *c.record
			if _, err = s.r.put(ctx, sealedKey(c.env, c.component), &back, 0); errors.Is(err, trustkeep.ErrConflict) {
				err = nil // somebody else was faster
			}
			failed = append(failed, err)
			continue
		}
		failed = append(failed, err)
		if c.env != administrators { // who had it may have kept it
			s.r.tell(ctx, Event{Action: "password no longer sealed", Environment: c.env, Object: c.component, Before: c.record.describe()})
		}
	}
	return errors.Join(failed...)
}

// pruneAt removes the passwords of versions that are not kept any more.
func (s *sealer) pruneAt(ctx context.Context, v *inventory, where whereabouts, c *sealedCopy, d *componentRecord) error {
	want := s.wanted(v, v, where, c.env, c.component, d)
	if !slices.ContainsFunc(c.record.Secrets, func(one sealedSecret) bool { return !slices.Contains(want, one.contentID) }) {
		return nil
	}
	dropped := &sealedRecord{}
	err := s.write(ctx, c.env, c.component, func(o *ring, now *sealedRecord) (map[contentID]*redact.Secret, error) {
		kept := make(map[contentID]*redact.Secret)
		dropped.Secrets = nil
		if now.Number != c.record.Number {
			return nil, errSame // somebody has changed it, perhaps for what is not there yet
		}
		for i, one := range now.Secrets {
			password, err := o.openSecret(c.component, now, i)
			if err != nil {
				return nil, err
			}
			s.found[one.Digest] = redact.NewSecret(password)
			clear(password)
			if slices.Contains(want, one.contentID) {
				kept[one.contentID] = s.found[one.Digest]
			} else {
				dropped.Secrets = append(dropped.Secrets, one)
			}
		}
		return kept, nil
	})
	if err != nil || len(dropped.Secrets) == 0 {
		return err
	}
	after, err := s.r.references(ctx)
	if err != nil {
		return err
	}
	if d, err = s.r.currentRecord(ctx, c.component); err != nil {
		return err
	}
	now, again := after.whereabouts(), false
	for _, place := range now.places(c.component, d.outline()) {
		if want := s.wanted(after, after, now, place, c.component, d); !after.holds(place, c.component, want) {
			again = true
			if err := s.ensure(ctx, after, place, c.component, want); err != nil {
				return err
			}
		}
	}
	if again {
		return nil
	}
	if c.env == administrators {
		return nil
	}
	s.r.tell(ctx, Event{Action: "password no longer sealed", Environment: c.env, Object: c.component, Before: dropped.describe()})
	return nil
}

// mend seals whatever counts and is not sealed: others had no moment to find it unused in, or two
// programs were killed at the same moment. It takes a copy that is sealed elsewhere, or else the
// last one that the storage remembers. It tells whether it has changed anything. What the program
// cannot open is left to those who can.
func (s *sealer) mend(ctx context.Context, v *inventory, where whereabouts) (changed bool, err error) {
	var failed []error
	note := func(err error) {
		if !errors.Is(err, trustkeep.ErrNotPermitted) && !errors.Is(err, trustkeep.ErrUnsupported) {
			failed = append(failed, err)
		}
	}
	for component, record := range sortedBy(v.listed) {
		has, err := s.r.outlines.of(record)
		if err != nil {
			continue // which is told where it is used
		}
		for _, place := range where.places(component, has) {
			lost, missing := false, false
			need := v.needs(where, place, component, has)
			for _, c := range need {
				switch copy := v.sealed[sealedKey(place, component)]; {
				case copy != nil && copy.record.find(c) >= 0:
				case s.found[c.Digest] != nil || s.fresh[c.Digest] != nil || v.knows(component, c.Digest):
					missing = true
				case has.private[c.Digest]:
					lost = true
				}
			}
			if lost {
				found, err := s.recall(ctx, v, component, need)
				note(err)
				missing = missing || found
			}
			if !missing {
				continue
			}
			need = slices.DeleteFunc(need, func(c contentID) bool {
				return s.fresh[c.Digest] == nil && s.found[c.Digest] == nil && !v.knows(component, c.Digest)
			})
			err := s.ensure(ctx, v, place, component, need)
			changed = changed || err == nil
			note(err)
		}
	}
	return changed, errors.Join(failed...)
}

// recall finds passwords of contents in former versions of sealed records.
func (s *sealer) recall(ctx context.Context, v *inventory, component string, of []contentID) (found bool, err error) {
	for place, d := range sortedBy(v.rings) {
		versions, err := s.r.storage.Versions(ctx, sealedKey(place, component))
		if errors.Is(err, trustkeep.ErrNotFound) {
			continue
		}
		if err != nil {
			return found, err
		}
		o, err := s.open(place, d)
		if err != nil {
			continue
		}
		for _, record := range slices.Backward(versions) {
			former := newSealedRecord()
			if record.Deleted || decode(record, former) != nil {
				continue
			}
			for i, one := range former.Secrets {
				if s.found[one.Digest] != nil || !slices.ContainsFunc(of, func(c contentID) bool { return c.Digest == one.Digest }) {
					continue
				}
				if password, err := o.openSecret(component, former, i); err == nil {
					s.found[one.Digest], found = redact.NewSecret(password), true
					clear(password)
				}
			}
		}
	}
	return found, nil
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

// forgetRing deletes the data key of an environment that is gone.
func (s *sealer) forgetRing(ctx context.Context, env string) error {
	d := newRingRecord()
	revision, err := s.r.get(ctx, ringKey(env), d)
	if err != nil || revision == 0 {
		return err
	}
	if err := s.r.delete(ctx, ringKey(env), revision); !errors.Is(err, trustkeep.ErrNotFound) {
		return err
	}
	return nil
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
