package pemfile

import (
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func options(password string) entry.ReadOptions {
	o := entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}
	if password != "" {
		o.Password = []byte(password)
	}
	return o
}

func TestKeyAndChain(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("a.example")
	s, err := Parse(append(id.ChainPEM(), id.KeyPEM()...), options(""))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Entries) != 1 || s.Entries[0].Kind != entry.Key || len(s.Entries[0].Chain) != len(id.DERChain()) {
		t.Fatalf("got %d entries, the first %+v", len(s.Entries), s.Entries[0])
	}
}
