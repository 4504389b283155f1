package partner_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/pkitest"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// A partner announces a new certificate: until the agreed hour the old one encrypts, and
// signatures of both are accepted.
func Example() {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	pki := pkitest.Options{Now: now}.New(exampleTB{})
	agreed := now.Add(6 * time.Hour)

	var certificates partner.Set[*component.Component]
	for _, m := range []partner.Member[*component.Component]{
		{Item: imported("old", pki.NewEmail("edi@acme.example"))},
		{Item: imported("new", pki.NewEmail("edi@acme.example")), PreferredFrom: agreed},
	} {
		m.Uses = partner.Encrypt | partner.Verify
		if err := certificates.Add(m); err != nil {
			log.Fatal(err)
		}
	}
	for _, at := range []time.Time{now, agreed} {
		to, err := certificates.Send(partner.Encrypt, at)
		if err != nil {
			log.Fatal(err)
		}
		from, err := certificates.Resolve(partner.Verify, at)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("encrypt to the %s one, accept %d\n", to.Name(), len(from))
	}
	// Output:
	// encrypt to the old one, accept 2
	// encrypt to the new one, accept 2
}

// imported makes a component from a partner's certificate.
func imported(name string, id *keystore.Identity) *component.Component {
	c, err := component.Import(context.Background(), name, id.Leaf().Raw,
		component.Options{Kinds: []component.Kind{keystore.ComponentKind()}})
	if err != nil {
		log.Fatal(err)
	}
	return c
}
