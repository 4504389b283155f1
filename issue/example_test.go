package issue_test

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"log"

	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleCA makes a self-signed CA.
func exampleCA() *keystore.Identity {
	ca, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "Example Root CA"}, Purposes: issue.ForCA})
	if err != nil {
		log.Fatal(err)
	}
	return ca
}

// The five names that most users need: a key and certificate are made, certified by a CA, and
// renewed a year later.
func Example() {
	ca := exampleCA()
	roots := truststore.New(ca.Leaf())
	ks := keystore.New()

	id, err := issue.New(issue.Options{DNSNames: []string{"web.example"}}) // self-signed
	if err != nil {
		log.Fatal(err)
	}
	if err := ks.AddIdentity("web", id); err != nil {
		log.Fatal(err)
	}
	request, err := issue.Request(id, issue.Options{}) // PEM, to the CA
	if err != nil {
		log.Fatal(err)
	}
	reply, err := issue.Sign(ca, request, issue.Options{}) // the CA's side
	if err != nil {
		log.Fatal(err)
	}
	id, err = issue.Install(ks, "web", reply, issue.InstallOptions{Trust: roots})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.Leaf().Issuer)

	renewed, err := issue.Renew(context.Background(), ks, "web", issue.RenewOptions{
		Trust: roots,
		Sign: func(_ context.Context, request []byte) ([]byte, error) { // or a CA's API
			return issue.Sign(ca, request, issue.Options{})
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(renewed.Leaf().DNSNames, renewed.Leaf().Equal(id.Leaf()))
	// Output:
	// CN=Example Root CA
	// [web.example] false
}

// A self-signed certificate, put into a store under an alias that must be free.
func ExampleNew() {
	id, err := issue.New(issue.Options{DNSNames: []string{"web.example"}})
	if err != nil {
		log.Fatal(err)
	}
	ks := keystore.New()
	if err := ks.AddIdentity("web", id); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ks.Aliases(), id.Leaf().DNSNames, "self-signed:", id.SelfSigned())
	// Output:
	// [web] [web.example] self-signed: true
}

// A server asks a CA for a certificate: request out, reply in.
func ExampleInstall() {
	ca, server := exampleCA(), keystore.New()
	id, err := issue.New(issue.Options{DNSNames: []string{"web.example"}})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.AddIdentity("web", id); err != nil {
		log.Fatal(err)
	}

	request, err := issue.Request(id, issue.Options{}) // to the CA
	if err != nil {
		log.Fatal(err)
	}
	reply, err := issue.Sign(ca, request, issue.Options{}) // the CA answers
	if err != nil {
		log.Fatal(err)
	}
	id, err = issue.Install(server, "web", reply, issue.InstallOptions{Trust: truststore.New(ca.Leaf())})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("self-signed:", id.SelfSigned())
	fmt.Println("issuer:", id.Leaf().Issuer)
	// Output:
	// self-signed: false
	// issuer: CN=Example Root CA
}

// A key that has no certificate yet, such as one that openssl made.
func ExampleRequestForKey() {
	const file = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----`
	ks, err := keystore.Parse([]byte(file), nil)
	if err != nil {
		log.Fatal(err)
	}
	key, err := ks.Signer("")
	if err != nil {
		log.Fatal(err)
	}
	request, err := issue.RequestForKey(key, issue.Options{DNSNames: []string{"web.example"}})
	if err != nil {
		log.Fatal(err)
	}
	reply, err := issue.Sign(exampleCA(), request, issue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	id, err := issue.Install(ks, "", reply, issue.InstallOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.Leaf().DNSNames, id.Leaf().PublicKeyAlgorithm)
	// Output:
	// [web.example] Ed25519
}

// What a request asks for is granted unless the CA's options have names or purposes of
// their own.
func ExampleSign() {
	partner, err := issue.New(issue.Options{DNSNames: []string{"partner.example", "anything.example"}})
	if err != nil {
		log.Fatal(err)
	}
	request, err := issue.Request(partner, issue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	reply, err := issue.Sign(exampleCA(), request, issue.Options{DNSNames: []string{"partner.example"}, Purposes: issue.ForClient})
	if err != nil {
		log.Fatal(err)
	}
	signed, err := keystore.Parse(reply, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signed.Certificates()[0].DNSNames)
	// Output:
	// [partner.example]
}

// A new key and certificate under the old alias, the old one kept. Renew within
// keystore.Update does the same to a file.
func ExampleRenew() {
	ks := keystore.New()
	old, err := issue.New(issue.Options{DNSNames: []string{"web.example"}})
	if err != nil {
		log.Fatal(err)
	}
	if err := ks.AddIdentity("web", old); err != nil {
		log.Fatal(err)
	}
	renewed, err := issue.Renew(context.Background(), ks, "web", issue.RenewOptions{NewKey: true, KeepAs: "web.old"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(renewed.Alias(), renewed.Leaf().DNSNames, renewed.Leaf().Equal(old.Leaf()))
	fmt.Println(ks.Aliases())
	// Output:
	// web [web.example] false
	// [web web.old]
}

// A CA behind an API: Sign gets the context of Renew.
func ExampleRenewOptions() {
	ca := exampleCA()
	ks := keystore.New()
	id, err := issue.New(issue.Options{DNSNames: []string{"web.example"}, Issuer: ca})
	if err != nil {
		log.Fatal(err)
	}
	if err := ks.AddIdentity("web", id); err != nil {
		log.Fatal(err)
	}
	ask := func(ctx context.Context, request []byte) ([]byte, error) {
		return issue.Sign(ca, request, issue.Options{})
	}
	id, err = issue.Renew(context.Background(), ks, "web", issue.RenewOptions{Sign: ask, Trust: truststore.New(ca.Leaf())})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id.Leaf().Issuer, len(id.Chain()))
	// Output:
	// CN=Example Root CA 2
}

// A certificate like another, for one name more.
func ExampleLike() {
	old, err := issue.New(issue.Options{DNSNames: []string{"web.example"}, Key: issue.Ed25519})
	if err != nil {
		log.Fatal(err)
	}
	o := issue.Like(old.Leaf())
	o.DNSNames = append(o.DNSNames, "www.example")
	next, err := issue.New(o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(next.Leaf().DNSNames, next.Leaf().PublicKeyAlgorithm)
	// Output:
	// [web.example www.example] Ed25519
}
