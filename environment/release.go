package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// unreleasedError says that a record was written, and no index vouches for it yet.
type unreleasedError struct{ err error }

func (e *unreleasedError) Error() string {
	return "the record was written, and is not in the index yet, see Registry.Complete: " + e.err.Error()
}

func (e *unreleasedError) Unwrap() error { return e.err }

// change writes a version of a record, signed; no value is its deletion.
func (l *ledger) change(ctx context.Context, key string, value []byte, expected uint64, files []File) (uint64, error) {
	if _, _, signed := changeOf(key); !signed {
		if strings.HasPrefix(key, environmentPrefix) {
			return l.write(ctx, key, value, expected, files)
		}
		return 0, fmt.Errorf("environment: record %s is of no kind that can be signed: %w", trustkeep.Printable(key), trustkeep.ErrInvalid)
	}
	v, err := l.view(ctx)
	if err != nil {
		return 0, err
	}
	if v.c.indexes[""] == nil {
		if err := l.begin(ctx, v); err != nil {
			return 0, err
		}
	}
	before := v.at[key]
	if before == nil {
		before = &state{key: key}
	}
	current := before.revision
	if before.deleted() || before.signed == nil {
		current = 0
	}
	switch {
	case before.err != nil:
		return 0, before.err
	case current != expected:
		return 0, &ConflictError{Key: key, Expected: expected, Actual: current}
	}
	next, err := l.sign(v, before, value)
	if err != nil {
		return 0, err
	}
	after := v.clone()
	after.set(next, nil)
	if err := l.permitted(v, after, key); err != nil {
		return 0, err
	}
	if err := l.adopt(ctx, after, key); err != nil {
		return 0, err
	}
	next.revision, err = l.write(ctx, key, next.text, before.revision, files)
	if err != nil {
		// It may have been done, and the answer was lost.
		now, e := l.inner.Get(ctx, key)
		if errors.Is(err, trustkeep.ErrConflict) || e != nil || string(now.Value) != string(next.text) {
			return 0, err // at the same moment, another writer's version may be the same
		}
		next.revision = now.Revision
	}
	if l.proposing {
		return next.revision, nil
	}
	if err := l.release(ctx, after, l.needed(v, after)); err != nil {
		return 0, &unreleasedError{err}
	}
	return next.revision, nil
}

// begin makes the first index of an empty registry.
func (l *ledger) begin(ctx context.Context, v *view) error {
	if len(v.at) > 0 {
		return &authority.Error{Key: registryIndex, Code: authority.CodeWithheld, Detail: "there are records, and no index of them",
			Hint: "if they are from before signing, see Registry.PlanSigning"}
	}
	if l.who == "" {
		return v.c.authority.MayRelease("", "")
	}
	err := l.writeIndex(ctx, v, "", []authority.Entry{})
	if errors.Is(err, trustkeep.ErrConflict) {
		err = nil // somebody else began
		if c, e := l.control(ctx); e != nil {
			return e
		} else {
			v.c = c
		}
	}
	return err
}

// sign makes the next version of a record.
func (l *ledger) sign(v *view, before *state, value []byte) (*state, error) {
	kind, env, _ := changeOf(before.key)
	if l.signer == nil {
		if env != "" {
			return nil, v.c.authority.May("", kind, env)
		}
		return nil, v.c.authority.May("", kind)
	}
	was := before.vouch()
	if l.proposing {
		// What is proposed is one version, however often it was written meanwhile.
		was = authority.Entry{}
		if base := l.bases[before.key]; base != nil {
			was = base.vouch()
		}
	}
	r, err := authority.Make(authority.Record{
		Registry: v.c.authority.Registry(), Key: before.key, Number: was.Number + 1, Previous: was.Digest,
		Signer: l.who, Time: l.r.now(), Deleted: value == nil, Document: value,
	})
	if err == nil {
		r, err = r.Sign(l.o.Rand, l.signer)
	}
	if err != nil {
		return nil, err
	}
	return &state{key: before.key, signed: r, text: r.Encode(), revision: before.revision, verified: true}, nil
}

// permitted tells whether the signer may change a record: where it counts before or after.
func (l *ledger) permitted(before, after *view, key string) error {
	kind, _, _ := changeOf(key)
	in := before.within(key)
	maps.Copy(in, after.within(key))
	envs := slices.Sorted(maps.Keys(in))
	if key == secretsKey {
		envs = after.environments()
	}
	if err := after.c.authority.May(l.who, kind, envs...); err != nil {
		return err
	}
	if l.proposing {
		return nil
	}
	for _, env := range l.needed(before, after) {
		if err := l.releases(after.c, env); err != nil {
			return err
		}
	}
	return nil
}

