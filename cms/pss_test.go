package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

// withPublicKey is a certificate with another SubjectPublicKeyInfo, signed anew by its issuer.
func withPublicKey(t testing.TB, c *x509.Certificate, issuer *testpki.Identity, spki []byte) []byte {
	t.Helper()
	parts := children(t, c.Raw)
	fields := children(t, parts[0])
	fields[6] = spki
	tbs := berio.TLV(berio.Sequence, fields...)
	sum := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, issuer.Key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return berio.TLV(berio.Sequence, tbs, parts[1], berio.TLV(berio.BitString, []byte{0}, signature))
}

// spki is a SubjectPublicKeyInfo.
func spki(algorithm, params, key []byte) []byte {
	return berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.OID, algorithm), params),
		berio.TLV(berio.BitString, []byte{0}, key))
}

func oidDER(t testing.TB, text string) []byte {
	t.Helper()
	id, err := x509.ParseOID(text)
	if err != nil {
		t.Fatal(err)
	}
	der, err := id.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// pssParams are RSASSA-PSS-params (RFC 4055 section 3.1).
func pssParams(t testing.TB, hash string, salt int64) []byte {
	h := berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, hash)), []byte{5, 0})
	return berio.TLV(berio.Sequence,
		berio.TLV(0xa0, h),
		berio.TLV(0xa1, berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, "1.2.840.113549.1.1.8")), h)),
		berio.TLV(0xa2, berio.TLV(berio.Integer, append([]byte{0}, big.NewInt(salt).Bytes()...)[btoi(salt < 128):])))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

const (
	oidSHA256 = "2.16.840.1.101.3.4.2.1"
	oidSHA512 = "2.16.840.1.101.3.4.2.3"
)

// pssPerson has an RSA key that its certificate reserves for RSASSA-PSS.
func pssPerson(t testing.TB, p *people, params []byte) (trustkeep.Identity, *x509.Certificate) {
	t.Helper()
	who := p.person("pss@example.com", testpki.RSA2048)
	der := withPublicKey(t, who.Cert, p.Intermediate, spki(oidDER(t, "1.2.840.113549.1.1.10"), params,
		x509.MarshalPKCS1PublicKey(who.Key.Public().(*rsa.PublicKey))))
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pair := &tls.Certificate{Certificate: [][]byte{der, p.Intermediate.DER}, PrivateKey: who.Key}
	return cms.IdentityFunc(func() (*tls.Certificate, error) { return pair, nil }), c
}

