package keystore_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

func TestHostileImports(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id, other := pki.Server("a.example"), pki.Server("b.example")
	p12 := encode(t, id, trustkeep.PKCS12, "secret")
	two := keystore.New()
	for alias, id := range map[string]*testpki.Identity{"one": id, "two": other} {
		if err := two.SetIdentity(alias, newIdentity(t, id)); err != nil {
			t.Fatal(err)
		}
	}
	aes, err := keystore.NewSecretKey("AES", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	secret := keystore.New()
	if err := secret.SetSecretKey("aes", aes); err != nil {
		t.Fatal(err)
	}
	save := func(ks *keystore.Keystore, format trustkeep.Format) []byte {
		data, err := ks.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: format, Password: trustkeep.Password("secret")})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	block := func(kind string, data []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})
	}
	tests := []struct {
		about, password, alias string
		data                   []byte
		want                   error
	}{
		{"one byte", "secret", "", []byte{0x30}, trustkeep.ErrCorrupt},
		{"text", "secret", "", []byte("this is no certificate\n"), trustkeep.ErrCorrupt},
		{"zeros", "secret", "", make([]byte, 1000), trustkeep.ErrCorrupt},
		{"deep", "secret", "", bytes.Repeat([]byte{0x30, 0x80}, 500_000), trustkeep.ErrCorrupt},
		{"truncated store", "secret", "", p12[:len(p12)-1], trustkeep.ErrCorrupt},
		{"truncated certificate", "secret", "", id.DER[:len(id.DER)-1], trustkeep.ErrCorrupt},
		{"store and more", "secret", "", append(bytes.Clone(p12), 'x'), trustkeep.ErrCorrupt},
		{"certificate block of garbage", "secret", "", block("CERTIFICATE", []byte("garbage")), trustkeep.ErrCorrupt},
		{"chain with garbage", "secret", "", append(pemOf(id.Cert), block("CERTIFICATE", []byte("garbage"))...), trustkeep.ErrCorrupt},
		{"key block of garbage", "secret", "", append(pemOf(id.Cert), block("PRIVATE KEY", []byte("garbage"))...), trustkeep.ErrCorrupt},
		{"wrong password", "wrong", "", p12, trustkeep.ErrIncorrectPassword},
		{"no password", "", "", p12, trustkeep.ErrIncorrectPassword},
		{"wrong password, JKS", "wrong", "", encode(t, id, trustkeep.JKS, "secret"), trustkeep.ErrIncorrectPassword},
		{"wrong password, encrypted PEM", "wrong", "", encode(t, id, trustkeep.PEM, "secret"), trustkeep.ErrIncorrectPassword},
		{"key of another certificate", "secret", "", append(other.KeyPEM(), id.ChainPEM()...), trustkeep.ErrKeyMismatch},
		{"key alone", "secret", "", id.KeyPEM(), trustkeep.ErrEmpty},
		{"key alone, DER", "secret", "", id.PKCS8(), trustkeep.ErrEmpty},
		{"two keys", "secret", "", save(two, trustkeep.PKCS12), trustkeep.ErrUnsupported},
		{"two keys, no such alias", "secret", "three", save(two, trustkeep.PKCS12), trustkeep.ErrNotFound},
		{"unrelated certificates", "secret", "", pemOf(id.Cert, other.Cert), trustkeep.ErrUnsupported},
		{"chain with an unrelated certificate", "secret", "", append(id.ChainPEM(), other.ChainPEM()...), trustkeep.ErrUnsupported},
		{"secret key", "secret", "", save(secret, trustkeep.PKCS12), trustkeep.ErrUnsupported},
		{"secret key by alias", "secret", "aes", save(secret, trustkeep.PKCS12), trustkeep.ErrUnsupported},
		{"store without entries", "secret", "", save(keystore.New(), trustkeep.JKS), trustkeep.ErrEmpty},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			o := component.Options{Alias: test.alias, NewPassword: trustkeep.Password("new")}
			if test.password != "" {
				o.Password = trustkeep.Password(test.password)
			}
			c, err := importComponent(t.Context(), "a", test.data, o)
			wantError(t, err, test.want, "component: import", `"a"`)
			if c != nil {
				t.Errorf("made %v", c)
			}
		})
	}
	t.Run("alias chooses", func(t *testing.T) {
		o := withPassword("secret")
		o.Alias = "TWO"
		c := importFile(t, "a", save(two, trustkeep.PKCS12), o)
		sameChain(t, c, other.Chain...)
		opens(t, c, "secret")
	})
}

