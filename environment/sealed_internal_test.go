package environment

import (
	"crypto/rand"
	"testing"

	"github.com/trustkeep/trustkeep/internal/redact"
)

// TestEachPartIsBound: under the same data key, a password opens for its environment, component,
// version, number and content alone, and a data key for its environment and generation.
func TestEachPartIsBound(t *testing.T) {
	key, err := NewOpeningKey()
	if err != nil {
		t.Fatal(err)
	}
	d := newRingRecord()
	if err := d.add(Recipient{"one", key.SealingKey()}); err != nil {
		t.Fatal(err)
	}
	if err := newRing("test", d, rand.Reader); err != nil {
		t.Fatal(err)
	}
	o, err := d.open("test", key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.open("production", key); err == nil {
		t.Error("a data key opens for another environment")
	}
	later := *d
	later.Generation++
	if _, err := later.open("test", key); err == nil {
		t.Error("a data key opens as another generation")
	}
	for name, change := range map[string]func(o *ring, component *string, s *sealedRecord){
		"nothing":     func(*ring, *string, *sealedRecord) {},
		"environment": func(o *ring, _ *string, _ *sealedRecord) { o.env = "production" },
		"component":   func(_ *ring, component *string, _ *sealedRecord) { *component = "y" },
		"version":     func(_ *ring, _ *string, s *sealedRecord) { s.Secrets[0].Version++ },
		"number":      func(_ *ring, _ *string, s *sealedRecord) { s.Number++ },
		"content":     func(_ *ring, _ *string, s *sealedRecord) { s.Secrets[0].Digest[0]++ },
	} {
		s, own, component := newSealedRecord(), *o, "x"
		if err := o.seal("x", s, map[contentID]*redact.Secret{{Version: 1}: redact.NewSecret([]byte("p"))}, rand.Reader); err != nil {
			t.Fatal(err)
		}
		change(&own, &component, s)
		if _, err := own.openSecret(component, s, 0); (err == nil) != (name == "nothing") {
			t.Errorf("%s changed: %v", name, err)
		}
	}
}
