package revocation_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"math/big"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// listOf is what an authority publishes.
func listOf(ca *keystore.Identity, now time.Time, revoked ...*big.Int) []byte {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: now.Add(-time.Hour), ReasonCode: 1})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Leaf(), ca.Signer())
	if err != nil {
		log.Fatal(err)
	}
	return der
}

// A list that was loaded has the last word on a certificate that is trusted otherwise. In
// a context it is tlsctx.Builder{Revocation: checker}.
func Example() {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	pki := pkitest.Options{Now: now}.New(exampleTB{})
	good, stolen := pki.NewServer("good.example"), pki.NewServer("stolen.example")

	lists, err := revocation.ParseCRLs(listOf(pki.Intermediate, now, stolen.Leaf().SerialNumber))
	if err != nil {
		log.Fatal(err)
	}
	checker, err := revocation.New(revocation.Options{CRLs: lists, Coverage: revocation.LeafOnly})
	if err != nil {
		log.Fatal(err)
	}

	for name, id := range map[string]*keystore.Identity{"good.example": good, "stolen.example": stolen} {
		_, err := pki.Trust().Verify(id.Chain(), truststore.VerifyOptions{Name: name, Time: now, Revocation: checker})
		fmt.Println(name, "is revoked:", errors.Is(err, trustkeep.ErrRevoked))
	}
	// Unordered output:
	// good.example is revoked: false
	// stolen.example is revoked: true
}

// SoftFail accepts a certificate about which nothing can be learned, and says so.
func ExampleOptions_softFail() {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	pki := pkitest.Options{Now: now}.New(exampleTB{})
	checker, err := revocation.New(revocation.Options{
		Mode: revocation.SoftFail, Coverage: revocation.LeafOnly,
		OnUnknown: func(cert *x509.Certificate, err error) { fmt.Println(cert.Subject.CommonName+":", err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	verdict, err := pki.Trust().Verify(pki.Server.Chain(), truststore.VerifyOptions{Name: "localhost", Time: now, Revocation: checker})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range verdict.Revocation {
		fmt.Println(r.Certificate.Subject.CommonName+":", r.Status)
	}
	// Output:
	// localhost: no list, no stapled answer, and nowhere to ask
	// localhost: unknown
	// Test Intermediate CA: skipped
	// Test Root CA: anchor
}

// A server presents its own OCSP response, and refreshes it.
func ExampleNewStapled() {
	identity, err := keystore.Load("server.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
	if err != nil {
		log.Fatal(err)
	}
	id, err := identity.Identity("server")
	if err != nil {
		log.Fatal(err)
	}
	stapled, err := revocation.NewStapled(context.Background(), id, revocation.StapleOptions{
		FetchOCSP: revocation.HTTP{}.FetchOCSP,
		OnError:   func(err error) { log.Print(err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stapled.Close()
	cfg, err := tlsctx.Builder{Identity: stapled}.Server()
	if err != nil {
		log.Fatal(err)
	}
	listener, err := tls.Listen("tcp", ":443", cfg)
	if err != nil {
		log.Fatal(err)
	}
	listener.Close()
}
