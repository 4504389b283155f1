package pgp

import (
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
)

// expectation is what a message has to bring in signatures to be accepted.
type expectation struct {
	required bool // at least one valid signature; false only where nobody is expected
	unsigned bool // accepted all the same when there is no signature at all
	signers  []*Key
	// also are further lists; a valid signature by one of each is required as well.
	also      [][]*Key
	notations []Notation
	maxAge    time.Duration
}

// demands fills in what Verification and Decryption may ask of signatures alike, and
// finds wrong calls.
func (x expectation) demands(signers []*Key, also [][]*Key, notations []Notation, maxAge time.Duration) (expectation, error) {
	x.signers, x.also, x.notations, x.maxAge = signers, also, notations, maxAge
	if (len(also) > 0 || len(notations) > 0 || maxAge != 0) && signers == nil {
		return x, fail(trustkeep.ErrInvalid, "signatures are to be judged, and Signers is nil")
	}
	for _, list := range also {
		if len(list) == 0 {
			return x, fail(trustkeep.ErrInvalid, "AlsoSignedBy holds an empty list")
		}
		if err := noNil("AlsoSignedBy", list); err != nil {
			return x, err
		}
	}
	for _, n := range notations {
		if err := n.check(); err != nil {
			return x, err
		}
	}
	if maxAge < 0 {
		return x, fail(trustkeep.ErrInvalid, "MaxAge of %s", maxAge)
	}
	return x, noNil("Signers", signers)
}

// everybody returns all keys that are expected, by whichever list.
func (x expectation) everybody() []*Key {
	out := slices.Clone(x.signers)
	for _, list := range x.also {
		for _, k := range list {
			if !slices.ContainsFunc(out, func(o *Key) bool { return o.Fingerprint() == k.Fingerprint() }) {
				out = append(out, k)
			}
		}
	}
	return out
}

// missing returns the index of the first list, Signers being 0, of which nobody has
// signed validly; -1 if there is none.
func (x expectation) missing(res *Result) int {
	by := res.SignedBy()
	for i, list := range slices.Concat([][]*Key{x.signers}, x.also) {
		if !slices.ContainsFunc(by, func(k *Key) bool {
			return slices.ContainsFunc(list, func(o *Key) bool { return o.Fingerprint() == k.Fingerprint() })
		}) {
			return i
		}
	}
	return -1
}

// expected returns what Verification asks for: always a valid signature. Without
// signers none is valid, whether the list is nil or empty.
func (v Verification) expected() (expectation, error) {
	if len(v.Signers) == 0 && len(v.AlsoSignedBy) > 0 {
		return expectation{}, fail(trustkeep.ErrInvalid, "AlsoSignedBy without Signers")
	}
	x := expectation{required: true}
	return x.demands(append([]*Key{}, v.Signers...), v.AlsoSignedBy, v.Notations, v.MaxAge)
}

// expected returns what Decryption asks for. A list that is empty and not nil is
// a wrong call: it was meant to name somebody, and would require nothing.
func (d Decryption) expected() (expectation, error) {
	if d.Signers != nil && len(d.Signers) == 0 {
		return expectation{}, fail(trustkeep.ErrInvalid, "Signers is empty; leave it nil to decrypt without verifying")
	}
	if d.MustBeSigned && len(d.Signers) == 0 {
		return expectation{}, fail(trustkeep.ErrInvalid, "MustBeSigned without Signers")
	}
	if d.MustBeSigned && d.AllowUnsigned {
		return expectation{}, fail(trustkeep.ErrInvalid, "MustBeSigned and AllowUnsigned")
	}
	x := expectation{required: len(d.Signers) > 0, unsigned: d.AllowUnsigned}
	return x.demands(d.Signers, d.AlsoSignedBy, d.Notations, d.MaxAge)
}

// verdict decides on a message that has been read to its end.
func (m *message) verdict() (*Result, error) {
	res := m.result
	if m.expect.required && (res.Signature != SignatureNone || !m.expect.unsigned) {
		if err := res.err(); err != nil {
			return &res, err
		}
		if i := m.expect.missing(&res); i >= 0 {
			res.Signature = SignatureUnknown
			return &res, &SignatureError{SignatureUnknown, fmt.Sprintf("valid, but not by every signer who is required (list %d of %d)", i+1, len(m.expect.also)+1)}
		}
	}
	return &res, nil
}

// noNil refuses a list of keys with a nil, or a zero Key, in it.
func noNil(field string, keys []*Key) error {
	if slices.ContainsFunc(keys, func(k *Key) bool { return k == nil || k.state == nil }) {
		return fail(trustkeep.ErrInvalid, "%s holds nil", field)
	}
	return nil
}
