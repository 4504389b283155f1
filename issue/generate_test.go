package keystore_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(now time.Time) keystore.Options {
	return keystore.Options{Clock: func() time.Time { return now }}
}

func cn(name string) pkix.Name { return pkix.Name{CommonName: name} }

func mustGenerate(t testing.TB, ks *keystore.Keystore, alias string, o keystore.CertificateOptions) *keystore.Identity {
	t.Helper()
	id, err := ks.Generate(alias, o)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// newCA puts a root and an intermediate, under these aliases, in a store.
func newCA(t testing.TB, o keystore.Options) (ks *keystore.Keystore, root, intermediate *keystore.Identity) {
	t.Helper()
	ks = o.New()
	root = mustGenerate(t, ks, "root", keystore.CertificateOptions{Subject: cn("Root CA"), Purposes: keystore.ForCA})
	intermediate = mustGenerate(t, ks, "intermediate", keystore.CertificateOptions{
		Subject: cn("Intermediate CA"), Purposes: keystore.ForCA, Issuer: root})
	return ks, root, intermediate
}

func TestGeneratedDefaults(t *testing.T) {
	ks, root, intermediate := newCA(t, at(noon))
	server := mustGenerate(t, ks, "server", keystore.CertificateOptions{
		Subject: cn("a.example"), DNSNames: []string{"a.example", "*.a.example"}, IPAddresses: []net.IP{net.IPv6loopback}, Issuer: intermediate})
	mail := mustGenerate(t, ks, "mail", keystore.CertificateOptions{EmailAddresses: []string{"as2@a.example"}, Purposes: keystore.ForEmail, Key: keystore.RSA2048})
	const caUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	const sign, encipher = x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment
	server1, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	const day = 24 * time.Hour
	tests := []struct {
		id         *keystore.Identity
		usage      x509.KeyUsage
		extended   []x509.ExtKeyUsage
		pathLength int
		validity   time.Duration
		selfSigned bool
		chain      int
	}{
		{root, caUsage, nil, -1, 3650 * day, true, 1},
		{intermediate, caUsage, nil, 0, 1825 * day, false, 2},
		{server, sign, []x509.ExtKeyUsage{server1, client}, -1, 397 * day, false, 3},
		{mail, sign | encipher, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, -1, 397 * day, true, 1},
	}
	for _, test := range tests {
		c := test.id.Leaf()
		if c.KeyUsage != test.usage || !slices.Equal(c.ExtKeyUsage, test.extended) {
			t.Errorf("%s: usages %b %v", test.id.Alias(), c.KeyUsage, c.ExtKeyUsage)
		}
		if c.Version != 3 || !c.BasicConstraintsValid || c.IsCA != (test.extended == nil) || c.MaxPathLen != test.pathLength {
			t.Errorf("%s: version %d, CA %v, path length %d", test.id.Alias(), c.Version, c.IsCA, c.MaxPathLen)
		}
		if got := c.NotAfter.Sub(c.NotBefore); got != test.validity || !c.NotBefore.Equal(noon.Add(-5*time.Minute)) {
			t.Errorf("%s: valid for %v from %v", test.id.Alias(), got, c.NotBefore)
		}
		if test.id.SelfSigned() != test.selfSigned || len(test.id.Chain()) != test.chain {
			t.Errorf("%s: self-signed %v, chain of %d", test.id.Alias(), test.id.SelfSigned(), len(test.id.Chain()))
		}
		if n := c.SerialNumber.BitLen(); n > 128 || n < 64 {
			t.Errorf("%s: serial number of %d bits", test.id.Alias(), n)
		}
		issuer := test.id.Chain()[min(1, test.chain-1)]
		if len(c.SubjectKeyId) == 0 || !bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId) {
			t.Errorf("%s: key identifiers %x, %x", test.id.Alias(), c.SubjectKeyId, c.AuthorityKeyId)
		}
	}
	if e, err := ks.Entry("server"); err != nil || e.Algorithm != "EC P-256" || !e.Created.Equal(noon) {
		t.Errorf("entry %+v, %v", e, err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Leaf())
	between.AddCert(intermediate.Leaf())
	if _, err := server.Leaf().Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: noon, DNSName: "x.a.example"}); err != nil {
		t.Error(err)
	}
}

func TestDefaultKeyFollowsPurpose(t *testing.T) {
	ks := keystore.New()
	id := mustGenerate(t, ks, "a", keystore.CertificateOptions{Subject: cn("a")})
	if e, _ := ks.Entry("a"); e.Algorithm != keystore.ECP256.String() || !id.SelfSigned() {
		t.Errorf("%s", e.Algorithm)
	}
	mustGenerate(t, ks, "b", keystore.CertificateOptions{EmailAddresses: []string{"b@b.example"}})
	if e, _ := ks.Entry("b"); e.Algorithm != keystore.RSA3072.String() {
		t.Errorf("%s", e.Algorithm)
	}
}

