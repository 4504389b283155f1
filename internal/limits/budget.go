// Package limits spends a trustkeep.Limits: one Budget follows one input
// through every parser and key derivation that works on it.
package limits

import (
	"fmt"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
)

// perKey is what each private key found adds to the derivation budget. It
// covers the 50,000 iterations of three blocks that JDK 8 wrote.
const perKey = 150_000

// Budget is safe for concurrent use. A nil Budget is not valid.
type Budget struct {
	limits     trustkeep.Limits
	iterations atomic.Int64 // left
	entries    atomic.Int64 // left
	held       atomic.Bool
	owed       atomic.Int64 // iterations held back
}

// New returns the budget of one input.
func New(l trustkeep.Limits) *Budget {
	l = l.WithDefaults()
	b := &Budget{limits: l}
	b.iterations.Store(int64(l.MaxIterations))
	b.entries.Store(int64(l.MaxEntries))
	return b
}

// MaxDepth is how deep structures may nest.
func (b *Budget) MaxDepth() int { return b.limits.MaxDepth }

// Size refuses an input of n bytes that is over the limit.
func (b *Budget) Size(n int64) error {
	if n > b.limits.MaxSize {
		return fmt.Errorf("input of more than %d bytes: %w", b.limits.MaxSize, trustkeep.ErrLimit)
	}
	return nil
}

// Entries takes n entries from the budget.
func (b *Budget) Entries(n int) error {
	if n < 0 || b.entries.Add(-int64(n)) < 0 {
		return fmt.Errorf("more than %d entries: %w", b.limits.MaxEntries, trustkeep.ErrLimit)
	}
	return nil
}

// Key raises the derivation budget for one private key that was found.
func (b *Budget) Key() {
	if b.held.Load() {
		b.owed.Add(perKey)
		return
	}
	b.iterations.Add(perKey)
}

// Hold keeps back what keys add to the budget until Release. Reading a store may
// open keys to find their certificates, and is not to cost what unlocking all of
// them may: how many there are is up to the input.
func (b *Budget) Hold() { b.held.Store(true) }

// Release ends Hold. It is called when nothing works on the input any more.
func (b *Budget) Release() {
	b.held.Store(false)
	b.iterations.Add(b.owed.Swap(0))
}

// Derive takes the cost of a key derivation of that many iterations, each of
// blocks hash outputs, before it is spent.
func (b *Budget) Derive(iterations int64, blocks int) error {
	if iterations < 1 || blocks < 1 {
		return fmt.Errorf("key derivation of %d iterations: %w", iterations, trustkeep.ErrCorrupt)
	}
	// Compared by division, since both numbers come from the input.
	if left := b.iterations.Load(); iterations > left/int64(blocks) {
		return fmt.Errorf("key derivation of %d iterations: %w", iterations, trustkeep.ErrLimit)
	}
	if b.iterations.Add(-iterations*int64(blocks)) < 0 {
		return fmt.Errorf("key derivation of %d iterations: %w", iterations, trustkeep.ErrLimit)
	}
	return nil
}

// Memory refuses a key derivation that would allocate more than n bytes.
func (b *Budget) Memory(n int64) error {
	if n < 0 || n > b.limits.MaxKDFMemory {
		return fmt.Errorf("key derivation in %d bytes of memory: %w", n, trustkeep.ErrLimit)
	}
	return nil
}

// Spender is what a key derivation asks before it works. *Budget and *Tab
// implement it.
type Spender interface {
	Derive(iterations int64, blocks int) error
	Memory(n int64) error
}

// Tab spends the budget for one key once, however often its derivation is
// repeated: a long-lived store may be asked for the same key again and again,
// and a caller may try several passwords.
type Tab struct {
	budget *Budget
	paid   atomic.Bool
}

// Tab opens a tab and raises the budget for the key that it is for.
func (b *Budget) Tab() *Tab {
	b.Key()
	return &Tab{budget: b}
}

// Derive takes the cost from the budget the first time that it can be paid.
func (t *Tab) Derive(iterations int64, blocks int) error {
	if t.paid.Load() {
		return nil
	}
	if err := t.budget.Derive(iterations, blocks); err != nil {
		return err
	}
	t.paid.Store(true)
	return nil
}

// Memory is Budget.Memory.
func (t *Tab) Memory(n int64) error { return t.budget.Memory(n) }
