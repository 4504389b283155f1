// Package certcases makes chains of certificates that crypto/x509 accepts and that break one
// rule of RFC 5280 or of the Baseline Requirements, and for each rule chains that do not. It
// is for tests, and for the example that shows what truststore.Strict refuses.
package certcases

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// Case is a chain and the question that is asked about it.
type Case struct {
	// Rule is the code of the rule that the case is about; empty for none.
	Rule trustkeep.Code
	Name string
	// Good says that the chain keeps the rule. All chains are good to crypto/x509.
	Good bool
	// Anchor is trusted; Chain is sent, the peer's certificate first.
	Anchor *x509.Certificate
	Chain  []*x509.Certificate
	// Usage of the question, and its name: a host name, an e-mail address or none.
	Usage x509.ExtKeyUsage
	Host  string
}

// Now is the time at which the certificates are valid.
func Now() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

// Host is the name in the certificates of servers.
const Host = "server.example.com"

type edit func(*x509.Certificate)

// recipe says in what a chain differs from a good one.
type recipe struct {
	rule              trustkeep.Code
	name              string
	good              bool
	root, inter, leaf edit // inter: there is an intermediate
	rootKey, leafKey  crypto.Signer
	// flip has the extensions of the root, the intermediate and the leaf whose criticality
	// is the other.
	flipRoot, flipInter, flipLeaf asn1.ObjectIdentifier
	dsa                           bool // the leaf's key is one of DSA
	usage                         x509.ExtKeyUsage
	host                          string
	trustInter                    bool // the intermediate is the anchor
	trustLeaf                     bool // the leaf is
}

// All makes the cases.
func All() ([]Case, error) {
	var keys maker
	recipes := recipes(&keys)
	if keys.err != nil {
		return nil, keys.err
	}
	var out []Case
	for _, r := range recipes {
		c, err := r.bake()
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", r.rule, r.name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// maker makes keys and keeps the first error.
type maker struct{ err error }

func (m *maker) rsa(bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil && m.err == nil {
		m.err = err
	}
	return key
}

func (m *maker) ec(curve elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil && m.err == nil {
		m.err = err
	}
	return key
}

func (m *maker) ed() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil && m.err == nil {
		m.err = err
	}
	return key
}

var (
	oidKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName    = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints  = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints   = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidPolicyConstraints = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidExtKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 37}
)

func none(*x509.Certificate) {}

func with(id asn1.ObjectIdentifier, critical bool, value ...byte) edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: value})
	}
}

func names(dns ...string) edit { return func(c *x509.Certificate) { c.DNSNames = dns } }

func usages(u ...x509.ExtKeyUsage) edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func permit(dns ...string) edit {
	return func(c *x509.Certificate) { c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, dns }
}

func noSubject(c *x509.Certificate) { c.Subject = pkix.Name{} }

func serial(bits uint) edit {
	return func(c *x509.Certificate) {
		c.SerialNumber = new(big.Int)
		if bits > 0 {
			c.SerialNumber.Lsh(big.NewInt(1), bits-1)
		}
	}
}