// TestTruncatedImports: no prefix of a file is one.
func TestTruncatedImports(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	for _, data := range [][]byte{encode(t, id, trustkeep.PKCS12, "secret"), encode(t, id, trustkeep.JKS, "secret"), id.DER} {
		for n := 0; n < len(data); n += 1 + n/20 {
			c, err := importComponent(t.Context(), "a", data[:n], withPassword("secret"))
			if c != nil || !isTyped(err) && !errors.Is(err, trustkeep.ErrEmpty) {
				t.Errorf("%d of %d bytes: %v, %v", n, len(data), c, err)
			}
		}
	}
}

func TestPrivateKeyWithoutPasswordIsProtected(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	data := append(id.KeyPEM(), id.ChainPEM()...)
	tests := []struct {
		about            string
		password, chosen trustkeep.PasswordSource
		opens            string
	}{
		{"password", trustkeep.Password("secret"), nil, "secret"},
		{"new password", nil, trustkeep.Password("new"), "new"},
		{"both", trustkeep.Password("secret"), trustkeep.Password("new"), "new"},
		{"none", nil, nil, ""},
		{"empty", trustkeep.Password(""), nil, ""},
		{"empty new password", trustkeep.Password("secret"), trustkeep.Password(""), ""},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			c, err := importComponent(t.Context(), "a", data, component.Options{Password: test.password, NewPassword: test.chosen})
			if test.opens == "" {
				wantError(t, err, trustkeep.ErrInvalid, "never kept without")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			opens(t, c, test.opens)
			for _, r := range c.State().Versions {
				if bytes.Contains(r.Store, id.PKCS8()[40:]) {
					t.Error("the key is kept in the clear")
				}
			}
		})
	}
}

