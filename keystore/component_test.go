package keystore_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// withPassword are options at noon with a password for file and component.
func withPassword(password string) component.Options {
	return component.Options{Rand: quickkdf.Rand(), Clock: at(noon).Clock, Password: trustkeep.Password(password)}
}

func mustComponent(t testing.TB) func(*component.Component, error) *component.Component {
	return func(c *component.Component, err error) *component.Component {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func importComponent(ctx context.Context, name string, data []byte, o component.Options) (*component.Component, error) {
	if o.Kinds == nil {
		o.Kinds = []component.Kind{keystore.ComponentKind()}
	}
	return component.Import(ctx, name, data, o)
}

func importFile(t testing.TB, name string, data []byte, o component.Options) *component.Component {
	t.Helper()
	return mustComponent(t)(importComponent(t.Context(), name, data, o))
}

func newComponent(t testing.TB, name string) *component.Component {
	t.Helper()
	return mustComponent(t)(component.Create(t.Context(), name,
		issue.Options{Subject: cn(name), DNSNames: []string{"server.example"}}, withPassword("secret")))
}

// publicOf is a public component of the certificate of another.
func publicOf(t testing.TB, c *component.Component) *component.Component {
	t.Helper()
	_, data, err := c.ExportPublic("")
	if err != nil {
		t.Fatal(err)
	}
	return importFile(t, c.Name(), data, component.Options{Clock: at(noon).Clock})
}

// encode writes a store of one key with its chain.
func encode(t testing.TB, id *testpki.Identity, format trustkeep.Format, password string) []byte {
	t.Helper()
	ks := keystore.New()
	if err := ks.SetIdentity("one", newIdentity(t, id)); err != nil {
		t.Fatal(err)
	}
	data, err := ks.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: format, Password: trustkeep.Password(password)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func opens(t testing.TB, c *component.Component, password string) *keystore.Identity {
	t.Helper()
	id, err := keystore.IdentityOf(c, trustkeep.Password(password))
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint(id.Leaf().Raw) != c.Fingerprint() || id.Alias() != c.Name() {
		t.Errorf("%v is not the identity of %v", id, c)
	}
	return id
}

func sameChain(t testing.TB, c *component.Component, want ...*x509.Certificate) {
	t.Helper()
	raw := keystore.ChainOf(c)
	if !slices.EqualFunc(raw, want, func(der []byte, w *x509.Certificate) bool { return bytes.Equal(der, w.Raw) }) {
		var have []string
		for _, info := range c.Describe() {
			have = append(have, info.Subject)
		}
		t.Errorf("chain %q, want %q", have, subjects(want))
	}
}

func TestComponentHasIDNameKindAndContent(t *testing.T) {
	c := newComponent(t, "server")
	cert, err := keystore.CertificateOf(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ID()) != 32 || c.Name() != "server" || c.Kind() != trustkeep.X509 || c.Visibility() != trustkeep.Private || c.Version() != 1 ||
		c.Fingerprint() != fingerprint(cert.Raw) || !c.NotBefore().Equal(cert.NotBefore) || !c.NotAfter().Equal(cert.NotAfter) {
		t.Errorf("%v, valid from %s to %s", c, c.NotBefore(), c.NotAfter())
	}
	if other := newComponent(t, "server"); other.ID() == c.ID() {
		t.Error("two components of one ID")
	}
	o := withPassword("secret")
	o.ID = "given"
	if c, err := component.Create(t.Context(), "server", issue.Options{Subject: cn("a")}, o); err != nil || c.ID() != "given" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestCreateACertificateAndItsPrivateKey(t *testing.T) {
	id := opens(t, newComponent(t, "server"), "secret")
	if !id.SelfSigned() || id.Leaf().DNSNames[0] != "server.example" {
		t.Errorf("%v", id)
	}
	for _, password := range []trustkeep.PasswordSource{nil, trustkeep.Password("")} {
		o := component.Options{Clock: at(noon).Clock, Password: password}
		_, err := component.Create(t.Context(), "server", issue.Options{Subject: cn("a")}, o)
		wantError(t, err, trustkeep.ErrInvalid, "password")
	}
	o := withPassword("secret")
	o.NewPassword = trustkeep.Password("other")
	c := mustComponent(t)(component.Create(t.Context(), "server", issue.Options{Subject: cn("a")}, o))
	opens(t, c, "other")
}

func TestImportAnExistingCertificateAtCreation(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.PEM} {
		t.Run(string(format), func(t *testing.T) {
			data := encode(t, id, format, "secret")
			before := bytes.Clone(data)
			o := withPassword("secret")
			o.NewPassword = trustkeep.Password("new secret")
			c := importFile(t, "a", data, o)
			if !bytes.Equal(data, before) {
				t.Error("the file was changed in memory")
			}
			clear(data) // and is not needed any more
			sameChain(t, c, id.Chain...)
			opens(t, c, "new secret")
			if _, err := keystore.IdentityOf(c, trustkeep.Password("secret")); !isIncorrect(err) {
				t.Errorf("with the password of the file: %v", err)
			}
		})
	}
}

func TestKindFollowsTheImport(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	tests := []struct {
		about string
		data  []byte
		want  trustkeep.Visibility
	}{
		{"certificate, DER", id.DER, trustkeep.Public},
		{"certificate, PEM", pemOf(id.Cert), trustkeep.Public},
		{"certificate with chain, PEM", id.ChainPEM(), trustkeep.Public},
		{"self-signed certificate", pki.SelfSigned("b.example").DER, trustkeep.Public},
		{"key and certificate, PEM", append(id.KeyPEM(), id.ChainPEM()...), trustkeep.Private},
		{"certificate and key, PEM", append(id.ChainPEM(), id.KeyPEM()...), trustkeep.Private},
		{"PKCS#12", encode(t, id, trustkeep.PKCS12, "secret"), trustkeep.Private},
		{"JKS", encode(t, id, trustkeep.JKS, "secret"), trustkeep.Private},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			c := importFile(t, "a", test.data, withPassword("secret"))
			if c.Visibility() != test.want {
				t.Errorf("%s", c.Visibility())
			}
			// Re-importing keeps the kind.
			other := map[trustkeep.Visibility][]byte{
				trustkeep.Private: pemOf(id.Cert),
				trustkeep.Public:  encode(t, id, trustkeep.PKCS12, "secret"),
			}[test.want]
			if _, err := c.Reimport(t.Context(), other, withPassword("secret")); !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("the other kind: %v", err)
			}
		})
	}
	// A key that nobody protects is of the other kind before it is anything else.
	public := importFile(t, "a", id.DER, component.Options{})
	_, err := public.Reimport(t.Context(), append(id.KeyPEM(), id.ChainPEM()...), component.Options{})
	wantError(t, err, trustkeep.ErrUnsupported, "other kind")
}