// Keys whose certificates are for RSASSA-PSS alone sign so, as their certificates bind them.
func TestPSSCertificates(t *testing.T) {
	if fips.Enabled() {
		t.Skip("truststore refuses such keys in FIPS 140-3 mode, as crypto/tls does")
	}
	p := newPeople(t)
	content := []byte("content")
	for name, test := range map[string]struct {
		params []byte
		o      cms.SignOptions
		hash   crypto.Hash
		err    error
	}{
		"unbound":              {nil, cms.SignOptions{}, crypto.SHA256, nil},
		"unbound, SHA-384":     {nil, cms.SignOptions{Hash: crypto.SHA384}, crypto.SHA384, nil},
		"bound":                {pssParams(t, oidSHA256, 32), cms.SignOptions{}, crypto.SHA256, nil},
		"bound to SHA-512":     {pssParams(t, oidSHA512, 20), cms.SignOptions{PSS: true}, crypto.SHA512, nil},
		"long salt":            {pssParams(t, oidSHA256, 130), cms.SignOptions{}, crypto.SHA256, nil},
		"salt longer than key": {pssParams(t, oidSHA256, 1000), cms.SignOptions{}, 0, nil},
		"another hash":         {pssParams(t, oidSHA256, 32), cms.SignOptions{Hash: crypto.SHA512}, 0, trustkeep.ErrUnsupported},
	} {
		id, c := pssPerson(t, p, test.params)
		message, err := test.o.Sign(content, id)
		if test.hash == 0 {
			if err == nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("%s: signed, %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := cms.Verify(message, p.trust)
		if err != nil || got.Signers[0].Hash != test.hash || !got.Signers[0].Certificate.Equal(c) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := cms.Verify(message, truststore.New(c)); err != nil || len(got.Signers) != 1 {
			t.Errorf("%s, trusted itself: %v", name, err)
		}
		for i := range message {
			if name != "bound" && i%17 != 0 {
				continue
			}
			changed := bytes.Clone(message)
			changed[i] ^= 1
			if v, err := cms.Verify(changed, p.trust); err == nil && !bytes.Equal(v.Content, content) || err != nil && !typed(err) {
				t.Fatalf("%s: octet %d changed: %v", name, i, err)
			}
		}
	}
	// The key of a PSS certificate, used as its certificate forbids.
	_, bound := pssPerson(t, p, pssParams(t, oidSHA256, 32))
	who := p.person("free@example.com", testpki.RSA2048)
	free := who.Cert
	for name, o := range map[string]cms.SignOptions{"PKCS #1 v1.5": {}, "SHA-512": {PSS: true, Hash: crypto.SHA512}} {
		der := withPublicKey(t, free, p.Intermediate, spki(oidDER(t, "1.2.840.113549.1.1.10"), pssParams(t, oidSHA256, 32),
			x509.MarshalPKCS1PublicKey(who.Key.Public().(*rsa.PublicKey))))
		forged, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cms.VerifyOptions{Trust: truststore.New(forged), Certificates: []*x509.Certificate{forged}}.Verify(
			must(cms.SignOptions{Include: cms.NoCertificates, PSS: o.PSS, Hash: o.Hash}.Sign(content, who)))
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "PSS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cms.Seal(content, bound); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "RSA-PSS") {
		t.Errorf("sealed for a key that only signs: %v", err)
	}
}

// A policy of the truststore sees keys that crypto/x509 leaves out of a certificate.
func TestPolicyOnPSSCertificates(t *testing.T) {
	if fips.Enabled() {
		t.Skip("truststore refuses such keys in FIPS 140-3 mode, as crypto/tls does")
	}
	p := newPeople(t)
	for _, params := range [][]byte{nil, pssParams(t, oidSHA256, 32)} {
		_, c := pssPerson(t, p, params)
		for bits, want := range map[int]bool{0: true, 2048: true, 2049: false, 3072: false} {
			o := truststore.VerifyOptions{Purpose: truststore.Email, Intermediates: []*x509.Certificate{p.Intermediate.Cert}, Policy: truststore.Policy{MinRSABits: bits}}
			_, err := p.trust.Verify([]*x509.Certificate{c}, o)
			var refused *truststore.VerifyError
			if (err == nil) != want || err != nil && (!errors.As(err, &refused) || refused.Reason.Code != truststore.CodeWeakKey) {
				t.Errorf("at least %d bits: %v", bits, err)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestInteropOpenSSLPSSCertificates(t *testing.T) {
	p := newPeople(t)
	ssl := newOpenSSL(t, p)
	content := random(10_000)
	for i, opts := range [][]string{
		nil,
		{"-pkeyopt", "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256", "-pkeyopt", "rsa_pss_keygen_saltlen:32"},
		{"-pkeyopt", "rsa_pss_keygen_md:sha384", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha384", "-pkeyopt", "rsa_pss_keygen_saltlen:20"},
	} {
		dir := t.TempDir()
		key, cert := dir+"/key.pem", dir+"/cert.pem"
		testtool.Run(t, "openssl", append([]string{"genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key}, opts...)...)
		testtool.Run(t, "openssl", "req", "-x509", "-new", "-key", key, "-out", cert, "-subj", fmt.Sprintf("/CN=pss%d", i),
			"-addext", "keyUsage=digitalSignature", "-addext", "extendedKeyUsage=emailProtection")
		block, _ := pem.Decode(readFile(t, cert))
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		trust := truststore.New(c)
		theirs, err := ssl.cms(content, "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", cert, "-inkey", key,
			"-md", []string{"sha256", "sha256", "sha384"}[i], "-keyopt", "rsa_padding_mode:pss")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cms.Verify(theirs, trust); err != nil || !bytes.Equal(got.Content, content) {
			t.Errorf("%v: %v", opts, err)
		}
		// The bare key in its PKCS #8 wrapping with another algorithm.
		block, _ = pem.Decode(readFile(t, key))
		private, err := x509.ParsePKCS1PrivateKey(value(t, children(t, block.Bytes)[2]))
		if err != nil {
			t.Fatal(err)
		}
		id := cms.IdentityFunc(func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: private}, nil
		})
		ours, err := cms.Sign(content, id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ssl.cms(ours, "-verify", "-binary", "-inform", "DER", "-CAfile", cert, "-purpose", "any"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v: openssl: %v", opts, err)
		}
		changed := slices.Clone(ours)
		changed[len(changed)-1] ^= 1
		if _, err := ssl.cms(changed, "-verify", "-binary", "-inform", "DER", "-CAfile", cert, "-purpose", "any"); err == nil {
			t.Error("openssl does not notice a change")
		}
		t.Logf("RSASSA-PSS key %v: both ways", opts)
	}
}
