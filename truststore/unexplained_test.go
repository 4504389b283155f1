package truststore_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// What crypto/x509 refuses has a code of its own and says which certificate is at fault.
func TestNothingIsMerelyRefused(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	extension := func(id asn1.ObjectIdentifier, value []byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: true, Value: value})
		}
	}
	unknown := extension(asn1.ObjectIdentifier{1, 2, 3, 4}, []byte{5, 0})
	// NameConstraints ::= { permittedSubtrees [0] { { otherName [0] { 1.2.3.4, [0] NULL } } } }
	otherName := extension(asn1.ObjectIdentifier{2, 5, 29, 30}, []byte{0x30, 0x0f, 0xa0, 0x0d, 0x30, 0x0b, 0xa0, 0x09, 0x06, 0x03, 0x2a, 0x03, 0x04, 0xa0, 0x02, 0x05, 0x00})
	ca := func(name string, issuer *testpki.Identity, edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: name, CA: true, SelfSigned: issuer == nil, Issuer: issuer, Edit: edit})
	}
	leafUnder := func(issuer *testpki.Identity) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{host}, Issuer: issuer})
	}
	for _, c := range []struct {
		name string
		root *testpki.Identity
		leaf *testpki.Identity
		code trustkeep.Code
		text string
	}{
		{"critical extension in the peer's", pki.Root, pki.Issue(testpki.Request{Names: []string{host}, Edit: unknown}), truststore.CodeCriticalExtension, "1.2.3.4"},
		{"critical extension in an intermediate", pki.Root, leafUnder(ca("Odd", pki.Root, unknown)), truststore.CodeCriticalExtension, "Odd"},
		{"critical extension in a root", nil, leafUnder(ca("Odd root", nil, unknown)), truststore.CodeCriticalExtension, "Odd root"},
		{"otherName constraints in an intermediate", pki.Root, leafUnder(ca("Constrained", pki.Root, otherName)), truststore.CodeNameConstraint, "Constrained"},
		{"otherName constraints in a root", nil, leafUnder(ca("Constrained root", nil, otherName)), truststore.CodeNameConstraint, "Constrained root"},
	} {
		root := c.root
		if root == nil {
			root = &testpki.Identity{Cert: c.leaf.Chain[len(c.leaf.Chain)-1]}
		}
		_, err := truststore.New(root.Cert).Verify(sent(c.leaf), truststore.VerifyOptions{Name: host, Time: pki.Now()})
		refused, ok := errors.AsType[*truststore.VerifyError](err)
		if !ok || refused.Code != c.code || !strings.Contains(refused.Text, c.text) || refused.Remedy == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
