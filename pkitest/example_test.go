package pkitest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/truststore"
)

// t stands in for the *testing.T of a test.
var t pkitest.TB = example{}

type example struct{}

func (example) Helper()                           {}
func (example) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
func (example) TempDir() string {
	dir, err := os.MkdirTemp("", "pkitest")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

// An HTTPS server that asks for client certificates, and its client.
func Example() {
	pki := pkitest.New(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = pki.MutualServerConfig()
	server.StartTLS()
	defer server.Close()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: pki.ClientConfig()}}
	defer client.CloseIdleConnections()
	response, err := client.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", body)
	// Output: hello, client
}

// What a careful program refuses, by name.
func ExamplePKI_Expired() {
	pki := pkitest.New(t)
	for _, id := range []*keystore.Identity{pki.Server, pki.Expired(), pki.CommonNameOnly("localhost"), pki.LeafOnly(pki.Server), pki.UntrustedIssuer()} {
		_, err := pki.Trust().Verify(id.Chain(), truststore.VerifyOptions{Name: "localhost", Time: pki.Now()})
		fmt.Println(err == nil)
	}
	// Output:
	// true
	// false
	// false
	// false
	// false
}

// Stores on disk in the formats that other programs use.
func ExamplePKI_KeystoreFile() {
	pki := pkitest.New(t)
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS} {
		path := pki.KeystoreFile(format)
		defer os.RemoveAll(filepath.Dir(path)) // a *testing.T does that by itself
		ks, err := keystore.Load(path, trustkeep.Password(pkitest.Password))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ks, ks.Aliases())
	}
	// Output:
	// pkcs12 keystore, 2 entries [server client]
	// jks keystore, 2 entries [server client]
}