func TestEveryField(t *testing.T) {
	u, _ := url.Parse("spiffe://a.example/web")
	o := keystore.CertificateOptions{
		Subject:  pkix.Name{CommonName: "A", Organization: []string{"O"}, OrganizationalUnit: []string{"U"}, Country: []string{"DE"}, Province: []string{"P"}, Locality: []string{"L"}},
		DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, EmailAddresses: []string{"a@a.example"}, URIs: []*url.URL{u},
		Purposes: keystore.ForServer | keystore.ForClient | keystore.ForEmail, KeyUsage: x509.KeyUsageDataEncipherment,
		NotBefore: noon.Add(-time.Hour), Validity: 90 * 24 * time.Hour, Key: keystore.ECP384,
	}
	id := mustGenerate(t, at(noon).New(), "a", o)
	c := id.Leaf()
	if got := c.Subject.String(); got != o.Subject.String() {
		t.Errorf("subject %s", got)
	}
	if !slices.Equal(c.DNSNames, o.DNSNames) || !c.IPAddresses[0].Equal(o.IPAddresses[0]) || !slices.Equal(c.EmailAddresses, o.EmailAddresses) || c.URIs[0].String() != u.String() {
		t.Errorf("names %v %v %v %v", c.DNSNames, c.IPAddresses, c.EmailAddresses, c.URIs)
	}
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement | x509.KeyUsageDataEncipherment; c.KeyUsage != want {
		t.Errorf("key usage %b, want %b", c.KeyUsage, want)
	}
	// What a certificate says can be read back and used again.
	like := keystore.CertificateLike(c)
	if like.Purposes != o.Purposes || like.KeyUsage != o.KeyUsage || like.Key != o.Key || like.Validity != o.Validity || like.Subject.String() != o.Subject.String() {
		t.Errorf("like %+v", like)
	}
	again := mustGenerate(t, at(noon).New(), "a", like).Leaf()
	if !bytes.Equal(again.RawSubject, c.RawSubject) || again.KeyUsage != c.KeyUsage || len(again.Extensions) != len(c.Extensions) {
		t.Errorf("again %v", again.Subject)
	}
}

func TestReproducibleWithCallersRandomness(t *testing.T) {
	make := func() []byte {
		o := at(noon)
		o.Rand = constant{}
		return mustGenerate(t, o.New(), "a", keystore.CertificateOptions{Subject: cn("a")}).Leaf().Raw
	}
	if !bytes.Equal(make(), make()) {
		t.Error("same clock, same randomness, other certificate")
	}
}

// constant is an endless stream of one byte.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

