package pkitest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// loopback are the names of a server on the test's own machine.
var loopback = []string{"localhost", "127.0.0.1", "::1"}

func orLoopback(names []string) []string {
	if len(names) == 0 {
		return loopback
	}
	return names
}

// NewServer issues a server's certificate. No names means localhost, 127.0.0.1
// and ::1, here and below.
func (p *PKI) NewServer(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// NewClient issues a client's certificate whose subject and only name is name.
func (p *PKI) NewClient(name string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: []string{name}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// NewEmail issues a certificate for S/MIME and AS2, with an RSA key of 2048
// bits, which takes a tenth of a second.
func (p *PKI) NewEmail(address string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: []string{address}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, Key: issue.RSA2048})
}

// SelfSigned makes a certificate below no CA.
func (p *PKI) SelfSigned(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), SelfSigned: true})
}

// Expired issues a certificate whose validity ended a day ago.
func (p *PKI) Expired(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), NotBefore: p.Now().Add(-48 * time.Hour), NotAfter: p.Now().Add(-24 * time.Hour)})
}

// ExpiredSelfSigned is Expired and SelfSigned: what partners pin and forget.
func (p *PKI) ExpiredSelfSigned(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), SelfSigned: true, NotBefore: p.Now().Add(-48 * time.Hour), NotAfter: p.Now().Add(-24 * time.Hour)})
}

// NotYetValid issues a certificate whose validity starts tomorrow.
func (p *PKI) NotYetValid(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), NotBefore: p.Now().Add(24 * time.Hour), NotAfter: p.Now().Add(48 * time.Hour)})
}

// ExpiringIn issues a certificate that is valid for that long from now on.
func (p *PKI) ExpiringIn(left time.Duration, names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), NotAfter: p.Now().Add(left)})
}

// CommonNameOnly issues a certificate that names its host in the subject alone,
// which RFC 9525 section 2 and crypto/x509 do not look at.
func (p *PKI) CommonNameOnly(name string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{CommonName: name})
}

// WrongName issues a server's certificate for elsewhere.invalid.
func (p *PKI) WrongName() *keystore.Identity {
	p.tb.Helper()
	return p.NewServer("elsewhere.invalid")
}

// WrongUsage issues a certificate that is good for signing code and nothing
// else.
func (p *PKI) WrongUsage(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
}

// CALeaf issues a server's certificate that is at the same time a CA, as
// home-made ones often are. It can issue others.
func (p *PKI) CALeaf(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), CA: true, NotAfter: p.Now().Add(24 * time.Hour),
		Edit: func(t *x509.Certificate) { t.KeyUsage |= x509.KeyUsageDigitalSignature }})
}

// UntrustedIssuer issues a server's certificate in a PKI of its own whose CAs
// have the same names and other keys.
func (p *PKI) UntrustedIssuer(names ...string) *keystore.Identity {
	p.tb.Helper()
	root := p.Issue(Certificate{CommonName: p.CA.Leaf().Subject.CommonName, CA: true, SelfSigned: true})
	between := p.Issue(Certificate{CommonName: p.Intermediate.Leaf().Subject.CommonName, CA: true, Issuer: root})
	return p.Issue(Certificate{Names: orLoopback(names), Issuer: between})
}

// IssuedByLeaf issues a certificate that is signed by another server's, which is
// no CA.
func (p *PKI) IssuedByLeaf(names ...string) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{Names: orLoopback(names), Issuer: p.NewServer("leaf.example")})
}

// LeafOnly returns the identity without the rest of its chain, as a server shows
// it whose administrator forgot the intermediate.
func (p *PKI) LeafOnly(id *keystore.Identity) *keystore.Identity {
	p.tb.Helper()
	alone, err := keystore.NewIdentity(id.Signer(), id.Leaf())
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	return alone
}

// CrossSign issues a certificate for the subject and key of ca, usually the root
// of another PKI, signed by the CA of this one: a second path to trust.
func (p *PKI) CrossSign(ca *keystore.Identity) *keystore.Identity {
	p.tb.Helper()
	return p.Issue(Certificate{CA: true, Issuer: p.CA, KeyOf: ca, Edit: func(t *x509.Certificate) {
		t.Subject, t.RawSubject, t.SubjectKeyId = ca.Leaf().Subject, ca.Leaf().RawSubject, ca.Leaf().SubjectKeyId
	}})
}

// WeakKey issues a certificate for an RSA key of 1024 bits.
func (p *PKI) WeakKey(names ...string) *keystore.Identity {
	p.tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	template := p.template(Certificate{Names: orLoopback(names)})
	cert, err := certgen.Sign(*template, key.Public(), certgen.Issuer{Certificate: p.Intermediate.Leaf(), Key: p.Intermediate.Signer()}, p.random)
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	id, err := keystore.NewIdentity(key, append([]*x509.Certificate{cert}, p.Intermediate.Chain()...)...)
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	return id
}

// NegativeSerial issues a server's certificate whose serial number is negative. crypto/x509
// does not parse it, and so it is no *keystore.Identity. The signature is good.
//
// Use ConfigOf to show it: httptest parses the first of tls.Config.Certificates and panics.
func (p *PKI) NegativeSerial(names ...string) trustkeep.Identity {
	p.tb.Helper()
	id := p.NewServer(names...)
	der, err := certgen.NegativeSerial(id.Leaf(), p.Intermediate.Signer(), p.random)
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	return unparsed{tls.Certificate{Certificate: [][]byte{der, p.Intermediate.Leaf().Raw}, PrivateKey: id.Signer()}}
}

// unparsed is an identity that crypto/x509 cannot read.
type unparsed struct{ cert tls.Certificate }

// TLSCertificate implements trustkeep.Identity. The error is always nil.
func (u unparsed) TLSCertificate() (*tls.Certificate, error) {
	cert := u.cert
	return &cert, nil
}