// releases tells whether the signer can release an environment alone.
func (l *ledger) releases(c *control, env string) error {
	if err := c.authority.MayRelease(l.who, env); err != nil {
		return err
	}
	if n := c.authority.Release(env).Threshold; n > 1 {
		return &trustkeep.Error{Op: "release", Alias: env, Err: fmt.Errorf("its index needs %d signatures: %w", n, trustkeep.ErrNotPermitted), Hint: "use Registry.Propose"}
	}
	return nil
}

// needed are the environments whose indexes a change makes wrong.
func (l *ledger) needed(before, after *view) []string {
	var out []string
	for _, env := range after.environments() {
		b, a := before.counted(env), after.counted(env)
		changed := !maps.Equal(b, a)
		for key := range a {
			changed = changed || before.at[key] != after.at[key]
		}
		if changed {
			out = append(out, env)
		}
	}
	return out
}

// adopt signs anew what begins to count in an environment by a change, and was signed by
// somebody who may not change it there. The change of who refers to it is this one's.
func (l *ledger) adopt(ctx context.Context, v *view, changing string) error {
	for _, env := range v.environments() {
		for _, key := range slices.Sorted(maps.Keys(v.counted(env))) {
			s := v.at[key]
			if s == nil || s.signed == nil || s.err != nil || key == changing || v.rightful(s, env) == nil {
				continue
			}
			kind, _, _ := changeOf(key)
			if err := v.c.authority.May(l.who, kind, slices.Sorted(maps.Keys(v.within(key)))...); err != nil {
				return fmt.Errorf("environment: record %s begins to count in %s, and was signed by %s: %w", key, env, v.c.authority.Name(s.signed.Statement().Signer), err)
			}
			own, err := l.sign(v, s, s.signed.Statement().Document)
			if err != nil {
				return err
			}
			if own.revision, err = l.write(ctx, key, own.text, s.revision, v.inv.filesOf(key)); err != nil {
				return err
			}
			v.at[key] = own // with the same document
		}
	}
	return nil
}

// filesOf are the files that a storage shows for a record.
func (v *inventory) filesOf(key string) []File {
	if kind, _, id := kindOfKey(key); kind == "components" && v.components[id] != nil {
		return v.components[id].record.files()
	}
	return nil
}

