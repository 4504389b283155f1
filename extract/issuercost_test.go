package extract

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// A server decides where its issuers are published and what is there: a store whose password takes
// a second to derive is no certificate, and is not tried.
func TestIssuersCostNoKeyDerivation(t *testing.T) {
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	type digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	sha256 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, Parameters: asn1.NullRawValue}
	store, err := asn1.Marshal(struct {
		Version int
		Safe    contentInfo
		Mac     struct {
			Digest     digestInfo
			Salt       []byte
			Iterations int
		}
	}{3, contentInfo{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, []byte{0x30, 0}}, struct {
		Digest     digestInfo
		Salt       []byte
		Iterations int
	}{digestInfo{sha256, make([]byte, 32)}, make([]byte, 16), trustkeep.Limits{}.WithDefaults().MaxIterations / 4}})
	if err != nil {
		t.Fatal(err)
	}
	pki := testpki.New(t, testpki.Options{})
	var hostile []string
	for i := range maxURLs {
		hostile = append(hostile, "http://ca/"+strconv.Itoa(i))
	}
	leaf := pki.Issue(testpki.Request{Names: []string{"localhost"}, Edit: func(c *x509.Certificate) { c.IssuingCertificateURL = hostile }})
	address := testnet.Serve(t, func(conn net.Conn) {
		secure(conn, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.DER}, PrivateKey: leaf.Key}}})
	})
	asked := 0
	before := testcpu.Used()
	chain, err := Fetch(t.Context(), address, Options{FetchIssuer: func(context.Context, string) ([]byte, error) {
		asked++
		return store, nil
	}})
	if err != nil || chain.Incomplete == nil || asked != maxURLs {
		t.Fatalf("%v, %v, asked %d times", chain, err, asked)
	}
	took := testcpu.Since(before)
	t.Logf("%s: %v", took, chain.Incomplete)
	if took > 500*time.Millisecond {
		t.Errorf("took %s", took)
	}
}
