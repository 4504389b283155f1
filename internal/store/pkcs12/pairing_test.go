package pkcs12

import (
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// Pairing is linear: many keys and many certificates that all claim to belong
// together, by ID, by name, or by issuer, take no longer than others.
func TestPairingIsLinear(t *testing.T) {
	store := newStore(t, 1, 1)
	key, err := store.Entries[0].Key.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	model := store.Entries[0].Chain[1].Raw
	for name, attributes := range map[string][]byte{
		"by ID":   encodeAttributes("", []byte("id"), false, nil),
		"by name": encodeAttributes("name", nil, false, nil),
	} {
		n := testtool.Rounds(5_000, 20_000)
		var contents []byte
		for i := range n {
			cert := withSerial(t, model, i)
			contents = appendTypedBag(contents, oidCertBag, oidX509Cert, cert, attributes)
			contents = appendBag(contents, oidKeyBag, key, attributes)
		}
		start := testcpu.Used()
		s, err := Parse(pfxOf(nil, plainSafe(contents)), noPassword())
		if err != nil || len(s.Entries) < n {
			t.Fatalf("%s: %v", name, err)
		}
		if elapsed := testcpu.Since(start); elapsed > 5*time.Second {
			t.Errorf("%s: took %v", name, elapsed)
		}
	}
}