func TestKeyPasswordOfItsOwn(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	ks, err := keystore.Parse(encode(t, id, trustkeep.JKS, "store password"), trustkeep.Password("store password"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.ChangeKeyPassword("one", trustkeep.Password("store password"), trustkeep.Password("key password")); err != nil {
		t.Fatal(err)
	}
	data, err := ks.Encode(trustkeep.SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := withPassword("store password")
	_, err = importComponent(t.Context(), "a", data, o)
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	o.KeyPassword = trustkeep.Password("key password")
	opens(t, importFile(t, "a", data, o), "store password")
	o.KeyPassword = trustkeep.Password("wrong")
	_, err = importComponent(t.Context(), "a", data, o)
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	o.KeyPassword = nil
	o.Kinds = []component.Kind{keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"one": trustkeep.Password("key password")}}.ComponentKind()}
	c := importFile(t, "a", data, o)
	opens(t, c, "store password")
	o.NewPassword = trustkeep.Password("new")
	c = importFile(t, "a", data, o)
	opens(t, c, "new")
	// The options that a file needed do not get in the way later.
	o.Password, o.Alias, o.Kinds = trustkeep.Password("new"), "one", []component.Kind{keystore.Options{AllowUnauthenticated: true, Strict: true}.ComponentKind()}
	opens(t, mustComponent(t)(c.Renew(t.Context(), issue.RenewOptions{NewKey: true, Certificate: issue.Options{Issuer: newIdentity(t, pki.Intermediate)}}, o)), "new")
}

// TestCertificatesBesideTheChain stay with a key, such as the other way to a cross-signed
// CA, and the component opens with them.
func TestCertificatesBesideTheChain(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	crossed := b.CrossSign(a.Intermediate)
	leaf := a.Server("a.example")
	stranger := b.Server("b.example")
	tests := map[string][]*x509.Certificate{
		"two ways up":           {leaf.Cert, a.Intermediate.Cert, a.Root.Cert, crossed.Cert, b.Root.Cert},
		"the other way first":   {leaf.Cert, crossed.Cert, a.Intermediate.Cert, b.Root.Cert, a.Root.Cert},
		"unrelated certificate": {leaf.Cert, a.Intermediate.Cert, stranger.Cert},
		"gap":                   {leaf.Cert, a.Root.Cert},
	}
	for about, chain := range tests {
		t.Run(about, func(t *testing.T) {
			public, err := importComponent(t.Context(), "a", pemOf(chain...), component.Options{})
			if strings.Contains(about, "way") {
				if err != nil || len(keystore.ChainOf(public)) != len(chain) || public.Fingerprint() != fingerprint(leaf.DER) {
					t.Errorf("public: %v, %v", public, err)
				}
			} else {
				wantError(t, err, trustkeep.ErrUnsupported, "no single chain")
			}
			id, err := keystore.NewIdentity(leaf.Key, chain...)
			if err != nil {
				t.Fatal(err)
			}
			ks := keystore.New()
			if err := ks.SetIdentity("one", id); err != nil {
				t.Fatal(err)
			}
			data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
			if err != nil {
				t.Fatal(err)
			}
			c := importFile(t, "a", data, withPassword("secret"))
			if n := len(keystore.ChainOf(c)); n != len(chain) {
				t.Errorf("%d of %d certificates", n, len(chain))
			}
			if n := len(opens(t, c, "secret").Chain()); n != len(chain) {
				t.Errorf("identity with %d of %d certificates", n, len(chain))
			}
			_, exported, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("secret"), component.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			again := importFile(t, "a", exported, withPassword("secret"))
			if n := len(opens(t, again, "secret").Chain()); n != len(keystore.ChainOf(again)) || strings.Contains(about, "way") && n != len(chain) {
				t.Errorf("imported again with %d of %d certificates", n, len(chain))
			}
			c = mustComponent(t)(c.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("new"), component.Options{}))
			if n := len(opens(t, c, "new").Chain()); n != len(chain) {
				t.Errorf("identity with %d of %d certificates after a change of password", n, len(chain))
			}
		})
	}
}

// TestCertificateThatGoRefuses is kept, described and exported.
func TestCertificateThatGoRefuses(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.NegativeSerial("a.example")
	c := importFile(t, "a", id.ChainPEM(), component.Options{})
	if c.Fingerprint() != fingerprint(id.DER) || len(keystore.ChainOf(c)) != 3 || c.Describe()[0].Usable || c.NotAfter().IsZero() {
		t.Errorf("%v: %+v", c, c.Describe()[0])
	}
	_, err := keystore.CertificateOf(c)
	wantError(t, err, trustkeep.ErrUnsupported)
	if _, data, err := c.ExportPublic(keystore.SuffixDER); err != nil || !bytes.Equal(data, id.DER) {
		t.Errorf("%v", err)
	}
	if _, err := component.Restore(c.State(), keystore.ComponentKind()); err != nil {
		t.Errorf("%v", err)
	}
}