func recipes(m *maker) []recipe {
	server := func(rule trustkeep.Code, name string, good bool) recipe {
		return recipe{rule: rule, name: name, good: good}
	}
	var out []recipe
	add := func(r recipe, change func(*recipe)) {
		change(&r)
		out = append(out, r)
	}
	bad := func(rule trustkeep.Code, name string, change func(*recipe)) { add(server(rule, name, false), change) }
	good := func(rule trustkeep.Code, name string, change func(*recipe)) { add(server(rule, name, true), change) }

	good("", "a chain by the book", func(r *recipe) { r.inter = none })
	good("", "the very certificate is trusted", func(r *recipe) { r.trustLeaf = true })
	good("", "an intermediate with a usage is trusted", func(r *recipe) {
		r.inter, r.trustInter = usages(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), true
	})

	weak, odd := m.rsa(1024), m.rsa(2052)
	bad("weak-key", "RSA 1024 in the root", func(r *recipe) { r.rootKey = weak })
	bad("weak-key", "RSA 1024 in the leaf", func(r *recipe) { r.leafKey = weak })
	bad("weak-key", "RSA 1024 in the leaf, which is trusted", func(r *recipe) { r.leafKey, r.trustLeaf = weak, true })
	good("weak-key", "RSA 2048", func(r *recipe) { r.rootKey, r.leafKey = m.rsa(2048), m.rsa(2048) })
	bad("odd-key", "RSA 2052 in the root", func(r *recipe) { r.rootKey = odd })
	bad("odd-key", "RSA 2052 in the leaf", func(r *recipe) { r.leafKey = odd })
	good("odd-key", "RSA 2056", func(r *recipe) { r.leafKey = m.rsa(2056) })
	bad("key-type", "DSA in the leaf", func(r *recipe) { r.dsa = true })
	bad("key-type", "P-224 in the root", func(r *recipe) { r.rootKey = m.ec(elliptic.P224()) })
	for _, key := range []crypto.Signer{m.ec(elliptic.P384()), m.ec(elliptic.P521()), m.ed()} {
		name := "Ed25519"
		if k, ok := key.(*ecdsa.PrivateKey); ok {
			name = k.Params().Name
		}
		good("key-type", name, func(r *recipe) { r.rootKey, r.leafKey = key, key })
	}

	bad("peer-is-authority", "an authority as the server", func(r *recipe) {
		r.leaf = func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }
	})
	bad("peer-is-authority", "CA:true in a certificate that must not sign", func(r *recipe) { r.leaf = func(c *x509.Certificate) { c.IsCA = true } })
	bad("peer-is-authority", "an authority as the server, which is trusted", func(r *recipe) {
		r.leaf, r.trustLeaf = func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }, true
	})
	good("peer-is-authority", "no basic constraints at all", func(r *recipe) { r.leaf = func(c *x509.Certificate) { c.BasicConstraintsValid = false } })
	bad("peer-may-sign", "keyCertSign without CA:true", func(r *recipe) {
		r.leaf = func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }
	})
	good("peer-may-sign", "no key usage at all", func(r *recipe) { r.leaf = func(c *x509.Certificate) { c.KeyUsage = 0 } })
	bad("inconsistent-authority", "CA:true and a key usage without keyCertSign", func(r *recipe) { r.root = with(oidKeyUsage, true, 3, 1, 0) })
	good("inconsistent-authority", "CA:true and no key usage", func(r *recipe) { r.root = func(c *x509.Certificate) { c.KeyUsage = 0 } })
	bad("basic-constraints", "the root's are not critical", func(r *recipe) { r.flipRoot = oidBasicConstraints })
	bad("basic-constraints", "the intermediate's are not critical", func(r *recipe) { r.inter, r.flipInter = none, oidBasicConstraints })
	good("basic-constraints", "the leaf's are not critical", func(r *recipe) { r.flipLeaf = oidBasicConstraints })
	bad("authority-unnamed", "a root without a subject", func(r *recipe) { r.root = noSubject })

	bad("no-usage", "the leaf has none", func(r *recipe) { r.leaf = usages() })
	good("no-usage", "the intermediate has none", func(r *recipe) { r.inter = usages() })
	bad("unlimited-usage", "any usage in the leaf", func(r *recipe) { r.leaf = usages(x509.ExtKeyUsageAny) })
	bad("unlimited-usage", "any usage and that of servers", func(r *recipe) { r.leaf = usages(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageAny) })
	good("unlimited-usage", "any usage in an intermediate", func(r *recipe) { r.inter = usages(x509.ExtKeyUsageAny) })
	bad("empty-usage", "an empty list in the leaf", func(r *recipe) {
		r.leaf = func(c *x509.Certificate) { usages()(c); with(oidExtKeyUsage, false, 0x30, 0)(c) }
	})
	bad("critical-usage", "critical in the leaf", func(r *recipe) { r.flipLeaf = oidExtKeyUsage })
	bad("root-usage", "a root with a usage", func(r *recipe) { r.root = usages(x509.ExtKeyUsageServerAuth) })
	good("root-usage", "an intermediate with a usage", func(r *recipe) { r.inter = usages(x509.ExtKeyUsageServerAuth) })

	bad("constraints-not-critical", "in the root", func(r *recipe) { r.root, r.flipRoot = permit("example.com"), oidNameConstraints })
	good("constraints-not-critical", "critical", func(r *recipe) { r.root = permit("example.com") })
	bad("constraint-syntax", "a leading period, permitted", func(r *recipe) { r.root = permit(".example.com") })
	bad("constraint-syntax", "a leading period, excluded", func(r *recipe) {
		r.inter = func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.ExcludedDNSDomains = true, []string{".elsewhere.example"}
		}
	})
	bad("peer-constrains", "critical, in the leaf", func(r *recipe) { r.leaf = permit("example.com") })
	bad("peer-constrains", "not critical, in the leaf", func(r *recipe) { r.leaf, r.flipLeaf = permit("example.com"), oidNameConstraints })
	// inhibitPolicyMapping 0
	bad("policy-not-critical", "in the intermediate", func(r *recipe) { r.inter = with(oidPolicyConstraints, false, 0x30, 3, 0x81, 1, 0) })
	good("policy-not-critical", "critical", func(r *recipe) { r.inter = with(oidPolicyConstraints, true, 0x30, 3, 0x81, 1, 0) })

	mail := func(constraint, address string) func(*recipe) {
		return func(r *recipe) {
			r.usage, r.host = x509.ExtKeyUsageEmailProtection, address
			r.inter = func(c *x509.Certificate) {
				c.PermittedDNSDomainsCritical, c.PermittedEmailAddresses = true, []string{"elsewhere.example", constraint}
			}
			r.leaf = func(c *x509.Certificate) {
				c.DNSNames, c.EmailAddresses, c.ExtKeyUsage = nil, []string{address}, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
			}
		}
	}
	bad("email-constraint", "a host, and an address below it", mail("example.com", "a@sub.example.com"))
	good("email-constraint", "a host, and an address there", mail("Example.com", "a@example.COM"))
	good("email-constraint", "a domain, and an address below it", mail(".example.com", "a@sub.example.com"))
	good("email-constraint", "a mailbox", mail("a@example.com", "a@example.com"))
	uri := func(constraint, text string) func(*recipe) {
		return func(r *recipe) {
			r.usage = x509.ExtKeyUsageClientAuth
			r.inter = func(c *x509.Certificate) {
				c.PermittedDNSDomainsCritical, c.PermittedURIDomains = true, []string{"elsewhere.example", constraint}
			}
			r.leaf = func(c *x509.Certificate) {
				u, err := url.Parse(text)
				if err != nil {
					m.err = err
					return
				}
				c.DNSNames, c.URIs, c.ExtKeyUsage = nil, []*url.URL{u}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			}
		}
	}
	bad("uri-constraint", "a host, and a URI of one below it", uri("host.example.com", "spiffe://x.host.example.com/a"))
	good("uri-constraint", "a host, and its URI", uri("host.example.com", "spiffe://host.example.com/a"))
	good("uri-constraint", "a domain, and a URI below it", uri(".example.com", "https://x.host.example.com:8443/a"))

	bad("zero-serial", "the leaf's is 0", func(r *recipe) { r.leaf = serial(0) })
	good("zero-serial", "the root's is 0", func(r *recipe) { r.root = serial(0) })
	bad("long-serial", "the leaf's has 21 octets", func(r *recipe) { r.leaf = serial(161) })
	bad("long-serial", "the leaf's has 20 octets and one for the sign", func(r *recipe) { r.leaf = serial(160) })
	good("long-serial", "the leaf's has 20 octets", func(r *recipe) { r.leaf = serial(159) })
	bad("alt-names-not-critical", "no subject", func(r *recipe) { r.leaf, r.flipLeaf = noSubject, oidSubjectAltName })
	good("alt-names-not-critical", "no subject, and critical names", func(r *recipe) { r.leaf = noSubject })
	bad("alt-names-critical", "a subject", func(r *recipe) { r.flipLeaf = oidSubjectAltName })
	bad("dns-name", "an underscore", func(r *recipe) { r.leaf = names(Host, "foo_bar.example.com") })
	good("dns-name", "a wildcard, digits and hyphens", func(r *recipe) {
		r.leaf = names(Host, "*.example.com", "3com.example.com", "xn--bcher-kva.example.com", "A-1.example.com")
	})
	bad("anchor-not-self-signed", "an intermediate is trusted", func(r *recipe) { r.inter, r.trustInter = none, true })
	good("anchor-not-self-signed", "the root is", func(r *recipe) { r.inter = none })
	return out
}

