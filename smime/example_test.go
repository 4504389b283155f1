package smime_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/smime"
	"github.com/trustkeep/trustkeep/truststore"
)

// load stands for `id, err := ks.Identity("mail")` on a keystore.Keystore.
func load(name string) (id trustkeep.Identity, cert *x509.Certificate) {
	pair, err := tls.LoadX509KeyPair("../cms/testdata/"+name+".crt", "../cms/testdata/"+name+".key")
	if err != nil {
		log.Fatal(err)
	}
	return cms.IdentityFunc(func() (*tls.Certificate, error) { return &pair, nil }), pair.Leaf
}

// Signed, then sealed; the receiver writes to a file what is good only if there was no error.
func Example() {
	me, myCert := load("rsa")
	partner, partnerCert := load("ec")

	// The sender.
	entity := io.MultiReader(strings.NewReader("Content-Type: text/plain\r\n\r\n"), strings.NewReader("100 widgets, please\r\n"))
	var signed, message bytes.Buffer
	if err := (smime.SignOptions{}).Sign(&signed, entity, me); err != nil {
		log.Fatal(err)
	}
	if err := (smime.SealOptions{}).Seal(&message, &signed, partnerCert); err != nil {
		log.Fatal(err)
	}

	// The receiver.
	file, err := os.CreateTemp("", "order-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	o := smime.ReadOptions{
		Identities: []trustkeep.Identity{partner},
		Verify:     cms.VerifyOptions{Trust: truststore.New(myCert)},
	}
	m, err := o.Read(file, &message)
	if err != nil {
		log.Fatal(err) // and what is in the file is worth nothing
	}
	for _, l := range m.Layers {
		fmt.Println(l.Kind)
	}
	fmt.Println("by", m.Layers[1].Verified.Signers[0].Certificate.Subject)
	content, err := os.ReadFile(file.Name())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", content[bytes.Index(content, []byte("100")):])
	// Output:
	// sealed
	// signed
	// by CN=rsa@example.com
	// 100 widgets, please
}
