package keystore_test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"log"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// A component is generated, its public key is given to a partner, and its key is replaced
// in place.
func ExampleIdentityOf() {
	ctx := context.Background()
	options := component.Options{Password: trustkeep.Password("correct horse"), ID: "as2-acme"}
	c, err := component.Create(ctx, "AS2 ACME", issue.Options{
		Subject: pkix.Name{CommonName: "acme.example"}, DNSNames: []string{"acme.example"}}, options)
	if err != nil {
		log.Fatal(err)
	}
	file, _, err := c.ExportPublic(keystore.SuffixCER)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Visibility(), c.Kind(), "component, for partners:", file)

	next, err := c.Renew(ctx, issue.RenewOptions{NewKey: true}, options)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(next.ID() == c.ID(), next.Version(), next.Fingerprint() == c.Fingerprint())
	id, err := keystore.IdentityOf(next, trustkeep.Password("correct horse"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.Leaf().DNSNames, len(next.Versions()), "versions")

	public, err := component.Import(ctx, "partner", id.Leaf().Raw, component.Options{Kinds: []component.Kind{keystore.ComponentKind()}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = public.Renew(ctx, issue.RenewOptions{NewKey: true}, options)
	fmt.Println(err)
	// Output:
	// private X.509 component, for partners: AS2_ACME.cer
	// true 2 false
	// [acme.example] 2 versions
	// component: renew: alias "partner": no key or certificate can be made for a public component: unsupported
}