// TestInteropKeysThatGoDoesNotKnow can be imported and exported, though nothing here can use
// them.
func TestInteropKeysThatGoDoesNotKnow(t *testing.T) {
	testtool.Need(t, "openssl")
	algorithms := map[string][]string{
		"secp256k1":       {"ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"},
		"brainpoolP256r1": {"ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"},
		"Ed448":           {"ed448"},
	}
	for name, algorithm := range algorithms {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key, cert := filepath.Join(dir, "key"), filepath.Join(dir, "cert")
			args := append([]string{"req", "-x509", "-nodes", "-subj", "/CN=odd", "-keyout", key, "-out", cert, "-newkey"}, algorithm...)
			testtool.Run(t, "openssl", args...)
			var data []byte
			for _, file := range []string{key, cert} {
				part, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				data = append(data, part...)
			}
			c := importFile(t, "odd", data, withPassword("secret"))
			if info := c.Describe()[0]; info.Usable && name != "Ed448" || c.Visibility() != trustkeep.Private || c.NotAfter().IsZero() {
				t.Errorf("%v: %+v", c, info)
			}
			_, err := keystore.IdentityOf(c, trustkeep.Password("secret"))
			wantError(t, err, trustkeep.ErrUnsupported)
			_, err = keystore.IdentityOf(c, trustkeep.Password("wrong"))
			wantError(t, err, trustkeep.ErrIncorrectPassword)
			_, exported, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("export"), component.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			again := importFile(t, "odd", exported, withPassword("export"))
			if again.Fingerprint() != c.Fingerprint() {
				t.Errorf("%v", again)
			}
			if _, err := component.Restore(c.State(), keystore.ComponentKind()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestManyCertificatesEndSoon: a file full of certificates that could all be issuers of
// each other costs no more than a store of them.
func TestManyCertificatesEndSoon(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	one := pki.Issue(testpki.Request{CommonName: "One", CA: true, SelfSigned: true})
	two := pki.Issue(testpki.Request{CommonName: "Two", CA: true, SelfSigned: true})
	id := pki.Issue(testpki.Request{CommonName: "a.example", Issuer: one})
	same := func(c *x509.Certificate) { c.SubjectKeyId, c.AuthorityKeyId = []byte("same"), []byte("same") }
	var data []byte
	for range testtool.Rounds(150, 1000) {
		data = append(data, pemOf(pki.Issue(testpki.Request{CommonName: "One", CA: true, Issuer: two, KeyOf: id, Edit: same}).Cert,
			pki.Issue(testpki.Request{CommonName: "Two", CA: true, Issuer: one, KeyOf: id, Edit: same}).Cert)...)
	}
	tests := map[string][]byte{"certificates": data, "with a key": append(append(id.KeyPEM(), pemOf(id.Cert)...), data...)}
	for about, data := range tests {
		start := testcpu.Used()
		_, err := importComponent(t.Context(), "a", data, withPassword("secret"))
		t.Logf("%s: %d KiB, %s, %v", about, len(data)>>10, testcpu.Since(start), err)
		if took := testcpu.Since(start); took > 10*time.Second { // a second on a machine of its own
			t.Errorf("%s took %s", about, took)
		}
	}
}

func FuzzImportComponent(f *testing.F) {
	pki := testpki.New(f, testpki.Options{Seed: "components", Now: noon})
	id := pki.Server("a.example")
	f.Add(id.DER)
	f.Add(id.ChainPEM())
	f.Add(append(id.KeyPEM(), id.ChainPEM()...))
	f.Add(pki.NegativeSerial("a.example").DER)
	f.Add(append(pki.Server("b.example").KeyPEM(), id.DER...))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := withPassword("secret")
		c, err := importComponent(t.Context(), "a", data, o)
		if err != nil {
			if c != nil || !isTyped(err) && !errors.Is(err, trustkeep.ErrEmpty) {
				t.Errorf("%v, %v", c, err)
			}
			return
		}
		r, err := component.Restore(c.State(), keystore.ComponentKind())
		if err != nil || r.String() != c.String() {
			t.Fatalf("not restored: %v, %v", r, err)
		}
		if c.Visibility() == trustkeep.Public {
			return
		}
		usable := c.Describe()[0].Usable // or a certificate that crypto/x509 refuses
		if _, err := keystore.IdentityOf(r, o.Password); err != nil && !errors.Is(err, trustkeep.ErrUnsupported) && (usable || !errors.Is(err, trustkeep.ErrCorrupt)) {
			t.Errorf("does not open: %v", err)
		}
		if _, _, err := r.ExportPrivate(o.Password, trustkeep.Password("x"), component.ExportOptions{}); err != nil {
			t.Errorf("is not exported: %v", err)
		}
	})
}
