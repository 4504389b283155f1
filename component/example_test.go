package component_test

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"log"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// A partner's certificate is imported, replaced a year later, and rolled back. The ID stays.
func Example() {
	ctx := context.Background()
	options := component.Options{
		ID:    "acme",
		Kinds: []component.Kind{keystore.ComponentKind(), pgp.ComponentKind()},
	}
	c, err := component.Import(ctx, "ACME's server", certificate("acme.example"), options)
	fatal(err)
	fmt.Println(c.Visibility(), c.Kind(), "for", c.Describe()[0].Names)

	next, err := c.Reimport(ctx, certificate("new.acme.example"), component.Options{})
	fatal(err)
	fmt.Println("version", next.Version(), "for", next.Describe()[0].Names)

	back, err := next.Rollback(1, component.Options{})
	fatal(err)
	fmt.Println("version", back.Version(), "is version 1:", back.Fingerprint() == c.Fingerprint())

	stored, err := json.Marshal(back.State())
	fatal(err)
	var state component.State
	fatal(json.Unmarshal(stored, &state))
	restored, err := component.Restore(state, keystore.ComponentKind())
	fatal(err)
	fmt.Println(restored.ID(), "with", len(restored.Versions()), "versions")
	// Output:
	// public X.509 for [acme.example]
	// version 2 for [new.acme.example]
	// version 3 is version 1: true
	// acme with 3 versions
}

// A new key and certificate are created and renewed; the password is kept by the caller.
func ExampleCreate() {
	ctx := context.Background()
	options := component.Options{Password: trustkeep.Password("correct horse"), ID: "server"}
	c, err := component.Create(ctx, "Server", issue.Options{
		Subject: pkix.Name{CommonName: "server.example"}, DNSNames: []string{"server.example"}}, options)
	fatal(err)
	next, err := c.Renew(ctx, issue.RenewOptions{NewKey: true}, options)
	fatal(err)
	id, err := keystore.IdentityOf(next, trustkeep.Password("correct horse"))
	fatal(err)
	fmt.Println(next.ID(), "version", next.Version(), "for", id.Leaf().DNSNames)

	key, err := component.Create(ctx, "Orders", pgp.GenerateOptions{UserIDs: []string{"Orders <orders@example.com>"}}, options)
	fatal(err)
	name, _, err := key.ExportPublic("")
	fatal(err)
	fmt.Println(key.Visibility(), key.Kind(), name, "locked:", pgp.KeyOf(key).IsLocked())
	// Output:
	// server version 2 for [server.example]
	// private PGP Orders_pub.asc locked: true
}

// Weak content does not become a component, however it comes.
func ExamplePolicy() {
	ctx := context.Background()
	short := component.Policy(func(c *component.Component) error {
		if c.NotAfter().Sub(c.NotBefore()).Hours() > 398*24 {
			return fmt.Errorf("valid for too long: %w", trustkeep.ErrRejected)
		}
		return nil
	})
	_, err := component.Create(ctx, "Server", issue.Options{DNSNames: []string{"server.example"}, Validity: 3650 * 24 * 60 * 60 * 1e9},
		component.Options{Password: trustkeep.Password("correct horse"), Policy: short})
	fmt.Println(err)
	// Output:
	// component: create: alias "Server": policy: valid for too long: rejected
}

// A draft reminds of what was not saved.
func ExampleDraft() {
	ctx := context.Background()
	c, err := component.Import(ctx, "ACME", certificate("acme.example"), component.Options{Kinds: []component.Kind{keystore.ComponentKind()}})
	fatal(err)
	draft := component.NewDraft(c, func(c *component.Component) error {
		fmt.Println("saved as", c.Name())
		return nil
	})
	fatal(draft.Change(func(c *component.Component) (*component.Component, error) { return c.Rename("ACME, Inc.") }))
	fmt.Println(draft.Close())
	fatal(draft.Save())
	fmt.Println(draft.Close())
	// Output:
	// close component: alias "ACME, Inc.": unsaved changes; save the component, or discard the changes
	// saved as ACME, Inc.
	// <nil>
}

// certificate is what a partner sends.
func certificate(name string) []byte {
	id, err := issue.New(issue.Options{DNSNames: []string{name}})
	fatal(err)
	return id.Leaf().Raw
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