func TestImportKeepsTheWholeChain(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	lower := pki.Issue(testpki.Request{CommonName: "Lower CA", CA: true, Issuer: pki.Intermediate})
	id := pki.Issue(testpki.Request{Names: []string{"a.example"}, Issuer: lower})
	if len(id.Chain) != 4 {
		t.Fatal("the test wants a chain of 4")
	}
	shuffled := pemOf(id.Chain[3], id.Chain[1], id.Chain[0], id.Chain[2])
	trusted := keystore.New()
	for i, c := range id.Chain {
		if err := trusted.SetTrusted(fmt.Sprint("cert", i), c); err != nil {
			t.Fatal(err)
		}
	}
	p7b, err := trusted.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS7, NoPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	jks, err := trusted.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		about, alias string
		data         []byte
	}{
		{"PKCS#12", "", encode(t, id, trustkeep.PKCS12, "secret")},
		{"JKS", "", encode(t, id, trustkeep.JKS, "secret")},
		{"key and chain in any order, PEM", "", append(id.KeyPEM(), shuffled...)},
		{"chain and key in any order, PEM", "", append(bytes.Clone(shuffled), id.KeyPEM()...)},
		{"repeated certificates", "", append(append(id.KeyPEM(), shuffled...), shuffled...)},
		{"public, PEM in any order", "", shuffled},
		{"public, repeated certificates", "", append(bytes.Clone(shuffled), shuffled...)},
		{"public, PKCS#7", "", p7b},
		{"public, JKS", "", jks},
		{"public, chosen from JKS", "cert0", jks},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			o := withPassword("secret")
			o.Alias = test.alias
			c := importFile(t, "a", test.data, o)
			sameChain(t, c, id.Chain...)
			if c.Visibility() == trustkeep.Private {
				if chain := opens(t, c, "secret").Chain(); len(chain) != 4 {
					t.Errorf("a server would send %d certificates", len(chain))
				}
			}
		})
	}
}

