package limits

import "sync/atomic"

// Once asks another Spender for a derivation the first time that it can be paid, and
// not again: for a derivation that is repeated because the caller, and not the input,
// gives several passwords.
type Once struct {
	Spender
	paid atomic.Bool
}

// Derive is Spender's.
func (o *Once) Derive(iterations int64, blocks int) error {
	if o.paid.Load() {
		return nil
	}
	if err := o.Spender.Derive(iterations, blocks); err != nil {
		return err
	}
	o.paid.Store(true)
	return nil
}
