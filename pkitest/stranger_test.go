package pkitest_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pkitest"
)

// A client of another PKI presents its certificate, so that the server's verdict is about
// that and not about a missing one.
func TestStrangerPresentsItsCertificate(t *testing.T) {
	p, other := pkitest.Options{Now: fixed}.New(t), pkitest.Options{Now: fixed, Name: "Other"}.New(t)
	client := other.ClientConfig()
	client.RootCAs = p.Pool()
	err := handshake(p.MutualServerConfig(), client)
	if unknown := new(x509.UnknownAuthorityError); !errors.As(err, unknown) {
		t.Errorf("the server says %v", err)
	}
}

// One seed makes one certificate, also of those that crypto/x509 cannot parse.
func TestSeedOfNegativeSerial(t *testing.T) {
	made := func() []byte {
		return rawOf(t, pkitest.Options{Now: fixed, Seed: "a"}.New(t).NegativeSerial())
	}
	if !bytes.Equal(made(), made()) {
		t.Error("one seed makes different certificates")
	}
}

func rawOf(t *testing.T, id trustkeep.Identity) []byte {
	t.Helper()
	cert, err := id.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return cert.Certificate[0]
}

// httptest parses the first certificate of a configuration, and panics.
func TestServerWithNegativeSerial(t *testing.T) {
	p := pkitest.New(t)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = p.ConfigOf(p.NegativeSerial())
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := &http.Transport{TLSClientConfig: p.ClientConfig()}
	t.Cleanup(transport.CloseIdleConnections)
	_, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err == nil || !strings.Contains(err.Error(), "negative serial number") {
		t.Errorf("the client says %v", err)
	}
}
