package authority

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Authority is a Document that was verified. It is immutable and safe for concurrent use.
type Authority struct {
	signed *Signed[Document]
	d      Document
	keys   map[string]PublicKey
	names  map[string]string
}

// Trust reads the Authority that a program is given beside its configuration. It is trusted
// because of where it was found; that it bears its own threshold of root signatures only
// shows that it is whole.
//
// Errors are those of Parse, and wrap trustkeep.ErrUntrusted without these signatures.
func Trust(data []byte) (*Authority, error) {
	s, err := Parse[Document](data)
	if err != nil {
		return nil, err
	}
	a := open(s)
	if n := s.signedBy(a.keys, a.d.Root); n < a.d.Root.Threshold {
		return nil, unsigned("its own root keys", n, a.d.Root.Threshold)
	}
	return a, nil
}

func open(s *Signed[Document]) *Authority {
	a := &Authority{signed: s, d: s.statement, keys: make(map[string]PublicKey), names: make(map[string]string)}
	for _, m := range a.d.Keys {
		id := m.Key.ID()
		a.keys[id], a.names[id] = m.Key, m.Name
	}
	return a
}

func unsigned(by string, got, want int) error {
	return &Error{Code: CodeForged, Detail: fmt.Sprintf("%d of %d signatures of %s", got, want, by)}
}

// Follow returns the successor, which the thresholds of root keys of both must have signed.
// Errors are those of Parse, and wrap trustkeep.ErrUntrusted for what is not the successor.
func (a *Authority) Follow(data []byte) (*Authority, error) {
	s, err := Parse[Document](data)
	if err != nil {
		return nil, err
	}
	next := open(s)
	switch {
	case next.d.Registry != a.d.Registry:
		return nil, &Error{Code: CodeSwapped, Detail: "the authority of another registry"}
	case next.d.Number <= a.d.Number:
		return nil, &Error{Code: CodeRolledBack, Detail: fmt.Sprintf("authority %d after %d", next.d.Number, a.d.Number)}
	case next.d.Number != a.d.Number+1 || next.d.Previous != a.Digest():
		return nil, &Error{Code: CodeForked, Detail: fmt.Sprintf("authority %d does not follow number %d", next.d.Number, a.d.Number)}
	}
	if n := s.signedBy(a.keys, a.d.Root); n < a.d.Root.Threshold {
		return nil, unsigned("the root keys before it", n, a.d.Root.Threshold)
	}
	if n := s.signedBy(next.keys, next.d.Root); n < next.d.Root.Threshold {
		return nil, unsigned("its own root keys", n, next.d.Root.Threshold)
	}
	return next, nil
}

// Next returns what its successor is made of: the same Document with the next number, and
// without Indexes. Change it, and have it signed by the thresholds of root keys of both:
//
//	d := a.Next()
//	d.Grants = d.Grants[:1]
//	s, err := authority.Make(d)
//	s, err = s.Sign(nil, root)
//	next, err := a.Follow(s.Encode())
func (a *Authority) Next() Document {
	d := a.Document()
	d.Number, d.Previous, d.Indexes = a.d.Number+1, a.Digest(), nil
	return d
}

// Document returns a copy of what it says.
func (a *Authority) Document() Document {
	d := a.d
	d.Keys = slices.Clone(d.Keys)
	d.Root.Keys = slices.Clone(d.Root.Keys)
	d.Grants = slices.Clone(d.Grants)
	for i, g := range d.Grants {
		d.Grants[i] = Grant{slices.Clone(g.Keys), slices.Clone(g.Kinds), slices.Clone(g.Environments)}
	}
	d.Environments, d.Indexes = maps.Clone(d.Environments), maps.Clone(d.Indexes)
	for id, e := range d.Environments {
		e.Release.Keys, e.Dating = slices.Clone(e.Release.Keys), slices.Clone(e.Dating)
		d.Environments[id] = e
	}
	return d
}

// Registry names the registry that it is of.
func (a *Authority) Registry() string { return a.d.Registry }

// Number is that of its Document.
func (a *Authority) Number() uint64 { return a.d.Number }

