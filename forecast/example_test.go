package forecast_test

import (
	"crypto/x509"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/forecast"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// Who would be refused without an authority?
func ExampleSeen_Plan() {
	now := func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }
	a, b := pkitest.Options{Name: "A", Now: now()}.New(exampleTB{}), pkitest.Options{Name: "B", Now: now()}.New(exampleTB{})
	seen := &forecast.Seen{Clock: now}
	builder := tlsctx.Builder{Global: truststore.Union(a.Trust(), b.Trust()), Accepted: seen.Note, Clock: now}

	// What connections of the Builder do:
	for name, pki := range map[string]*pkitest.PKI{"a.example": a, "b.example": b} {
		builder.Accepted(tlsctx.Peer{
			Purpose: truststore.Server, ServerName: name,
			Certificates: []*x509.Certificate{pki.NewServer(name).Leaf(), pki.Intermediate.Leaf()},
		})
	}

	plan, err := seen.Plan(builder, a.Trust())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(plan.Failing), "of", plan.Checked, "would fail:", plan.Failing[0].Peer.Name)
	// Output: 1 of 2 would fail: b.example
}
