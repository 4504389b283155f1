package cms_test

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// person has a certificate for S/MIME.
type person struct {
	*testpki.Identity
}

func (p person) TLSCertificate() (*tls.Certificate, error) {
	c := p.Identity.TLSCertificate()
	return &c, nil
}

// people is a PKI with a person for each kind of key.
type people struct {
	*testpki.PKI
	rsa, rsa2, p256, p384, ed person
	trust                     *truststore.Truststore
}

func newPeople(t testing.TB) *people {
	pki := testpki.New(t, testpki.Options{})
	p := &people{PKI: pki, trust: truststore.New(pki.Root.Cert)}
	p.rsa = p.person("rsa@example.com", testpki.RSA2048)
	p.rsa2 = p.person("rsa2@example.com", testpki.RSA2048)
	p.p256 = p.person("p256@example.com", testpki.P256)
	p.p384 = p.person("p384@example.com", testpki.P384)
	p.ed = p.person("ed@example.com", testpki.Ed25519)
	return p
}

func (p *people) person(address string, kind testpki.KeyType) person {
	return person{p.Issue(p.request(address, kind))}
}

func (p *people) request(address string, kind testpki.KeyType) testpki.Request {
	return testpki.Request{
		Names:   []string{address},
		KeyType: kind,
		Usages:  []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		Edit: func(c *x509.Certificate) {
			id := sha1.Sum([]byte(address))
			c.SubjectKeyId = id[:]
			c.KeyUsage |= x509.KeyUsageKeyAgreement
		},
	}
}

// pick returns the people by the names of their fields.
func (p *people) pick(names ...string) (out []person) {
	for _, name := range names {
		out = append(out, map[string]person{"rsa": p.rsa, "rsa2": p.rsa2, "p256": p.p256, "p384": p.p384, "ed": p.ed}[name])
	}
	return out
}

func certsOf(people []person) (out []*x509.Certificate) {
	for _, p := range people {
		out = append(out, p.Cert)
	}
	return out
}

func idsOf(people []person) (out []trustkeep.Identity) {
	for _, p := range people {
		out = append(out, p)
	}
	return out
}

// sizes are where padding and pieces begin and end.
var sizes = []int{0, 1, 7, 8, 15, 16, 17, 255, 4096, 65_535, 65_536, 65_537, 262_144, 300_001}

// random is content of n bytes, the same in each run.
func random(n int) []byte {
	out := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(out)
	return out
}

// drip reads and writes in odd sizes.
type drip struct {
	r io.Reader
	n int
}

func (d *drip) Read(p []byte) (int, error) {
	d.n = d.n%1013 + 7
	return d.r.Read(p[:min(len(p), d.n)])
}

// stream writes content through a writer, in odd sizes.
func stream(t testing.TB, content []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := open(&out)
	if err != nil {
		t.Fatal(err)
	}
	for rest, n := content, 1; len(rest) > 0; n = n*3 + 1 {
		n = min(n, len(rest))
		if got, err := w.Write(rest[:n]); got != n || err != nil {
			t.Fatalf("wrote %d of %d: %v", got, n, err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Close succeeded")
	}
	return out.Bytes()
}

// writeFile puts data into a temporary file.
func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// sha2 are the hashes that both sides of every test know.
var sha2 = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