// Digest names its Document.
func (a *Authority) Digest() Digest { return a.signed.digest }

// Encode returns what Trust and Follow read.
func (a *Authority) Encode() []byte { return a.signed.Encode() }

// Name returns the name of a key, or its ID where it is no member.
func (a *Authority) Name(key string) string {
	if name, ok := a.names[key]; ok {
		return name
	}
	return trustkeep.Printable(key)
}

// environment returns who vouches for an environment.
func (a *Authority) environment(id string) (Environment, bool) {
	e, ok := a.d.Environments[id]
	if !ok {
		e, ok = a.d.Environments[Everywhere]
	}
	return e, ok
}

// Release returns the role that signs the index of an environment. Without one, its
// threshold is zero.
func (a *Authority) Release(environment string) Role {
	if environment == "" {
		return Role{a.granted(), 1}
	}
	e, _ := a.environment(environment)
	return Role{slices.Clone(e.Release.Keys), e.Release.Threshold}
}

// Lifetime is how long an index or date of an environment counts; zero without a role for it.
func (a *Authority) Lifetime(environment string) time.Duration {
	e, _ := a.environment(environment)
	return e.Lifetime
}

// granted are the keys that may change or release anything; one of them signs the index of
// the registry.
func (a *Authority) granted() []string {
	var out []string
	for _, e := range a.d.Environments {
		out = append(out, e.Release.Keys...)
	}
	for _, g := range a.d.Grants {
		if len(g.Kinds) > 0 && len(g.Environments) > 0 {
			out = append(out, g.Keys...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// May reports whether a key may make a change that counts in all of these environments;
// without any, one that counts nowhere yet, for which a grant for any environment is enough.
// The error is a *RightsError, which says whose keys may.
func (a *Authority) May(key string, kind Kind, environments ...string) error {
	if len(environments) == 0 {
		if a.allowed(key, kind, "") {
			return nil
		}
		return a.rights(key, string(kind), "", func(id string) bool { return a.allowed(id, kind, "") })
	}
	for _, e := range environments {
		if !a.allowed(key, kind, e) {
			return a.rights(key, string(kind), e, func(id string) bool {
				return !slices.ContainsFunc(environments, func(e string) bool { return !a.allowed(id, kind, e) })
			})
		}
	}
	return nil
}

// allowed tells whether a grant covers a change in an environment, or in any for "".
func (a *Authority) allowed(key string, kind Kind, environment string) bool {
	return slices.ContainsFunc(a.d.Grants, func(g Grant) bool {
		return slices.Contains(g.Keys, key) && slices.Contains(g.Kinds, kind) && len(g.Environments) > 0 &&
			(environment == "" || slices.Contains(g.Environments, environment) || slices.Contains(g.Environments, Everywhere))
	})
}

func (a *Authority) rights(key, what, environment string, able func(id string) bool) error {
	e := &RightsError{What: what, Environment: environment}
	if key != "" {
		e.Who = a.Name(key)
	}
	for _, m := range a.d.Keys {
		if able(m.Key.ID()) {
			e.Able = append(e.Able, m.Name)
		}
	}
	return e
}

// MayRelease reports whether a key is one of those that sign the index of an environment. The
// error is a *RightsError.
func (a *Authority) MayRelease(key, environment string) error {
	role := a.Release(environment)
	if slices.Contains(role.Keys, key) {
		return nil
	}
	return a.rights(key, rightRelease, environment, func(id string) bool { return slices.Contains(role.Keys, id) })
}

// MayDate reports whether a key may date the index of an environment. The error is a
// *RightsError.
func (a *Authority) MayDate(key, environment string) error {
	e, _ := a.environment(environment)
	if slices.Contains(e.Dating, key) {
		return nil
	}
	return a.rights(key, rightDate, environment, func(id string) bool { return slices.Contains(e.Dating, id) })
}

// VerifyRecord reports whether a record is one of this registry and key, signed by the member
// that it names. Whether that one may change it is for May to say. The error is an *Error.
func (a *Authority) VerifyRecord(r *Signed[Record], key string) error {
	if err := a.placed(key, r.statement.Registry, r.statement.Key == key, "that of record "+trustkeep.Printable(r.statement.Key)); err != nil {
		return err
	}
	if _, ok := a.keys[r.statement.Signer]; !ok {
		return &Error{Key: key, Code: CodeForged, Detail: "signed by a key that is no member"}
	}
	if r.signedBy(a.keys, Role{[]string{r.statement.Signer}, 1}) < 1 {
		return &Error{Key: key, Code: CodeForged, Detail: "not signed by " + a.Name(r.statement.Signer)}
	}
	return nil
}

// placed refuses what is of another registry, or found in another place.
func (a *Authority) placed(key, registry string, here bool, is string) error {
	switch {
	case registry != a.d.Registry:
		return &Error{Key: key, Code: CodeSwapped, Detail: "it is of another registry"}
	case !here:
		return &Error{Key: key, Code: CodeSwapped, Detail: "it is " + is}
	}
	return nil
}

// VerifyIndex reports whether an index is that of the environment, and either one of
// Document.Indexes, or made under this Authority and signed by the threshold of its release
// keys. The error is an *Error.
func (a *Authority) VerifyIndex(i *Signed[Index], environment string) error {
	s := i.statement
	if err := a.placed("", s.Registry, s.Environment == environment, "the index of environment "+trustkeep.Printable(s.Environment)); err != nil {
		return err
	}
	if d, ok := a.d.Indexes[environment]; ok && d == i.digest {
		return nil // the root keys vouch for it
	}
	if s.Authority != a.d.Number {
		return &Error{Code: CodeForged, Detail: fmt.Sprintf("made under authority %d, which is at number %d", s.Authority, a.d.Number)}
	}
	role := a.Release(environment)
	if role.Threshold < 1 {
		return &Error{Code: CodeForged, Detail: "the authority has no release keys for the environment"}
	}
	if n := i.signedBy(a.keys, role); n < role.Threshold {
		return unsigned("the release keys", n, role.Threshold)
	}
	return nil
}

// VerifyDate reports whether a date is one of this index, made under this Authority by a
// dating key, for no longer than the lifetime. Whether it has expired is for the caller to
// look at. The error is an *Error.
func (a *Authority) VerifyDate(d *Signed[Date], i *Signed[Index]) error {
	s, index := d.statement, i.statement
	if err := a.placed("", s.Registry, s.Environment == index.Environment, "the date of environment "+trustkeep.Printable(s.Environment)); err != nil {
		return err
	}
	if s.Index != index.Number || s.Digest != i.digest {
		return &Error{Code: CodeSwapped, Detail: fmt.Sprintf("it dates index %d, not this one of number %d", s.Index, index.Number)}
	}
	if s.Authority != a.d.Number {
		return &Error{Code: CodeForged, Detail: fmt.Sprintf("made under authority %d, which is at number %d", s.Authority, a.d.Number)}
	}
	e, _ := a.environment(s.Environment)
	if d.signedBy(a.keys, Role{e.Dating, 1}) < 1 {
		return &Error{Code: CodeForged, Detail: "not signed by a dating key"}
	}
	if s.Expires.Sub(s.Time) > e.Lifetime {
		return &Error{Code: CodeForged, Detail: fmt.Sprintf("it counts longer than %v", e.Lifetime)}
	}
	return nil
}

// maxSkew is how far ahead of ours the clock of whoever dates may be.
const maxSkew = 5 * time.Minute

// FreshUntil is when an index stops to count, given its date; nil is no date. Both must have
// been verified. An index or date that was made in the future, by more than five minutes, counts
// as not dated: with it a key would outlive its removal, and a release key do without the dating
// key. The zero time is that of an index without any date that counts.
func (a *Authority) FreshUntil(i *Signed[Index], d *Signed[Date], now time.Time) time.Time {
	latest := now.Add(maxSkew)
	var until time.Time
	if made := i.statement.Time; !made.After(latest) {
		until = made.Add(a.Lifetime(i.statement.Environment))
	}
	if d != nil && !d.statement.Time.After(latest) && d.statement.Expires.After(until) {
		until = d.statement.Expires
	}
	return until
}
