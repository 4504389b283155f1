package keystore_test

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
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

func examplePKI() *pkitest.PKI {
	return pkitest.Options{Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}.New(exampleTB{})
}

// exampleStore writes a store with the identity "server" to a temporary folder.
func exampleStore(pki *pkitest.PKI) (path string, remove func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "server.p12")
	ks := keystore.New()
	if err := ks.AddIdentity("server", pki.Server); err != nil {
		log.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{Password: trustkeep.Password("changeit")}); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

// The five names that most programs need: a store is loaded, its identity used and replaced,
// and a server follows the file.
func Example() {
	pki := examplePKI()
	path, remove := exampleStore(pki)
	defer remove()
	password := trustkeep.Password("changeit") // or PasswordFromEnv, PasswordFromFile

	ks, err := keystore.Load(path, password)
	if err != nil {
		log.Fatal(err)
	}
	id, err := ks.Identity("server")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ks, id.Leaf().DNSNames, len(id.Chain()), "certificates")

	live, err := keystore.Watch(path, password, trustkeep.WatchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer live.Close()
	server, err := live.Identity("server") // for tlsctx.Builder.Identity
	if err != nil {
		log.Fatal(err)
	}

	if err := ks.SetIdentity("server", pki.NewServer("new.example")); err != nil {
		log.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		log.Fatal(err)
	}
	if err := live.Reload(context.Background()); err != nil { // or wait for Interval
		log.Fatal(err)
	}
	fmt.Println(server.Identity().Leaf().DNSNames)
	// Output:
	// pkcs12 keystore, 1 entries [localhost] 3 certificates
	// [new.example]
}

// Errors wrap the sentinels of package trustkeep and carry a hint.
func ExampleLoad() {
	path, remove := exampleStore(examplePKI())
	defer remove()

	ks, err := keystore.Load(path, trustkeep.Password("changeit"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ks.Format(), ks.Aliases())

	_, err = keystore.Load(path, trustkeep.Password("guess"))
	fmt.Println(errors.Is(err, trustkeep.ErrIncorrectPassword))
	_, err = ks.Identity("client")
	fmt.Println(errors.Is(err, trustkeep.ErrNotFound))
	// Output:
	// pkcs12 [server]
	// true
	// true
}

// Several programs may update one file at once: each sees what the one before has written.
func ExampleUpdate() {
	pki := examplePKI()
	path, remove := exampleStore(pki)
	defer remove()
	password := trustkeep.Password("changeit")

	err := keystore.Update(path, password, trustkeep.SaveOptions{}, func(ks *keystore.Keystore) error {
		return ks.AddIdentity("client", pki.Client)
	})
	if err != nil {
		log.Fatal(err)
	}
	ks, err := keystore.Load(path, password)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ks.Aliases())
	// Output: [server client]
}

// A server presents the new certificate as soon as its file is replaced.
func ExampleWatch() {
	pki := examplePKI()
	path, remove := exampleStore(pki)
	defer remove()
	password := trustkeep.Password("changeit")

	live, err := keystore.Watch(path, password, trustkeep.WatchOptions{
		OnChange: func(c trustkeep.Change) { fmt.Println(c) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer live.Close()

	err = keystore.Update(path, password, trustkeep.SaveOptions{}, func(ks *keystore.Keystore) error {
		return ks.SetIdentity("server", pki.NewServer("new.example"))
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := live.Reload(context.Background()); err != nil { // or wait for Interval
		log.Fatal(err)
	}
	// Output: generation 2: replaced "server" (CN=new.example,O=Test)
}
