package pkitest

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// TB is what of a testing.TB is used here; *testing.T, *testing.B and
// *testing.F are one. That keeps package testing out of programs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any) // does not return
	TempDir() string
}

// Options shapes a PKI. The zero value is what New uses.
type Options struct {
	// Name begins the subjects, so that several PKIs can be told apart: "A"
	// makes "A Root CA". Empty is "Test".
	Name string
	// Now is the moment around which validity is laid. Zero is the time of
	// the call. A test that sets it gives PKI.Now to whatever verifies; the
	// tls.Configs made here do.
	Now time.Time
	// Seed makes all certificates and keys the same in each run, RSA keys
	// excepted. PKIs of one seed have the same keys and so trust each other.
	// Empty is random.
	Seed string
	// Key is the type of all keys; zero is issue.ECP256. RSA keys cost a
	// tenth of a second each.
	Key issue.KeyType
}

// PKI is a small world of certificates. It is safe for concurrent use as far as
// its TB is: a failure belongs to the test's own goroutine.
type PKI struct {
	// CA is the self-signed root.
	CA *keystore.Identity
	// Intermediate is issued by CA and issues the rest.
	Intermediate *keystore.Identity
	// Server is for localhost, 127.0.0.1 and ::1, its chain up to CA.
	Server *keystore.Identity
	// Client is for TLS clients, with the name "client".
	Client *keystore.Identity

	tb     TB
	o      Options
	random io.Reader // nil is crypto/rand
	mu     sync.Mutex
}

// New makes a PKI for the test.
func New(tb TB) *PKI {
	tb.Helper()
	return Options{}.New(tb)
}

// New is the function New with these options.
func (o Options) New(tb TB) *PKI {
	tb.Helper()
	if o.Name == "" {
		o.Name = "Test"
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Key == 0 {
		o.Key = issue.ECP256
	}
	o.Now = o.Now.UTC().Truncate(time.Second) // what a certificate can hold
	p := &PKI{tb: tb, o: o}
	if o.Seed != "" {
		p.random = &locked{r: rand.NewChaCha8(sha256.Sum256([]byte(o.Seed)))}
	}
	p.CA = p.Issue(Certificate{CommonName: o.Name + " Root CA", CA: true, SelfSigned: true})
	p.Intermediate = p.Issue(Certificate{CommonName: o.Name + " Intermediate CA", CA: true, Issuer: p.CA})
	p.Server = p.NewServer()
	p.Client = p.NewClient("client")
	return p
}

type locked struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *locked) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}

// Now is the moment around which the PKI was made, always the same. The method
// value fits tls.Config.Time and the Clock of this module's options.
func (p *PKI) Now() time.Time { return p.o.Now }

// Trust returns a truststore that holds the CA alone.
func (p *PKI) Trust() *truststore.Truststore { return truststore.New(p.CA.Leaf()) }

// Pool returns a pool that holds the CA alone.
func (p *PKI) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.CA.Leaf())
	return pool
}

// ServerConfig returns the configuration of a server that shows Server and
// accepts whatever client comes.
func (p *PKI) ServerConfig() *tls.Config { return p.ConfigOf(p.Server) }

// MutualServerConfig returns the configuration of a server that shows Server
// and demands a client certificate of this PKI.
func (p *PKI) MutualServerConfig() *tls.Config {
	c := p.ConfigOf(p.Server)
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, p.Pool()
	return c
}

// ClientConfig returns the configuration of a client that trusts the CA alone, shows Client
// when it is asked for a certificate, and expects the server to be "localhost" unless the
// dialler gives another name.
func (p *PKI) ClientConfig() *tls.Config {
	c := p.ConfigOf(p.Client)
	c.RootCAs, c.ServerName = p.Pool(), "localhost"
	return c
}