// bake makes the chain.
func (r recipe) bake() (Case, error) {
	c := Case{Rule: r.rule, Name: r.name, Good: r.good, Usage: x509.ExtKeyUsageServerAuth, Host: Host}
	if r.usage != 0 {
		c.Usage, c.Host = r.usage, r.host
	}
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(7), NotBefore: Now().AddDate(-1, 0, 0), NotAfter: Now().AddDate(1, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	root, rootKey, err := issue(authority("Root"), nil, r.rootKey, nil, r.root, r.flipRoot)
	if err != nil {
		return c, err
	}
	issuer, issuerKey := root, rootKey
	c.Anchor = root
	if r.inter != nil {
		if issuer, issuerKey, err = issue(authority("Intermediate"), root, nil, rootKey, r.inter, r.flipInter); err != nil {
			return c, err
		}
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Peer"}, SerialNumber: big.NewInt(8), NotBefore: Now().AddDate(0, -1, 0), NotAfter: Now().AddDate(0, 1, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{Host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, _, err := issue(template, issuer, r.leafKey, issuerKey, r.leaf, r.flipLeaf)
	if err != nil {
		return c, err
	}
	if r.dsa {
		if leaf, err = withDSA(leaf, issuerKey); err != nil {
			return c, err
		}
	}
	c.Chain = []*x509.Certificate{leaf}
	if r.inter != nil {
		c.Chain = append(c.Chain, issuer)
	}
	switch {
	case r.trustLeaf:
		c.Anchor = leaf
	case r.trustInter:
		c.Anchor = issuer
	}
	return c, nil
}

// issue makes a certificate; without an issuer it is self-signed, without a key it gets
// one.
func issue(template, issuer *x509.Certificate, key, issuerKey crypto.Signer, change edit, flip asn1.ObjectIdentifier) (*x509.Certificate, crypto.Signer, error) {
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, nil, err
		}
	}
	if change != nil {
		change(template)
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	sign := func() (*x509.Certificate, error) {
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
		if err != nil {
			return nil, err
		}
		return x509.ParseCertificate(der)
	}
	c, err := sign()
	if err == nil && flip != nil {
		i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(flip) })
		if i < 0 {
			return nil, nil, fmt.Errorf("no extension %v", flip)
		}
		e := c.Extensions[i]
		e.Critical = !e.Critical
		template.ExtraExtensions = append(template.ExtraExtensions, e)
		c, err = sign()
	}
	return c, key, err
}

