package dirstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// A registry in a directory: the record counts, the certificate beside it is for keytool,
// openssl and people.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	fatal(err)
	defer os.RemoveAll(dir)
	storage, err := dirstore.Open(dir, dirstore.Options{})
	fatal(err)
	defer storage.Close()

	ctx := environment.WithActor(context.Background(), "alice")
	registry, err := environment.Open(ctx, storage, environment.Options{
		Sealer: environment.PasswordSealer(trustkeep.Password("correct horse")),
	})
	fatal(err)
	partner := pkitest.New(exampleTB{}).Server.Leaf().Raw
	_, err = registry.Import(ctx, "ACME", partner, environment.ComponentOptions{ID: "acme"})
	fatal(err)

	files, err := filepath.Glob(filepath.Join(dir, "components", "acme", "*"))
	fatal(err)
	for _, f := range files {
		fmt.Println(filepath.Base(f))
	}
	// Output:
	// ACME.cer
	// record.json
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
