package tlsctx_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleTB lets examples, which have no testing.TB, use testpki.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

func examplePKI(name string) *testpki.PKI {
	return testpki.New(exampleTB{}, testpki.Options{Name: name, Now: time.Now()})
}

// A server that wants client certificates, and a client that has one.
func Example() {
	pki := examplePKI("Partner")
	trust := truststore.New(pki.Root.Cert)

	cfg, err := tlsctx.Builder{
		Identity:   identity(pki.Server("127.0.0.1")), // most often of keystore.Identity
		Trusted:    trust,
		ClientAuth: tlsctx.RequireClientAuth,
	}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.TLS.VerifiedChains[0][0].Subject.CommonName)
	}))
	server.TLS = cfg
	server.StartTLS()
	defer server.Close()

	cfg, err = tlsctx.Builder{Trusted: trust, Identity: identity(pki.Client("partner-7"))}.Client()
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}
	response, err := client.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(string(body), err)
	// Output: hello, partner-7 <nil>
}

// A connection's own trust replaces what is deployed, and the explanation of a
// refusal says so.
func ExampleBuilder_ExplainError() {
	a, b := examplePKI("A"), examplePKI("B")
	cfg, err := tlsctx.Builder{Identity: identity(a.Server("127.0.0.1"))}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS, server.Config.ErrorLog = cfg, quiet()
	server.StartTLS()
	defer server.Close()

	connection := tlsctx.Builder{
		Global:  truststore.New(a.Root.Cert), // deployed: A
		Trusted: truststore.New(b.Root.Cert), // this connection: B and nobody else
	}
	cfg, err = connection.Client()
	if err != nil {
		log.Fatal(err)
	}
	_, err = (&http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}).Get(server.URL)
	if e, ok := connection.ExplainError(err).(*tlsctx.HandshakeError); ok {
		fmt.Println(e.Code)
		fmt.Println(e.Verify.MissingIssuer.Subject)
		fmt.Println(e.Ignored[0].Origin, "would accept it:", e.Ignored[0].WouldAccept)
	}
	// Output:
	// unknown-issuer
	// CN=A Root CA,O=TrustKeep tests
	// global would accept it: true
}

func ExampleBuilder_Explain() {
	pki := examplePKI("Partner")
	fmt.Print(tlsctx.Builder{
		Global:     truststore.New(pki.Root.Cert, pki.Intermediate.Cert),
		Trusted:    truststore.New(pki.Server("sftp.partner.example").Cert),
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
