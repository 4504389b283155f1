package extract_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/extract"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/truststore"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// present runs a server that makes handshakes.
func present(cfg *tls.Config) (address string, stop func()) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	return l.Addr().String(), func() { l.Close() }
}

// Look at what a server presents, compare it with what the partner says on the telephone,
// and trust that certificate.
func Example() {
	pki := pkitest.New(exampleTB{})
	address, stop := present(pki.ServerConfig())
	defer stop()

	chain, err := extract.Fetch(context.Background(), address, extract.Options{ServerName: "localhost"})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range chain.Certificates { // fmt.Print(chain) shows all there is to compare
		fmt.Println(c.Subject)
	}

	fingerprint := trustkeep.DescribeCertificate(pki.Server.Leaf()).SHA256 // read by the partner
	cert, err := chain.Accept(fingerprint)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("trusted:", truststore.New(cert).Aliases())

	_, err = chain.Accept("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	fmt.Println("another fingerprint is refused:", errors.Is(err, trustkeep.ErrRejected))
	// Output:
	// CN=localhost,O=Test
	// CN=Test Intermediate CA,O=Test
	// CN=Test Root CA,O=Test
	// trusted: [localhost]
	// another fingerprint is refused: true
}

// A server that speaks another protocol before TLS.
func ExampleStartTLS() {
	ours, server := net.Pipe()
	go func() {
		fmt.Fprint(server, "220 ftp.example ready\r\n")
		fmt.Fscanln(server, new(string), new(string)) // AUTH TLS
		fmt.Fprint(server, "502 not here\r\n")
	}()
	err := extract.StartTLS(ours, extract.FTP)
	fmt.Println(errors.Is(err, trustkeep.ErrUnsupported), err)
	// Output: true ftp: unsupported: the server says "502 not here"
}
