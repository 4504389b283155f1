package pbe

import (
	"crypto"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// What pk12util -M SHA-384 writes is within the default limits, key included: a MAC by
// the derivation of RFC 7292, a sealed safe and a sealed key of 600,000 iterations each.
func TestDefaultLimitsReadNSS(t *testing.T) {
	budget := limits.New(trustkeep.Limits{})
	const iterations = 600_000
	if err := chargePKCS12(iterations, crypto.SHA384, 1, budget); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := chargePBKDF2(iterations, crypto.SHA384, 32, budget); err != nil {
			t.Fatal(err)
		}
	}
}
