package environment_test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// A partner's certificate is imported, deployed, and from then on trusted by every
// connection of the environment that has no trust of its own.
func Example() {
	ctx := environment.WithActor(context.Background(), "alice")
	dir, err := os.MkdirTemp("", "registry-")
	fatal(err)
	defer os.RemoveAll(dir)
	storage, err := dirstore.Open(filepath.Join(dir, "storage"), dirstore.Options{})
	fatal(err)
	defer storage.Close()
	keyFile := filepath.Join(dir, "key")
	fatal(environment.NewKeyFile(keyFile))
	registry, err := environment.Open(ctx, storage, environment.Options{Sealer: environment.FileSealer(keyFile)})
	fatal(err)

	partner := partnersCertificate(ctx)
	c, err := registry.Import(ctx, "ACME's server", partner, environment.ComponentOptions{ID: "acme"})
	fatal(err)
	fmt.Println(c.Visibility(), c.Kind())

	production, err := registry.CreateEnvironment(ctx, "production")
	fatal(err)
	fatal(production.Deploy(ctx, "acme"))
	atom, err := production.Attach(ctx, "node-1", environment.AtomOptions{})
	fatal(err)
	defer atom.Close()
	trusted, err := atom.Certificates()
	fatal(err)
	for _, t := range trusted {
		fmt.Println("trusts", t.Name)
	}
	fmt.Println(registry.Delete(ctx, "acme"))

	// Output:
	// public X.509
	// trusts ACME's server
	// environment: delete: alias "ACME's server": look for uses: in use: deployed in production; end these uses first
}

// partnersCertificate is what a partner sends.
func partnersCertificate(ctx context.Context) []byte {
	c, err := component.Create(ctx, "acme", issue.Options{
		Subject: pkix.Name{CommonName: "acme.example"}, DNSNames: []string{"acme.example"},
	}, component.Options{Password: trustkeep.Password("theirs")})
	fatal(err)
	_, data, err := c.ExportPublic(keystore.SuffixCER)
	fatal(err)
	return data
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