// TestChainIsCompletedFromTheStore: Java's stores may have the issuers of a key as
// entries of their own.
func TestChainIsCompletedFromTheStore(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	leaf, err := keystore.NewIdentity(id.Key, id.Cert)
	if err != nil {
		t.Fatal(err)
	}
	ks := keystore.New()
	for _, err := range []error{ks.SetIdentity("key", leaf), ks.SetTrusted("ca", id.Chain[1]), ks.SetTrusted("root", id.Chain[2])} {
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	sameChain(t, importFile(t, "a", data, withPassword("secret")), id.Chain...)
}

func TestEachCertificateOfTheChainIsDescribed(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example", "b.example")
	c := importFile(t, "a", id.ChainPEM(), component.Options{})
	info := c.Describe()
	if len(info) != len(id.Chain) {
		t.Fatalf("%d described", len(info))
	}
	for i, cert := range id.Chain {
		if info[i].Subject != cert.Subject.String() || info[i].Issuer != cert.Issuer.String() || info[i].SHA256 != fingerprint(cert.Raw) ||
			!info[i].NotAfter.Equal(cert.NotAfter) || info[i].KeyAlgorithm != "EC P-256" || !info[i].Usable {
			t.Errorf("certificate %d: %+v", i, info[i])
		}
	}
	if !slices.Equal(info[0].Names, []string{"a.example", "b.example"}) {
		t.Errorf("names %q", info[0].Names)
	}
	// What is handed out is a copy.
	info[0].Names[0], info[0].Subject = "evil.example", "CN=Evil"
	clear(keystore.ChainOf(c)[0])
	if again := c.Describe()[0]; again.Subject != id.Cert.Subject.String() || !slices.Equal(again.Names, id.Cert.DNSNames) {
		t.Errorf("%+v", again)
	}
	sameChain(t, c, id.Chain...)
}

func TestPrivateComponentTakesAnotherPrivateCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	first, second := pki.Server("a.example"), pki.Server("b.example")
	c := importFile(t, "a", encode(t, first, trustkeep.PKCS12, "secret"), withPassword("secret"))
	later := noon.Add(time.Hour)
	r := mustComponent(t)(c.Reimport(t.Context(), encode(t, second, trustkeep.JKS, "changeit"), component.Options{
		Clock: at(later).Clock, Password: trustkeep.Password("changeit"), NewPassword: trustkeep.Password("other")}))
	if r.ID() != c.ID() || r.Version() != 2 || r.Name() != "a" || r.Visibility() != trustkeep.Private || !r.Versions()[1].Replaced.Equal(later) {
		t.Errorf("%v", r)
	}
	sameChain(t, r, second.Chain...)
	opens(t, r, "other")
	// The old one is as it was.
	sameChain(t, c, first.Chain...)
	opens(t, c, "secret")
	if c.Version() != 1 || len(c.Versions()) != 1 {
		t.Errorf("%v", c)
	}
}

func TestPublicComponentTakesAnotherPublicCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	first, second := pki.Server("a.example"), pki.Server("b.example")
	c := importFile(t, "a", first.ChainPEM(), component.Options{})
	r := mustComponent(t)(c.Reimport(t.Context(), pki.SelfSigned("c.example").DER, component.Options{}))
	if r.ID() != c.ID() || r.Version() != 2 || r.Visibility() != trustkeep.Public || len(keystore.ChainOf(r)) != 1 {
		t.Errorf("%v", r)
	}
	// Of an issuer that the component knows, the chain is not lost.
	r = mustComponent(t)(c.Reimport(t.Context(), second.DER, component.Options{}))
	sameChain(t, r, second.Chain...)
}

// TestMissingChainIsTakenFromTheCurrentOne where it fits by signature, not by name.
func TestMissingChainIsTakenFromTheCurrentOne(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	impostor := testpki.New(t, testpki.Options{}) // CAs of the same names
	old := pki.Server("a.example")
	c := importFile(t, "a", encode(t, old, trustkeep.PKCS12, "secret"), withPassword("secret"))
	renewed := pki.Issue(testpki.Request{Names: []string{"a.example"}, KeyOf: old})
	tests := []struct {
		about string
		id    *testpki.Identity
		certs []*x509.Certificate
		want  []*x509.Certificate
	}{
		{"leaf alone", renewed, renewed.Chain[:1], renewed.Chain},
		{"without root", renewed, renewed.Chain[:2], renewed.Chain},
		{"complete", renewed, renewed.Chain, renewed.Chain},
		{"of another CA", impostor.Server("a.example"), nil, nil},
		{"self-signed", pki.SelfSigned("a.example"), nil, nil},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			if test.certs == nil {
				test.certs, test.want = test.id.Chain[:1], test.id.Chain[:1]
			}
			r := mustComponent(t)(c.Reimport(t.Context(), append(pemOf(test.certs...), test.id.KeyPEM()...), withPassword("secret")))
			sameChain(t, r, test.want...)
			if chain := opens(t, r, "secret").Chain(); len(chain) != len(test.want) {
				t.Errorf("identity with %d certificates", len(chain))
			}
		})
	}
}
