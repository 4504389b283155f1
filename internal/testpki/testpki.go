// Package testpki makes throwaway certificate authorities and certificates for
// the tests of this module: the ordinary ones, and the ugly ones that decide
// whether a trust check is any good. Package pkitest is its public counterpart;
// unlike that, it knows nothing of stores, so that the packages below them can
// use it, and has prepared RSA keys, reproducible and quick.
//
//	pki := testpki.New(t, testpki.Options{})
//	server := pki.Server("localhost")  // leaf, intermediate, root
//	stale := pki.Expired("localhost")
//	cfg := &tls.Config{Certificates: []tls.Certificate{server.TLSCertificate()}, Time: pki.Now}
//
// Nothing here sleeps or returns an error: what goes wrong is a mistake in the
// test and ends it through testing.TB.
package testpki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/certgen"
)

// Options shapes a PKI. The zero value is an ordinary one.
type Options struct {
	// Name tells the subjects of several PKIs apart: "A" makes "A Root CA".
	// Empty means "Test".
	Name string
	// Now is the moment around which every validity period is laid. Zero
	// means the real time of the call. A test that sets it hands PKI.Now to
	// whatever verifies.
	Now time.Time
	// KeyType is the type of every key unless a Request says otherwise. Zero
	// means P256.
	KeyType KeyType
	// Seed makes keys, serial numbers and signatures the same in every run,
	// except RSA keys beyond the prepared ones (see RSA2048). PKIs of one
	// seed have the same keys and so trust each other: set it for fixtures
	// and benchmarks, not to tell two PKIs apart. Empty means random.
	Seed string
}

// PKI is a root, an intermediate below it, and the means to issue more. It is
// safe for concurrent use, as far as its testing.TB is: a failure must happen
// on the test's own goroutine.
type PKI struct {
	Root         *Identity // self-signed CA
	Intermediate *Identity // CA issued by Root; issues the leaves

	tb      testing.TB
	options Options
	drawn   atomic.Uint64
	rsaUsed atomic.Uint64
}

// New makes a PKI with its root and intermediate.
func New(tb testing.TB, o Options) *PKI {
	tb.Helper()
	if o.Name == "" {
		o.Name = "Test"
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	o.Now = o.Now.UTC().Truncate(time.Second) // what a certificate can hold
	if o.Seed == "" {
		o.Seed = rand.Text()
	}
	p := &PKI{tb: tb, options: o}
	p.Root = p.Issue(Request{CommonName: o.Name + " Root CA", CA: true, SelfSigned: true})
	p.Intermediate = p.Issue(Request{CommonName: o.Name + " Intermediate CA", CA: true, Issuer: p.Root})
	return p
}

// Now returns the moment around which the PKI was made, always the same. The
// method value fits tls.Config.Time.
func (p *PKI) Now() time.Time { return p.options.Now }

// Roots returns a new pool that holds the root alone.
func (p *PKI) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Root.Cert)
	return pool
}

// Request describes one certificate. The zero value of each field is the
// ordinary choice.
type Request struct {
	// CommonName of the subject. Empty means the first of Names.
	CommonName string
	// Names become subject alternative names: IP addresses, e-mail addresses
	// (by their @) and otherwise DNS names. Empty means no such extension.
	Names []string
	// Issuer is the CA that signs. Nil means PKI.Intermediate.
	Issuer *Identity
	// SelfSigned makes the certificate its own issuer, whatever Issuer says.
	SelfSigned bool
	// CA sets the basic constraint CA:true and the key usages of a CA.
	CA bool
	// Usages are the extended key usages. Nil means server and client
	// authentication, or none at all for a CA.
	Usages []x509.ExtKeyUsage
	// NotBefore and NotAfter bound the validity. Zero means an hour before
	// and a day after PKI.Now, or five years each way for a CA.
	NotBefore, NotAfter time.Time
	// KeyType of the new key. Zero means Options.KeyType.
	KeyType KeyType
	// KeyOf reuses the key of another identity, as a renewal or a
	// cross-certificate does. Nil means a new key.
	KeyOf *Identity
	// Edit has the last word on the template before it is signed.
	Edit func(*x509.Certificate)
}

// Issue makes the certificate that r describes.
func (p *PKI) Issue(r Request) *Identity {
	p.tb.Helper()
	id := &Identity{tb: p.tb}
	if r.KeyOf != nil {
		id.Key = r.KeyOf.Key
	} else {
		id.Key = p.newKey(r.KeyType)
	}
	template := p.template(r)
	issuer := certgen.Issuer{Key: id.Key}
	if !r.SelfSigned {
		by := r.Issuer
		if by == nil {
			by = p.Intermediate
		}
		issuer = certgen.Issuer{Certificate: by.Cert, Key: by.Key}
		id.issuers = by.Chain
	}
	var err error
	if id.Cert, err = certgen.Sign(*template, id.Key.Public(), issuer, drawing{p}); err != nil {
		p.tb.Fatalf("testpki: issue %q: %v", r.CommonName, err)
	}
	id.DER = id.Cert.Raw
	id.Chain = append([]*x509.Certificate{id.Cert}, id.issuers...)
	return id
}

func (p *PKI) template(r Request) *x509.Certificate {
	if r.CommonName == "" && len(r.Names) > 0 {
		r.CommonName = r.Names[0]
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: r.CommonName, Organization: []string{"TrustKeep tests"}},
		NotBefore:             p.Now().Add(-time.Hour),
		NotAfter:              p.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           r.Usages,
		BasicConstraintsValid: true,
		SubjectKeyId:          []byte{}, // none, as in many a certificate out there
	}
	for _, name := range r.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if strings.Contains(name, "@") {
			t.EmailAddresses = append(t.EmailAddresses, name)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	switch {
	case r.CA:
		t.IsCA = true
		t.SubjectKeyId = nil
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
		t.NotBefore, t.NotAfter = p.Now().AddDate(-5, 0, 0), p.Now().AddDate(5, 0, 0)
	case r.Usages == nil:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if !r.NotBefore.IsZero() {
		t.NotBefore = r.NotBefore
	}
	if !r.NotAfter.IsZero() {
		t.NotAfter = r.NotAfter
	}
	if r.Edit != nil {
		r.Edit(t)
	}
	return t
}

// drawing yields octets that follow from the seed and the number of draws
// before, or, without Options.Seed, that nobody can foretell.
type drawing struct{ p *PKI }

func (d drawing) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		in := binary.BigEndian.AppendUint64([]byte(d.p.options.Seed), d.p.drawn.Add(1))
		sum := sha256.Sum256(in)
		n += copy(b[n:], sum[:])
	}
	return len(b), nil
}