// ConfigOf returns a configuration that shows the identity, for the ugly cases. A client
// shows it to every server that asks, also to one that trusts other CAs: so the server's
// verdict is about the certificate.
func (p *PKI) ConfigOf(id trustkeep.Identity) *tls.Config {
	p.tb.Helper()
	cert, err := id.TLSCertificate()
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12, Time: p.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil },
	}
	if cert.Leaf == nil {
		// Out of reach of whoever would parse it.
		c.Certificates, c.GetConfigForClient = nil, func(*tls.ClientHelloInfo) (*tls.Config, error) {
			shown := c.Clone()
			shown.Certificates, shown.GetConfigForClient = []tls.Certificate{*cert}, nil
			return shown, nil
		}
	}
	return c
}

// Certificate describes a certificate to be issued. The zero value of each
// field is the ordinary choice. Nothing is checked, so that it can be as wrong as
// a test needs it; for certificates that are right, there is issue.New.
type Certificate struct {
	// CommonName of the subject; empty is the first of Names.
	CommonName string
	// Names become subject alternative names: IP addresses, e-mail addresses
	// (by their @) and otherwise DNS names.
	Names []string
	// Issuer signs; nil is PKI.Intermediate. SelfSigned overrides it.
	Issuer     *keystore.Identity
	SelfSigned bool
	// CA sets the basic constraint and key usages of a CA.
	CA bool
	// Usages are the extended key usages; nil is server and client
	// authentication, or none for a CA.
	Usages []x509.ExtKeyUsage
	// NotBefore and NotAfter; zero is an hour before and a day after PKI.Now,
	// or five years each way for a CA.
	NotBefore, NotAfter time.Time
	// Key is the type of the new key; zero is Options.Key.
	Key issue.KeyType
	// KeyOf reuses the key of another identity.
	KeyOf *keystore.Identity
	// Edit has the last word on the template.
	Edit func(*x509.Certificate)
}

// Issue makes the identity that c describes, its chain up to the root.
func (p *PKI) Issue(c Certificate) *keystore.Identity {
	p.tb.Helper()
	p.mu.Lock() // one order of draws, so that a seed means something
	defer p.mu.Unlock()
	key := p.keyFor(c)
	template := p.template(c)
	issuer := certgen.Issuer{Key: key}
	var chain []*x509.Certificate
	if !c.SelfSigned {
		by := c.Issuer
		if by == nil {
			by = p.Intermediate
		}
		issuer = certgen.Issuer{Certificate: by.Leaf(), Key: by.Signer()}
		chain = by.Chain()
	}
	cert, err := certgen.Sign(*template, key.Public(), issuer, p.random)
	if err != nil {
		p.tb.Fatalf("pkitest: issue %q: %v", template.Subject.CommonName, err)
	}
	id, err := keystore.NewIdentity(key, append([]*x509.Certificate{cert}, chain...)...)
	if err != nil {
		p.tb.Fatalf("pkitest: issue %q: %v", template.Subject.CommonName, err)
	}
	return id
}

func (p *PKI) keyFor(c Certificate) crypto.Signer {
	p.tb.Helper()
	if c.KeyOf != nil {
		return c.KeyOf.Signer()
	}
	if c.Key == 0 {
		c.Key = p.o.Key
	}
	key, err := certgen.NewKey(certgen.KeyType(c.Key), p.random)
	if err != nil {
		p.tb.Fatalf("pkitest: key of type %s: %v", c.Key, err)
	}
	return key
}

func (p *PKI) template(c Certificate) *x509.Certificate {
	if c.CommonName == "" && len(c.Names) > 0 {
		c.CommonName = c.Names[0]
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: c.CommonName, Organization: []string{p.o.Name}},
		NotBefore:             p.Now().Add(-time.Hour),
		NotAfter:              p.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           c.Usages,
		BasicConstraintsValid: true,
	}
	for _, name := range c.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if strings.Contains(name, "@") {
			t.EmailAddresses = append(t.EmailAddresses, name)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	switch {
	case c.CA:
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		t.NotBefore, t.NotAfter = p.Now().AddDate(-5, 0, 0), p.Now().AddDate(5, 0, 0)
	case c.Usages == nil:
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if !c.NotBefore.IsZero() {
		t.NotBefore = c.NotBefore
	}
	if !c.NotAfter.IsZero() {
		t.NotAfter = c.NotAfter
	}
	if c.Edit != nil {
		c.Edit(t)
	}
	return t
}