// release makes the indexes vouch for what there is: that of the registry, and those of
// environments as far as the signer can. It fails unless those that are needed do so then.
func (l *ledger) release(ctx context.Context, v *view, needed []string) error {
	for range maxAttempts {
		err := l.releaseOnce(ctx, v, needed)
		if !errors.Is(err, trustkeep.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if v, err = l.view(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("environment: index: others were faster %d times: %w", maxAttempts, trustkeep.ErrConflict)
}

func (l *ledger) releaseOnce(ctx context.Context, v *view, needed []string) error {
	for _, env := range append([]string{""}, v.environments()...) {
		must := env == "" || slices.Contains(needed, env)
		if err := l.releases(v.c, env); err != nil {
			if must {
				return err
			}
			continue
		}
		if v.c.problems[indexKey(env)] != nil && v.c.indexes[env] == nil {
			// What it vouched for is not known: to begin anew would bring back anything.
			if must {
				return v.c.problems[indexKey(env)]
			}
			continue
		}
		entries, err := v.entries(env)
		if err != nil {
			if must {
				return err
			}
			continue
		}
		i := v.c.indexes[env].statement()
		if i.Authority == v.c.authority.Number() && slices.Equal(i.Entries, entries) && v.c.problems[indexKey(env)] == nil && !v.c.outdated(env, l.r.now()) {
			continue
		}
		if err := l.writeIndex(ctx, v, env, entries); err != nil {
			return err
		}
	}
	return nil
}

// nextIndex is the index that follows the one that there is.
func (l *ledger) nextIndex(v *view, env string, entries []authority.Entry) (*authority.Signed[authority.Index], error) {
	next := authority.Index{
		Registry: v.c.authority.Registry(), Environment: env, Authority: v.c.authority.Number(), Time: l.r.now(), Entries: entries,
	}
	next.Number, next.Previous = v.c.following(env)
	return authority.Make(next)
}

func (l *ledger) writeIndex(ctx context.Context, v *view, env string, entries []authority.Entry) error {
	next, err := l.nextIndex(v, env, entries)
	if err == nil {
		next, err = next.Sign(l.o.Rand, l.signer)
	}
	if err != nil {
		return err
	}
	return l.putIndex(ctx, v.c, env, next)
}

// putIndex writes an index in the place of the one that was read.
func (l *ledger) putIndex(ctx context.Context, c *control, env string, next *authority.Signed[authority.Index]) error {
	key, text := indexKey(env), next.Encode()
	revision, err := l.inner.Put(ctx, key, text, c.revisions[key])
	if err != nil {
		now, e := l.inner.Get(ctx, key)
		if errors.Is(err, trustkeep.ErrConflict) || e != nil || string(now.Value) != string(text) {
			return err
		}
		revision = now.Revision
	}
	i := &vouched{next, text}
	c.indexes[env], c.revisions[key] = i, revision
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.seen[env].statement(); n.Number < next.Statement().Number {
		l.seen[env] = i
	}
	return nil
}

// Complete has the indexes vouch for what was written and is in none: by a program that
// ended between the two, for instance. It returns the keys of these records. Those that are
// not to be trusted are left out; see Discard. An index that was not dated in time is made
// anew.
//
// Errors wrap trustkeep.ErrUnsupported for a registry without Options.Authority,
// trustkeep.ErrNotPermitted and trustkeep.ErrUntrusted.
func (r *Registry) Complete(ctx context.Context) ([]string, error) {
	l, err := r.ledger()
	if err != nil {
		return nil, failure("complete", "", err)
	}
	v, err := l.view(ctx)
	if err != nil {
		return nil, failure("complete", "", err)
	}
	keys := v.pending()
	if err := l.release(ctx, v, nil); err != nil {
		return nil, failure("complete", "", err)
	}
	if len(keys) > 0 {
		r.tell(ctx, Event{Action: "changes completed", Object: strings.Join(keys, " ")})
	}
	return keys, nil
}

// Discard puts back what the indexes list, as new versions, in the place of records that no
// index vouches for, of forged ones, and of those that were rolled back or deleted in the
// storage. It returns their keys. Versions that the storage no longer has cannot be put back:
// the error wraps trustkeep.ErrUntrusted.
//
// Other errors are those of Complete.
func (r *Registry) Discard(ctx context.Context) ([]string, error) {
	l, err := r.ledger()
	if err != nil {
		return nil, failure("discard", "", err)
	}
	v, err := l.view(ctx)
	if err != nil {
		return nil, failure("discard", "", err)
	}
	var keys []string
	var lost []error
	for _, key := range slices.Sorted(maps.Keys(v.at)) {
		s := v.at[key]
		known, listed := v.c.known(key)
		if s.err == nil && listed && s.vouch() == known {
			continue
		}
		if s.err == nil && !listed || s.err == nil && s.vouch() != known {
			s.err = errors.New("no index vouches for it")
			if err := l.fallBack(ctx, v.c, s); err != nil {
				return keys, failure("discard", key, err)
			}
		}
		if err := l.putBack(ctx, v, s, known, listed); err != nil {
			lost = append(lost, err)
			continue
		}
		keys = append(keys, key)
	}
	if err := errors.Join(lost...); err != nil {
		return keys, failure("discard", "", err)
	}
	if v, err = l.view(ctx); err == nil {
		err = l.release(ctx, v, nil)
	}
	if err == nil && len(keys) > 0 {
		r.tell(ctx, Event{Action: "changes discarded", Object: strings.Join(keys, " ")})
	}
	return keys, failure("discard", "", err)
}

// putBack writes what an index lists as a new version; a deletion where none lists anything.
func (l *ledger) putBack(ctx context.Context, v *view, s *state, known authority.Entry, listed bool) error {
	kind, _, _ := changeOf(s.key)
	if err := v.c.authority.May(l.who, kind, slices.Sorted(maps.Keys(v.within(s.key)))...); err != nil {
		return err
	}
	var value []byte
	var files []File
	switch {
	case listed && !known.Deleted && s.signed == nil:
		return s.err
	case listed && !known.Deleted:
		value, files = s.signed.Statement().Document, v.inv.filesOf(s.key)
	case !listed:
		if err := l.inner.Delete(ctx, s.key, s.revision); err != nil && !errors.Is(err, trustkeep.ErrNotFound) {
			return err
		}
		return nil
	}
	back, err := l.sign(v, s, value)
	if err != nil {
		return err
	}
	_, err = l.write(ctx, s.key, back.text, s.revision, files)
	return err
}

// ledger is what signs; trustkeep.ErrUnsupported without an authority.
func (r *Registry) ledger() (*ledger, error) {
	if l, ok := r.storage.(*ledger); ok {
		return l, nil
	}
	return nil, &trustkeep.Error{Op: "signed records", Err: trustkeep.ErrUnsupported, Hint: "open the registry with Options.Authority"}
}
