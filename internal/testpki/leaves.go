package testpki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"time"
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
	return p.resigned(p.Server(names...), func(tbs []byte) {
		tbs[serialOffset(tbs)] |= 0x80
	})
}

// serialOffset returns where the first content octet of the serial number is.
func serialOffset(tbs []byte) int {
	header := 2 // tag and short length
	if tbs[1] >= 0x80 {
		header += int(tbs[1] & 0x7f)
	}
	const version, integer = 5, 2 // [0] { INTEGER 2 }; tag and length of the serial
	return header + version + integer
}

// resigned changes the to-be-signed part of an issued certificate in place and
// signs it anew with the key of PKI.Intermediate. The result keeps its length
// and need not be acceptable to crypto/x509.
func (p *PKI) resigned(id *Identity, change func(tbs []byte)) *Identity {
	p.tb.Helper()
	var parsed struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(id.DER, &parsed); err != nil {
		p.tb.Fatalf("testpki: %v", err)
	}
	tbs := bytes.Clone(parsed.TBS.FullBytes)
	change(tbs)
	signature, err := crypto.SignMessage(p.Intermediate.Key, nil, tbs, signatureHash(p.Intermediate.Key))
	if err != nil {
		p.tb.Fatalf("testpki: %v", err)
	}
	parsed.TBS = asn1.RawValue{FullBytes: tbs}
	parsed.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(parsed)
	if err != nil {
		p.tb.Fatalf("testpki: %v", err)
	}
	return &Identity{Key: id.Key, DER: der, Chain: id.issuers, issuers: id.issuers, tb: p.tb}
}
