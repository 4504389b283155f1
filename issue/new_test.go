package issue_test

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
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

func TestGeneratedDefaults(t *testing.T) {
	ks, root, intermediate := newCA(t, atNoon)
	server := put(t, ks, "server", issue.Options{
		Subject: cn("a.example"), DNSNames: []string{"a.example", "*.a.example"}, IPAddresses: []net.IP{net.IPv6loopback}, Issuer: intermediate})
	mail := put(t, ks, "mail", issue.Options{EmailAddresses: []string{"as2@a.example"}, Purposes: issue.ForEmail, Key: issue.RSA2048})
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
	id := put(t, ks, "a", issue.Options{Subject: cn("a")})
	if e, _ := ks.Entry("a"); e.Algorithm != issue.ECP256.String() || !id.SelfSigned() {
		t.Errorf("%s", e.Algorithm)
	}
	put(t, ks, "b", issue.Options{EmailAddresses: []string{"b@b.example"}})
	if e, _ := ks.Entry("b"); e.Algorithm != issue.RSA3072.String() {
		t.Errorf("%s", e.Algorithm)
	}
}

func TestEveryField(t *testing.T) {
	u, _ := url.Parse("spiffe://a.example/web")
	o := issue.Options{
		Subject:  pkix.Name{CommonName: "A", Organization: []string{"O"}, OrganizationalUnit: []string{"U"}, Country: []string{"DE"}, Province: []string{"P"}, Locality: []string{"L"}},
		DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, EmailAddresses: []string{"a@a.example"}, URIs: []*url.URL{u},
		Purposes: issue.ForServer | issue.ForClient | issue.ForEmail, KeyUsage: x509.KeyUsageDataEncipherment,
		NotBefore: noon.Add(-time.Hour), Validity: 90 * 24 * time.Hour, Key: issue.ECP384,
	}
	id := put(t, at(noon).New(), "a", o)
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
	like := issue.Like(c)
	if like.Purposes != o.Purposes || like.KeyUsage != o.KeyUsage || like.Key != o.Key || like.Validity != o.Validity || like.Subject.String() != o.Subject.String() {
		t.Errorf("like %+v", like)
	}
	again := put(t, at(noon).New(), "a", like).Leaf()
	if !bytes.Equal(again.RawSubject, c.RawSubject) || again.KeyUsage != c.KeyUsage || len(again.Extensions) != len(c.Extensions) {
		t.Errorf("again %v", again.Subject)
	}
}