func TestGenerateRefuses(t *testing.T) {
	ks, root, intermediate := newCA(t, at(noon))
	leaf := mustGenerate(t, ks, "leaf", keystore.CertificateOptions{Subject: cn("leaf")})
	host := []string{"a.example"}
	tests := []struct {
		name  string
		alias string
		o     keystore.CertificateOptions
		want  error
		text  string
	}{
		{"alias taken", "LEAF", keystore.CertificateOptions{Subject: cn("x")}, trustkeep.ErrExists, `"leaf"`},
		{"no alias", "", keystore.CertificateOptions{Subject: cn("x")}, trustkeep.ErrEmpty, "alias"},
		{"no name", "x", keystore.CertificateOptions{}, trustkeep.ErrEmpty, "neither a subject"},
		{"server without a host", "x", keystore.CertificateOptions{Subject: cn("a.example"), Purposes: keystore.ForServer}, trustkeep.ErrEmpty, "DNS name"},
		{"CA for servers", "x", keystore.CertificateOptions{DNSNames: host, Purposes: keystore.ForCA | keystore.ForServer}, trustkeep.ErrUnsupported, "server"},
		{"unknown purpose", "x", keystore.CertificateOptions{Subject: cn("x"), Purposes: 64}, trustkeep.ErrUnsupported, "0x40"},
		{"unknown key", "x", keystore.CertificateOptions{Subject: cn("x"), Key: 99}, trustkeep.ErrUnsupported, "key type 99"},
		{"path length of a leaf", "x", keystore.CertificateOptions{Subject: cn("x"), PathLength: new(1)}, trustkeep.ErrUnsupported, "path length"},
		{"negative path length", "x", keystore.CertificateOptions{Subject: cn("x"), Purposes: keystore.ForCA, PathLength: new(-1)}, trustkeep.ErrUnsupported, "-1"},
		{"issuer no CA", "x", keystore.CertificateOptions{Subject: cn("x"), Issuer: leaf}, trustkeep.ErrUnsupported, "no CA"},
		{"CA below the last", "x", keystore.CertificateOptions{Subject: cn("x"), Purposes: keystore.ForCA, Issuer: intermediate}, trustkeep.ErrUnsupported, "0 CAs below"},
		{"outlives its issuer", "x", keystore.CertificateOptions{Subject: cn("x"), Validity: 20 * 365 * 24 * time.Hour, Issuer: root}, trustkeep.ErrExpired, "outside"},
		{"before its issuer", "x", keystore.CertificateOptions{Subject: cn("x"), NotBefore: noon.AddDate(-1, 0, 0), Issuer: root}, trustkeep.ErrExpired, "outside"},
		{"negative validity", "x", keystore.CertificateOptions{Subject: cn("x"), Validity: -1}, trustkeep.ErrExpired, "-1ns"},
		{"issuer's own name", "x", keystore.CertificateOptions{Subject: cn("Root CA"), Issuer: root}, trustkeep.ErrUnsupported, "own name"},
		{"wildcard alone", "x", keystore.CertificateOptions{DNSNames: []string{"*"}}, trustkeep.ErrCorrupt, `"*"`},
		{"wildcard inside", "x", keystore.CertificateOptions{DNSNames: []string{"a.*.example"}}, trustkeep.ErrCorrupt, "DNS name"},
		{"part of a label", "x", keystore.CertificateOptions{DNSNames: []string{"n*.a.example"}}, trustkeep.ErrCorrupt, "DNS name"},
		{"not ASCII", "x", keystore.CertificateOptions{DNSNames: []string{"bücher.example"}}, trustkeep.ErrCorrupt, "DNS name"},
		{"empty label", "x", keystore.CertificateOptions{DNSNames: []string{"a..example"}}, trustkeep.ErrCorrupt, "DNS name"},
		{"NUL in a name", "x", keystore.CertificateOptions{DNSNames: []string{"a.example\x00.b"}}, trustkeep.ErrCorrupt, `\x00`},
		{"long name", "x", keystore.CertificateOptions{DNSNames: []string{strings.Repeat("a.", 127) + "a"}}, trustkeep.ErrCorrupt, "DNS name"},
		{"address without a domain", "x", keystore.CertificateOptions{EmailAddresses: []string{"a"}}, trustkeep.ErrCorrupt, "e-mail"},
		{"address with a line end", "x", keystore.CertificateOptions{EmailAddresses: []string{"a\r\nBcc:b@c.example"}}, trustkeep.ErrCorrupt, `\r\n`},
		{"short IP address", "x", keystore.CertificateOptions{IPAddresses: []net.IP{{1, 2}}}, trustkeep.ErrCorrupt, "IP address"},
		{"relative URI", "x", keystore.CertificateOptions{URIs: []*url.URL{{Path: "a"}}}, trustkeep.ErrCorrupt, "URI"},
		{"nil URI", "x", keystore.CertificateOptions{URIs: []*url.URL{nil}}, trustkeep.ErrCorrupt, "URI"},
		{"escape in the subject", "x", keystore.CertificateOptions{Subject: cn("a\x1b[2J")}, trustkeep.ErrCorrupt, `\x1b`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := ks.Aliases()
			_, err := ks.Generate(test.alias, test.o)
			wantError(t, err, test.want, "keystore: generate", test.text)
			if !slices.Equal(ks.Aliases(), before) {
				t.Error("the store changed")
			}
		})
	}
	_, err := at(noon.AddDate(20, 0, 0)).New().Generate("x", keystore.CertificateOptions{Subject: cn("x"), Issuer: root})
	wantError(t, err, trustkeep.ErrExpired, "Root CA")
}

func TestIssuedWithinIssuersValidity(t *testing.T) {
	ks := at(noon).New()
	short := mustGenerate(t, ks, "ca", keystore.CertificateOptions{Subject: cn("short"), Purposes: keystore.ForCA, Validity: 48 * time.Hour})
	leaf := mustGenerate(t, ks, "leaf", keystore.CertificateOptions{Subject: cn("leaf"), Issuer: short}).Leaf()
	if !leaf.NotAfter.Equal(short.Leaf().NotAfter) || leaf.NotBefore.Before(short.Leaf().NotBefore) {
		t.Errorf("leaf from %v to %v, issuer from %v to %v", leaf.NotBefore, leaf.NotAfter, short.Leaf().NotBefore, short.Leaf().NotAfter)
	}
}

func TestPathLengths(t *testing.T) {
	ks := at(noon).New()
	root := mustGenerate(t, ks, "root", keystore.CertificateOptions{Subject: cn("root"), Purposes: keystore.ForCA, PathLength: new(2)})
	one := mustGenerate(t, ks, "one", keystore.CertificateOptions{Subject: cn("one"), Purposes: keystore.ForCA, PathLength: new(1), Issuer: root})
	zero := mustGenerate(t, ks, "zero", keystore.CertificateOptions{Subject: cn("zero"), Purposes: keystore.ForCA, Issuer: one})
	for id, want := range map[*keystore.Identity]int{root: 2, one: 1, zero: 0} {
		if got := id.Leaf().MaxPathLen; got != want {
			t.Errorf("%s: path length %d, want %d", id.Alias(), got, want)
		}
	}
	_, err := ks.Generate("x", keystore.CertificateOptions{Subject: cn("x"), Purposes: keystore.ForCA, PathLength: new(1), Issuer: one})
	wantError(t, err, trustkeep.ErrUnsupported)
}
