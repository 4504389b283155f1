package truststore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

func examplePKI(name string) *pkitest.PKI {
	return pkitest.Options{Name: name, Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}.New(exampleTB{})
}

// Trust for one partner beside another store, in a context that follows its file.
func Example() {
	partners, err := truststore.Load("testdata/trust.p12", trustkeep.Password("changeit"))
	if err != nil {
		log.Fatal(err)
	}
	followed, err := truststore.Watch("testdata/trust.p12", trustkeep.Password("changeit"), trustkeep.WatchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer followed.Close()
	pki := examplePKI("Internal")
	both := truststore.Union(followed, truststore.New(pki.CA.Leaf())) // for tlsctx.Builder.Trusted

	// Without TLS, ask for the decision.
	signer := pki.NewEmail("me@internal.example").Chain()
	question := truststore.VerifyOptions{Purpose: truststore.Email, Name: "me@internal.example", Time: pki.Now()}
	_, err = partners.Verify(signer, question)
	if refused, ok := errors.AsType[*truststore.VerifyError](err); ok {
		fmt.Println(refused.Sentence())
	}
	now, err := both.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	verdict, err := now.Verify(signer, question)
	fmt.Println(verdict, err)
	// Output:
	// certificate "CN=me@internal.example,O=Internal" is not trusted: its chain ends at "CN=Internal Root CA,O=Internal", which is not in the store
	// trusted: the chain of "CN=me@internal.example,O=Internal" leads to "CN=Internal Root CA,O=Internal" in the store <nil>
}

func ExampleLoad() {
	store, err := truststore.Load("testdata/trust.p12", trustkeep.Password("changeit"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store)
	for _, e := range store.Entries() {
		fmt.Println(e.Alias, "=", e.Certificate.Subject)
	}
	// Output:
	// pkcs12 truststore, 2 certificates
	// alpha = CN=Alpha CA
	// beta = CN=Beta CA
}

func ExampleTruststore_Verify() {
	pki := examplePKI("Partner")
	chain := pki.NewServer("sftp.partner.example").Chain()[:2] // as the peer sends it

	store := truststore.New(pki.CA.Leaf())
	verdict, err := store.Verify(chain, truststore.VerifyOptions{Name: "sftp.partner.example", Time: pki.Now()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verdict.Rule)

	_, err = store.Verify(chain[:1], truststore.VerifyOptions{Name: "ftp.partner.example", Time: pki.Now().AddDate(0, 0, 9)})
	var refused *truststore.VerifyError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, "-", refused.Text)
		for _, also := range refused.Also {
			fmt.Println(also.Code)
		}
		fmt.Println("missing:", refused.MissingIssuer.Subject)
		fmt.Println("expired:", errors.Is(err, trustkeep.ErrExpired))
	}
	// Output:
	// chain
	// expired - it expired on 2026-11-22T12:00:00Z, 8 days ago
	// name-mismatch
	// incomplete-chain
	// missing: CN=Partner Intermediate CA,O=Partner
	// expired: true
}

func ExampleUnion() {
	deployed := truststore.New(examplePKI("Deployed").CA.Leaf())
	partner := truststore.New(examplePKI("Partner").CA.Leaf())
	both := truststore.Union(deployed, partner)

	s, err := both.Snapshot()
	fmt.Println(s, err)
	if err := partner.Remove("partner-root-ca"); err != nil {
		log.Fatal(err)
	}
	s, err = both.Snapshot() // it follows its parts
	fmt.Println(s, err)
	// Output:
	// 2 certificates <nil>
	// 1 certificate <nil>
}

func ExampleTruststore_Encode() {
	store := truststore.New(examplePKI("Partner").CA.Leaf())
	// A file that Java 8 reads as well as Java 25.
	data, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("changeit")})
	if err != nil {
		log.Fatal(err)
	}
	again, err := truststore.Parse(data, trustkeep.Password("changeit"))
	fmt.Println(again, again.Aliases(), err)
	// Output: jks truststore, 1 certificate [partner-root-ca] <nil>
}

func ExampleUpdate() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path, password := filepath.Join(dir, "partners.p12"), trustkeep.Password("changeit")

	// Several programs may do so at once: each sees what the one before has written.
	err = truststore.Update(path, password, trustkeep.SaveOptions{Mode: 0o644}, func(t *truststore.Truststore) error {
		return t.Add("partner", examplePKI("Partner").CA.Leaf())
	})
	if err != nil {
		log.Fatal(err)
	}
	store, err := truststore.Load(path, password)
	fmt.Println(store.Aliases(), err)
	// Output: [partner] <nil>
}

func ExampleWatch() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "partners.pem")
	old, fresh := examplePKI("Old").CA.Leaf(), examplePKI("New").CA.Leaf()
	if err := truststore.New(old).Save(path, trustkeep.SaveOptions{Format: trustkeep.PEM}); err != nil {
		log.Fatal(err)
	}

	// A tlsctx.Builder with Trusted: partners follows the file.
	partners, err := truststore.Watch(path, nil, trustkeep.WatchOptions{
		OnChange: func(c trustkeep.Change) { fmt.Println(c) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer partners.Close()

	err = truststore.Update(path, nil, trustkeep.SaveOptions{}, func(t *truststore.Truststore) error { return t.Set(fresh) })
	if err != nil {
		log.Fatal(err)
	}
	if err := partners.Reload(context.Background()); err != nil { // or wait for Interval
		log.Fatal(err)
	}
	// Output: generation 2: added "new-root-ca" (CN=New Root CA,O=New); removed "old-root-ca" (CN=Old Root CA,O=Old)
}