func TestReproducibleWithCallersRandomness(t *testing.T) {
	make := func() []byte {
		return put(t, keystore.New(), "a", issue.Options{Subject: cn("a"), Rand: constant{}}).Leaf().Raw
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

func TestNewRefuses(t *testing.T) {
	ks, root, intermediate := newCA(t, atNoon)
	leaf := put(t, ks, "leaf", issue.Options{Subject: cn("leaf")})
	host := []string{"a.example"}
	tests := []struct {
		name string
		o    issue.Options
		text string
	}{
		{"no name", issue.Options{}, "neither a subject"},
		{"server without a host", issue.Options{Subject: cn("a.example"), Purposes: issue.ForServer}, "DNS name"},
		{"CA for servers", issue.Options{DNSNames: host, Purposes: issue.ForCA | issue.ForServer}, "server"},
		{"unknown purpose", issue.Options{Subject: cn("x"), Purposes: 64}, "0x40"},
		{"unknown key", issue.Options{Subject: cn("x"), Key: 99}, "key type 99"},
		{"path length of a leaf", issue.Options{Subject: cn("x"), PathLength: new(1)}, "path length"},
		{"negative path length", issue.Options{Subject: cn("x"), Purposes: issue.ForCA, PathLength: new(-1)}, "-1"},
		{"issuer no CA", issue.Options{Subject: cn("x"), Issuer: leaf}, "no CA"},
		{"CA below the last", issue.Options{Subject: cn("x"), Purposes: issue.ForCA, Issuer: intermediate}, "0 CAs below"},
		{"outlives its issuer", issue.Options{Subject: cn("x"), Validity: 20 * 365 * 24 * time.Hour, Issuer: root}, "outside"},
		{"before its issuer", issue.Options{Subject: cn("x"), NotBefore: noon.AddDate(-1, 0, 0), Issuer: root}, "outside"},
		{"negative validity", issue.Options{Subject: cn("x"), Validity: -1}, "-1ns"},
		{"issuer's own name", issue.Options{Subject: cn("Root CA"), Issuer: root}, "own name"},
		{"wildcard alone", issue.Options{DNSNames: []string{"*"}}, `"*"`},
		{"wildcard inside", issue.Options{DNSNames: []string{"a.*.example"}}, "DNS name"},
		{"part of a label", issue.Options{DNSNames: []string{"n*.a.example"}}, "DNS name"},
		{"not ASCII", issue.Options{DNSNames: []string{"bücher.example"}}, "DNS name"},
		{"empty label", issue.Options{DNSNames: []string{"a..example"}}, "DNS name"},
		{"NUL in a name", issue.Options{DNSNames: []string{"a.example\x00.b"}}, `\x00`},
		{"long name", issue.Options{DNSNames: []string{strings.Repeat("a.", 127) + "a"}}, "DNS name"},
		{"address without a domain", issue.Options{EmailAddresses: []string{"a"}}, "e-mail"},
		{"address with a line end", issue.Options{EmailAddresses: []string{"a\r\nBcc:b@c.example"}}, `\r\n`},
		{"short IP address", issue.Options{IPAddresses: []net.IP{{1, 2}}}, "IP address"},
		{"relative URI", issue.Options{URIs: []*url.URL{{Path: "a"}}}, "URI"},
		{"nil URI", issue.Options{URIs: []*url.URL{nil}}, "URI"},
		{"escape in the subject", issue.Options{Subject: cn("a\x1b[2J")}, `\x1b`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.Clock = atNoon
			id, err := issue.New(test.o)
			wantError(t, err, trustkeep.ErrInvalid, "issue: new", test.text)
			if id != nil {
				t.Error("an identity beside the error")
			}
		})
	}
	_, err := issue.New(issue.Options{Subject: cn("x"), Issuer: root, Clock: func() time.Time { return noon.AddDate(20, 0, 0) }})
	wantError(t, err, trustkeep.ErrExpired, "Root CA")
}

func TestIssuedWithinIssuersValidity(t *testing.T) {
	ks := at(noon).New()
	short := put(t, ks, "ca", issue.Options{Subject: cn("short"), Purposes: issue.ForCA, Validity: 48 * time.Hour})
	leaf := put(t, ks, "leaf", issue.Options{Subject: cn("leaf"), Issuer: short}).Leaf()
	if !leaf.NotAfter.Equal(short.Leaf().NotAfter) || leaf.NotBefore.Before(short.Leaf().NotBefore) {
		t.Errorf("leaf from %v to %v, issuer from %v to %v", leaf.NotBefore, leaf.NotAfter, short.Leaf().NotBefore, short.Leaf().NotAfter)
	}
}

func TestPathLengths(t *testing.T) {
	ks := at(noon).New()
	root := put(t, ks, "root", issue.Options{Subject: cn("root"), Purposes: issue.ForCA, PathLength: new(2)})
	one := put(t, ks, "one", issue.Options{Subject: cn("one"), Purposes: issue.ForCA, PathLength: new(1), Issuer: root})
	zero := put(t, ks, "zero", issue.Options{Subject: cn("zero"), Purposes: issue.ForCA, Issuer: one})
	for id, want := range map[*keystore.Identity]int{root: 2, one: 1, zero: 0} {
		if got := id.Leaf().MaxPathLen; got != want {
			t.Errorf("%s: path length %d, want %d", id.Alias(), got, want)
		}
	}
	_, err := issue.New(issue.Options{Subject: cn("x"), Purposes: issue.ForCA, PathLength: new(1), Issuer: one, Clock: atNoon})
	wantError(t, err, trustkeep.ErrInvalid)
}

func TestGeneratedIssuersHaveAName(t *testing.T) {
	long := strings.Repeat("a", 60) + ".example"
	for _, c := range []struct {
		o    issue.Options
		want string
	}{
		{issue.Options{DNSNames: []string{long, "b.example"}}, "CN=b.example"},
		{issue.Options{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, "CN=192.0.2.1"},
		{issue.Options{DNSNames: []string{long}}, "CN=self-signed"},
		{issue.Options{Subject: pkix.Name{Organization: []string{"O"}}, DNSNames: []string{"b.example"}}, "O=O"},
	} {
		id, err := issue.New(c.o)
		if err != nil || id.Leaf().Issuer.String() != c.want || id.Leaf().Subject.String() != c.want {
			t.Errorf("%v, %v, want %s", id, err, c.want)
		}
	}
}
