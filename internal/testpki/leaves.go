package testpki

import (
	"crypto/x509"
	"time"

	"github.com/trustkeep/trustkeep/internal/certgen"
)

// loopback are the names of a server that listens on the test's own machine.
var loopback = []string{"localhost", "127.0.0.1", "::1"}

func orLoopback(names []string) []string {
	if len(names) == 0 {
		return loopback
	}
	return names
}

// Server issues a server certificate. No names means localhost, 127.0.0.1 and
// ::1, here and in the methods below.
func (p *PKI) Server(names ...string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{Names: orLoopback(names), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// Client issues a client certificate whose subject and only name is name.
func (p *PKI) Client(name string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{Names: []string{name}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// SelfSigned makes a certificate below no CA, for servers and clients.
func (p *PKI) SelfSigned(names ...string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{Names: orLoopback(names), SelfSigned: true})
}

// Expired issues a server certificate whose validity ended a day ago.
func (p *PKI) Expired(names ...string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{
		Names:     orLoopback(names),
		NotBefore: p.Now().Add(-48 * time.Hour),
		NotAfter:  p.Now().Add(-24 * time.Hour),
	})
}

// NotYetValid issues a server certificate whose validity starts tomorrow.
func (p *PKI) NotYetValid(names ...string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{
		Names:     orLoopback(names),
		NotBefore: p.Now().Add(24 * time.Hour),
		NotAfter:  p.Now().Add(48 * time.Hour),
	})
}

// CommonNameOnly issues a server certificate that names its host in the
// subject alone, which RFC 9525 section 2 and crypto/x509 do not look at.
func (p *PKI) CommonNameOnly(name string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{CommonName: name})
}

// WrongName issues a server certificate for elsewhere.invalid.
func (p *PKI) WrongName() *Identity {
	p.tb.Helper()
	return p.Server("elsewhere.invalid")
}

// WrongUsage issues a certificate that is good for signing code and nothing
// else.
func (p *PKI) WrongUsage(names ...string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{Names: orLoopback(names), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
}

// CALeaf issues a server certificate that is at the same time a CA (CA:true),
// as home-made ones often are. It can be the Issuer of a Request.
func (p *PKI) CALeaf(names ...string) *Identity {
	p.tb.Helper()
	return p.Issue(Request{Names: orLoopback(names), CA: true, NotAfter: p.Now().Add(24 * time.Hour)})
}

// CrossSign issues a certificate for the subject and key of ca, usually the
// root of another PKI, signed by the root of this one: a second path by which
// whatever ca issued can be trusted.
func (p *PKI) CrossSign(ca *Identity) *Identity {
	p.tb.Helper()
	return p.Issue(Request{
		CA: true, Issuer: p.Root, KeyOf: ca,
		Edit: func(t *x509.Certificate) {
			t.Subject, t.RawSubject, t.SubjectKeyId = ca.Cert.Subject, ca.Cert.RawSubject, ca.Cert.SubjectKeyId
		},
	})
}

// NegativeSerial issues a server certificate whose serial number is negative,
// as encoders that forget the leading zero octet make them. RFC 5280 section
// 4.1.2.2 forbids it and crypto/x509 neither makes nor parses it, so Cert is
// nil and Chain lacks the leaf; DER and DERChain have it. The signature is
// good.
func (p *PKI) NegativeSerial(names ...string) *Identity {
	p.tb.Helper()
	id := p.Server(names...)
	der, err := certgen.NegativeSerial(id.Cert, p.Intermediate.Key, drawing{p})
	if err != nil {
		p.tb.Fatalf("testpki: %v", err)
	}
	return &Identity{Key: id.Key, DER: der, Chain: id.issuers, issuers: id.issuers, tb: p.tb}
}
