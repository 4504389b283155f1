package cms_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/truststore"
)

// load stands for `id, err := ks.Identity("as2")` on a keystore.Keystore.
func load(name string) (id trustkeep.Identity, cert *x509.Certificate) {
	pair, err := tls.LoadX509KeyPair("testdata/"+name+".crt", "testdata/"+name+".key")
	if err != nil {
		log.Fatal(err)
	}
	return cms.IdentityFunc(func() (*tls.Certificate, error) { return &pair, nil }), pair.Leaf
}

// Sign, then seal: the receiver knows that only they could read it, and from
// whom it is. Content of any size passes through.
func Example() {
	me, myCert := load("rsa")
	partner, partnerCert := load("ec")

	// The sender.
	var message bytes.Buffer
	sealed, err := cms.SealOptions{}.Writer(&message, partnerCert)
	if err != nil {
		log.Fatal(err)
	}
	signed, err := cms.SignOptions{}.Writer(sealed, me)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(signed, strings.NewReader("100 widgets, please")); err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(signed.Close(), sealed.Close()); err != nil {
		log.Fatal(err)
	}

	// The receiver.
	opened, err := cms.OpenOptions{}.Reader(&message, partner)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := cms.VerifyOptions{Trust: truststore.New(myCert)}.Reader(opened)
	if err != nil {
		log.Fatal(err)
	}
	content, err := io.ReadAll(verifier) // good only because there was no error
	if err != nil {
		log.Fatal(err)
	}
	verified, err := verifier.Result()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", verified.Signers[0].Certificate.Subject, content)
	// Output: CN=rsa@example.com: 100 widgets, please
}

func ExampleSeal() {
	id, cert := load("rsa")
	sealed, err := cms.Seal([]byte("for your eyes only"), cert)
	if err != nil {
		log.Fatal(err)
	}
	content, err := cms.Open(sealed, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", content)
	// Output: for your eyes only
}

// A partner who knows OAEP gets it; the options are a value of the partner's.
func ExampleSealOptions() {
	_, cert := load("rsa")
	forPartner := cms.SealOptions{Cipher: cms.AES128CBC, KeyTransport: cms.OAEPSHA1}
	sealed, err := forPartner.Seal([]byte("content"), cert)
	fmt.Println(len(sealed) > 0, err)
	// Output: true <nil>
}

func ExampleOpen_notARecipient() {
	_, cert := load("rsa")
	other, _ := load("ec")
	sealed, err := cms.Seal([]byte("content"), cert)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cms.Open(sealed, other)
	var none *cms.NoRecipientError
	if errors.As(err, &none) {
		fmt.Println("sealed for", none.Recipients[0].Issuer)
		fmt.Println("offered", none.Offered[0].Issuer)
	}
	// Output:
	// sealed for CN=rsa@example.com
	// offered CN=ec@example.com
}

func ExampleVerify() {
	id, cert := load("rsa")
	signed, err := cms.Sign([]byte("I owe you 10 euros"), id)
	if err != nil {
		log.Fatal(err)
	}
	verified, err := cms.Verify(signed, truststore.New(cert))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n%s\n", verified.Content, verified.Signers[0].Verdict)

	_, err = cms.Verify(bytes.Replace(signed, []byte("10"), []byte("99"), 1), truststore.New(cert))
	fmt.Println("changed:", errors.Is(err, trustkeep.ErrCorrupt))
	// Output:
	// I owe you 10 euros
	// trusted: the store holds the peer's own certificate "CN=rsa@example.com"
	// changed: true
}

// AS2 and S/MIME carry the signature beside the content.
func ExampleSignDetached() {
	id, cert := load("ec")
	part := "Content-Type: text/plain\r\n\r\n100 widgets, please\r\n"
	signature, err := cms.SignDetached(strings.NewReader(part), id)
	if err != nil {
		log.Fatal(err)
	}
	verified, err := cms.VerifyDetached(signature, strings.NewReader(part), truststore.New(cert))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Signers[0].Certificate.Subject)
	// Output: CN=ec@example.com
}

// A password that a configuration file holds, readable with the private key of
// the keystore only.
func ExampleProtect() {
	id, _ := load("rsa")
	protected, err := cms.Protect([]byte("jdbc password"), id)
	if err != nil {
		log.Fatal(err)
	}
	secret, err := cms.Unprotect(protected, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", secret)
	// Output: jdbc password
}
