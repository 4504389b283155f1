package testpki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
)

// CostlyPeer is a stranger whose certificates are expensive to refuse, and whom the other
// side trusts.
type CostlyPeer struct {
	Name    string
	ID      *Identity // Chain is what it sends
	Trusted []*Identity
}

// Costly returns peers for a host that send as much as TLS lets them, 256 KiB, of what is
// expensive, and an ordinary one to compare with.
func Costly(tb testing.TB, host string) []CostlyPeer {
	tb.Helper()
	return costly(tb, host, 1)
}

// CostlySmall is Costly with certificates of less than 64 KiB.
func CostlySmall(tb testing.TB, host string) []CostlyPeer {
	tb.Helper()
	return costly(tb, host, 4)
}

// costly divides the sizes.
func costly(tb testing.TB, host string, by int) []CostlyPeer {
	tb.Helper()
	p := New(tb, Options{})
	root := []*Identity{p.Root}
	chain := func(id *Identity, issuers ...*Identity) *Identity {
		out := *id
		out.Chain, out.issuers = []*x509.Certificate{id.Cert}, nil
		for _, i := range issuers {
			out.issuers = append(out.issuers, i.Cert)
		}
		out.Chain = append(out.Chain, out.issuers...)
		return &out
	}
	subject := func(attributes int) func(*x509.Certificate) {
		var name pkix.RDNSequence
		for range attributes {
			name = append(name, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "x"}})
		}
		der, err := asn1.Marshal(name)
		if err != nil {
			tb.Fatal(err)
		}
		return func(c *x509.Certificate) { c.RawSubject = der }
	}

	// The name of a self-signed certificate stands in it twice.
	many := p.Issue(Request{Names: []string{host}, Edit: subject(20_000 / by)})
	own := p.Issue(Request{Names: []string{host}, SelfSigned: true, Edit: subject(10_000 / by)})
	longCA := p.Issue(Request{CA: true, SelfSigned: true, Edit: subject(4_000 / by)})
	byLong := p.Issue(Request{Names: []string{host}, Issuer: longCA})
	control := p.Issue(Request{Names: []string{host}, SelfSigned: true, CommonName: strings.Repeat("\x1b", 100_000/by)})

	var hosts, addresses []string
	for i := range 10_000 / by {
		hosts = append(hosts, fmt.Sprintf("a%d.b.example", i))
		addresses = append(addresses, net.IPv4(10, 1, byte(i>>8), byte(i)).String())
	}

	octets := make([]byte, 200_000/by)
	octets[0] = 1
	var usages, arcs = make([]asn1.ObjectIdentifier, 10_000/by), make(asn1.ObjectIdentifier, 100_000/by)
	for i := range usages {
		usages[i] = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, i}
	}
	arcs[0] = 1
	uris := make([]*url.URL, 5_000/by)
	for i := range uris {
		uris[i] = &url.URL{Scheme: "spiffe", Host: "a.example", Path: fmt.Sprintf("/%d", i)}
	}
	edited := func(edit func(*x509.Certificate)) *Identity {
		return p.Issue(Request{Names: []string{host}, SelfSigned: true, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, Edit: edit})
	}

	p384 := func() *Identity {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		return p.Issue(Request{CommonName: "Namesake", CA: true, SelfSigned: true, KeyOf: &Identity{Key: key}})
	}
	missing := p384()
	var namesakes []*Identity
	for range 120 {
		namesakes = append(namesakes, p384())
	}
	byMissing := p.Issue(Request{Names: []string{host}, Issuer: missing})

	above := p.Issue(Request{CommonName: "0", CA: true, SelfSigned: true})
	full := []*Identity{above}
	for size := len(above.DER); size < 250_000; size += len(above.DER) + 3 {
		above = p.Issue(Request{CommonName: fmt.Sprint(len(full)), CA: true, Issuer: above, KeyOf: above})
		full = append([]*Identity{above}, full...)
	}
	atEnd := p.Issue(Request{Names: []string{host}, Issuer: above})

	return []CostlyPeer{
		{"ordinary", New(tb, Options{Name: "Other"}).Issue(Request{Names: []string{host}}), root},
		{"name of 20,000 attributes, trusted issuer", chain(p.Issue(Request{Names: []string{host}, Edit: subject(18_000 / by), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})), []*Identity{p.Intermediate}},
		{"name of 20,000 attributes", chain(many), root},
		{"name of 10,000 attributes, self-signed", own, root},
		{"issuer of 4,000 attributes", chain(byLong, longCA), root},
		{"issuer of 4,000 attributes in the store", chain(p.Issue(Request{Names: []string{host}, Issuer: longCA, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})), []*Identity{longCA}},
		{"common name of controls", control, root},
		{"10,000 host names", p.Issue(Request{CommonName: "x", Names: hosts, SelfSigned: true}), root},
		{"10,000 host names, trusted issuer", p.Issue(Request{CommonName: "x", Names: hosts, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}), root},
		{"10,000 addresses", p.Issue(Request{CommonName: "x", Names: addresses, SelfSigned: true}), root},
		{"5,000 URIs", edited(func(c *x509.Certificate) { c.URIs = uris }), root},
		{"10,000 usages", edited(func(c *x509.Certificate) { c.UnknownExtKeyUsage = usages }), root},
		{"usage of 100,000 arcs", edited(func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{arcs} }), root},
		{"critical extension of 100,000 arcs", edited(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: arcs, Critical: true})
		}), root},
		{"serial number of 200,000 octets", edited(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).SetBytes(octets) }), root},
		{"key identifier of 200,000 octets", p.Issue(Request{Names: []string{host}, Issuer: &Identity{Cert: &x509.Certificate{RawSubject: p.Root.Cert.RawSubject, SubjectKeyId: octets}, Key: p.Root.Key}}), []*Identity{p.Intermediate}},
		{"120 namesakes sent", chain(byMissing, namesakes...), root},
		{"120 namesakes in the store", chain(byMissing), namesakes},
		{"full chain", chain(atEnd, full...), root},
		{"full chain, its root in the store", chain(atEnd, full[:len(full)-1]...), full[len(full)-1:]},
	}
}