// withDSA returns the certificate with a key of DSA, which crypto/x509 reads and does
// not write, signed anew.
func withDSA(c *x509.Certificate, issuer crypto.Signer) (*x509.Certificate, error) {
	type algorithm struct {
		ID     asn1.ObjectIdentifier
		Params struct{ P, Q, G *big.Int }
	}
	number, err := asn1.Marshal(big.NewInt(5))
	if err != nil {
		return nil, err
	}
	spki := struct {
		Algorithm algorithm
		Key       asn1.BitString
	}{algorithm{ID: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}}, asn1.BitString{Bytes: number, BitLength: 8 * len(number)}}
	spki.Algorithm.Params.P, spki.Algorithm.Params.Q, spki.Algorithm.Params.G = new(big.Int).Lsh(big.NewInt(1), 2047), new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(2)
	key, err := asn1.Marshal(spki)
	if err != nil {
		return nil, err
	}
	var tbs []asn1.RawValue
	if _, err := asn1.Unmarshal(c.RawTBSCertificate, &tbs); err != nil {
		return nil, err
	}
	tbs[6] = asn1.RawValue{FullBytes: key} // after version, serial, algorithm, issuer, validity and subject
	der, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	var outer []asn1.RawValue
	if _, err := asn1.Unmarshal(c.Raw, &outer); err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(issuer, rand.Reader, der, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if outer[2].FullBytes, err = asn1.Marshal(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}); err != nil {
		return nil, err
	}
	outer[0] = asn1.RawValue{FullBytes: der}
	if der, err = asn1.Marshal(outer); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Refused reports whether a key of the chain is not allowed in the FIPS mode that the program runs
// in, so that the chain is refused whatever the policy.
func (c Case) Refused() bool {
	return fips.Enabled() && slices.ContainsFunc(append(slices.Clone(c.Chain), c.Anchor), func(c *x509.Certificate) bool { return !fips.TLSKey(c.PublicKey) })
}

// Std asks crypto/x509 about the case.
func (c Case) Std() error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: Now(), KeyUsages: []x509.ExtKeyUsage{c.Usage}}
	o.Roots.AddCert(c.Anchor)
	for _, i := range c.Chain[1:] {
		o.Intermediates.AddCert(i)
	}
	if !strings.Contains(c.Host, "@") {
		o.DNSName = c.Host
	}
	_, err := c.Chain[0].Verify(o)
	return err
}
