// Package limits spends a trustkeep.Limits: one Budget follows one operation
// through every parser and key derivation that works for it.
package limits

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
)

// Spender is what arithmetic asks before it works. *Budget implements it.
type Spender interface {
	// Derive takes the cost of a key derivation of that many iterations, each of
	// blocks times what one of PBKDF2-HMAC-SHA-256 costs.
	Derive(iterations int64, blocks int) error
	// Memory refuses a key derivation that would allocate more than n bytes.
	Memory(n int64) error
	// Alone runs a key derivation that Memory has allowed, while no other of the
	// operation runs.
	Alone(derive func())
	// Key refuses an asymmetric key of too many bits, and takes the cost of
	// checking one of that size.
	Key(bits int) error
}

// Budget is safe for concurrent use. A nil Budget is not valid.
type Budget struct {
	limits     trustkeep.Limits
	iterations atomic.Int64 // left
	entries    atomic.Int64 // left
	memory     sync.Mutex   // held while a derivation takes much of it
}

// New returns the budget of one operation.
func New(l trustkeep.Limits) *Budget {
	l = l.WithDefaults()
	b := &Budget{limits: l}
	b.iterations.Store(int64(l.MaxIterations))
	b.entries.Store(int64(l.MaxEntries))
	return b
}

// Limits returns what the budget was made of.
func (b *Budget) Limits() trustkeep.Limits { return b.limits }

// MaxDepth is how deep structures may nest.
func (b *Budget) MaxDepth() int { return b.limits.MaxDepth }

// Size refuses an input of n bytes that is over the limit.
func (b *Budget) Size(n int64) error {
	if n > b.limits.MaxSize {
		return fmt.Errorf("input of more than %d bytes (Limits.MaxSize): %w", b.limits.MaxSize, trustkeep.ErrLimit)
	}
	return nil
}

// Entries takes n entries from the budget.
func (b *Budget) Entries(n int) error {
	if n < 0 || b.entries.Add(-int64(n)) < 0 {
		return fmt.Errorf("more than %d entries (Limits.MaxEntries): %w", b.limits.MaxEntries, trustkeep.ErrLimit)
	}
	return nil
}

// Derive is Spender's.
func (b *Budget) Derive(iterations int64, blocks int) error {
	if iterations < 1 || blocks < 1 {
		return fmt.Errorf("key derivation of %d iterations: %w", iterations, trustkeep.ErrCorrupt)
	}
	// Compared by division, since both numbers come from the input.
	if left := b.iterations.Load(); iterations > left/int64(blocks) || b.iterations.Add(-iterations*int64(blocks)) < 0 {
		return fmt.Errorf("key derivation of %d iterations, which exceeds what is left of %d (Limits.MaxIterations): %w",
			iterations, b.limits.MaxIterations, trustkeep.ErrLimit)
	}
	return nil
}

// Memory is Spender's.
func (b *Budget) Memory(n int64) error {
	if n < 0 || n > b.limits.MaxKDFMemory {
		return fmt.Errorf("key derivation in %d bytes of memory, of which %d are allowed (Limits.MaxKDFMemory): %w", n, b.limits.MaxKDFMemory, trustkeep.ErrLimit)
	}
	return nil
}

// Alone is Spender's.
func (b *Budget) Alone(derive func()) {
	b.memory.Lock()
	defer b.memory.Unlock()
	derive()
}

// costOfKey is what checking a key of 1,024 bits costs, in iterations. Checking
// grows with the third power of the size.
const costOfKey = 50

// Key is Spender's. The cost is that of an RSA key; others have fewer bits and cost
// less.
func (b *Budget) Key(bits int) error {
	if bits > b.limits.MaxKeyBits {
		return fmt.Errorf("key of %d bits, of which %d are allowed (Limits.MaxKeyBits): %w", bits, b.limits.MaxKeyBits, trustkeep.ErrLimit)
	}
	kilobits := int64(bits+1023) / 1024
	cost := costOfKey * kilobits * kilobits * kilobits
	if b.iterations.Add(-cost) < 0 {
		return fmt.Errorf("key of %d bits, which exceeds what is left of %d (Limits.MaxIterations): %w", bits, b.limits.MaxIterations, trustkeep.ErrLimit)
	}
	return nil
}
