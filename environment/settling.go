package environment

import (
	"context"
	"errors"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
)

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
