package pgp

import (
	"slices"

	"github.com/trustkeep/trustkeep"
)

// expectation is what a message has to bring in signatures to be accepted.
type expectation struct {
	required bool // at least one valid signature; false only where nobody is expected
	unsigned bool // accepted all the same when there is no signature at all
}

// expected returns what Verification asks for: always a valid signature. Without
// signers none is valid, whether the list is nil or empty.
func (v Verification) expected() (expectation, error) {
	return expectation{required: true}, noNil("Signers", v.Signers)
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
	return expectation{required: len(d.Signers) > 0, unsigned: d.AllowUnsigned}, noNil("Signers", d.Signers)
}

// verdict decides on a message that has been read to its end.
func (m *message) verdict() (*Result, error) {
	res := m.result
	if m.expect.required && (res.Signature != SignatureNone || !m.expect.unsigned) {
		if err := res.err(); err != nil {
			return &res, err
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
