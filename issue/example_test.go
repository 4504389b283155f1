package keystore_test

import (
	"crypto/x509/pkix"
	"fmt"
	"log"

	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// A CA and a server whose certificate it signs: request out, reply in.
func ExampleKeystore_InstallReply() {
	ca, server := keystore.New(), keystore.New()
	root, err := ca.Generate("root", keystore.CertificateOptions{
		Subject: pkix.Name{CommonName: "Example Root CA"}, Purposes: keystore.ForCA})
	if err != nil {
		log.Fatal(err)
	}
	id, err := server.Generate("web", keystore.CertificateOptions{
		Subject: pkix.Name{CommonName: "web.example"}, DNSNames: []string{"web.example"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("self-signed:", id.SelfSigned())

	request, err := server.CertificateRequest("web", keystore.CertificateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	reply, err := ca.SignRequest("root", request, keystore.CertificateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	id, err = server.InstallReply("web", reply, keystore.ReplyOptions{Trust: truststore.New(root.Leaf())})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("self-signed:", id.SelfSigned())
	fmt.Println("issuer:", id.Leaf().Issuer)
	// Output:
	// self-signed: true
	// self-signed: false
	// issuer: CN=Example Root CA
}

// A new key and certificate under the old alias, the old one kept.
func ExampleKeystore_Renew() {
	ks := keystore.New()
	old, err := ks.Generate("web", keystore.CertificateOptions{DNSNames: []string{"web.example"}})
	if err != nil {
		log.Fatal(err)
	}
	renewed, err := ks.Renew("web", keystore.RenewOptions{NewKey: true, KeepAs: "web.old"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(renewed.Alias(), renewed.Leaf().DNSNames, renewed.Leaf().Equal(old.Leaf()))
	fmt.Println(ks.Aliases())
	// Output:
	// web [web.example] false
	// [web web.old]
}
