package tlsctx_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

func examplePKI(name string) *pkitest.PKI {
	return pkitest.Options{Name: name, Now: time.Now()}.New(exampleTB{})
}

// The names that most programs need, in the order of use: Builder, Server, For, Client and, if
// a connection is refused, ExplainError.
func Example() {
	pki := examplePKI("Partner")
	trust := truststore.New(pki.CA.Leaf()) // most often of truststore.Load

	// A server that wants client certificates.
	cfg, err := tlsctx.Builder{
		Identity:   pki.NewServer("127.0.0.1"), // most often of keystore.Keystore.Identity
		Trusted:    trust,
		ClientAuth: tlsctx.RequireClientAuth,
	}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.TLS.VerifiedChains[0][0].Subject.CommonName)
	}))
	server.TLS, server.Config.ErrorLog = cfg, quiet()
	server.StartTLS()
	defer server.Close()

	// A client that has one, and a client that trusts somebody else.
	for _, b := range []tlsctx.Builder{
		{Trusted: trust, Identity: pki.NewClient("partner-7")},
		{Trusted: truststore.New(examplePKI("Another").CA.Leaf())},
	} {
		b = b.For(server.Listener.Addr().String())
		cfg, err := b.Client()
		if err != nil {
			log.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
		response, err := client.Get(server.URL)
		if err != nil {
			refused, _ := errors.AsType[*tlsctx.HandshakeError](b.ExplainError(err))
			fmt.Println(refused.Code, "-", refused.Text)
			continue
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		fmt.Println(string(body), err)
	}
	// Output:
	// hello, partner-7 <nil>
	// unknown-issuer - certificate "CN=127.0.0.1,O=Partner" is not trusted: its chain ends at "CN=Partner Root CA,O=Partner", which is not in the store
}

// A connection's own trust replaces what is deployed, and the explanation of a
// refusal says so.
func ExampleBuilder_ExplainError() {
	a, b := examplePKI("A"), examplePKI("B")
	cfg, err := tlsctx.Builder{Identity: a.NewServer("127.0.0.1")}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS, server.Config.ErrorLog = cfg, quiet()
	server.StartTLS()
	defer server.Close()

	connection := tlsctx.Builder{
		Global:  truststore.New(a.CA.Leaf()), // deployed: A
		Trusted: truststore.New(b.CA.Leaf()), // this connection: B and nobody else
	}
	cfg, err = connection.Client()
	if err != nil {
		log.Fatal(err)
	}
	_, err = (&http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}).Get(server.URL)
	if e, ok := connection.ExplainError(err).(*tlsctx.HandshakeError); ok {
		fmt.Println(e.Code)
		fmt.Println(e.Verify.Text)
		fmt.Println(e.Ignored[0].Origin, "would accept it:", e.Ignored[0].WouldAccept)
	}
	// Output:
	// unknown-issuer
	// its chain ends at "CN=A Root CA,O=A", which is not in the store
	// global would accept it: true
}

func ExampleBuilder_Explain() {
	pki := examplePKI("Partner")
	fmt.Print(tlsctx.Builder{
		Global:     truststore.New(pki.CA.Leaf(), pki.Intermediate.Leaf()),
		Trusted:    truststore.New(pki.NewServer("sftp.partner.example").Leaf()),
		ServerName: "sftp.partner.example",
		MaxVersion: 0x0304,
	}.Explain())
	// Output:
	// trust: the connection's own trust (1 certificate): it is set as Trusted and replaces all else
	// ignored: the environment's trust (2 certificates): the connection's own trust replaces it
	// identity: none
	// server name: sftp.partner.example
	// versions: TLS 1.2 to TLS 1.3
}
