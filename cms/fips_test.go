package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// GCM under the nonce that the module draws, and CBC, are sealed and opened.
func TestSealUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	person := person{testpki.New(t, testpki.Options{}).Issue(testpki.Request{Names: []string{"a@example.com"}})}
	for _, cipher := range []cms.Cipher{cms.AES128CBC, cms.AES256CBC, cms.AES128GCM, cms.AES256GCM} {
		content := random(100_001)
		sealed, err := cms.SealOptions{Cipher: cipher}.Seal(content, person.Cert)
		if err != nil {
			t.Errorf("%v: %v", cipher, err)
			continue
		}
		opened, err := cms.Open(sealed, person)
		if err != nil || !bytes.Equal(opened, content) {
			t.Errorf("%v: %v", cipher, err)
		}
	}
	if _, err := (cms.SealOptions{Cipher: cms.TripleDESCBC}).Seal(nil, person.Cert); !errors.Is(err, trustkeep.ErrUnsupported) ||
		!strings.Contains(err.Error(), "3DES is not approved while GODEBUG=fips140=only") {
		t.Errorf("3DES: %v", err)
	}
}

// Each algorithm that is not approved is refused by name, to write and to read, and nothing
// panics.
func TestUnapprovedUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	pki := testpki.New(t, testpki.Options{})
	issue := func(kind testpki.KeyType) person {
		return person{pki.Issue(testpki.Request{Names: []string{"a@example.com"}, KeyType: kind, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})}
	}
	rsa, ec, ed := issue(testpki.RSA2048), issue(testpki.P256), issue(testpki.Ed25519)
	trust, content := truststore.New(pki.Root.Cert), []byte("content")
	refused := func(what, algorithm string, err error) {
		t.Helper()
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), algorithm) || !strings.Contains(err.Error(), "fips140=only") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What is approved.
	if got, err := cms.Open(must(cms.SealOptions{KeyTransport: cms.OAEPSHA256}.Seal(content, rsa.Cert, ec.Cert)), rsa); err != nil || !bytes.Equal(got, content) {
		t.Errorf("OAEP: %v", err)
	}
	if got, err := cms.Unprotect(must(cms.Protect(content, rsa, ec)), ec); err != nil || !bytes.Equal(got, content) {
		t.Errorf("protected: %v", err)
	}
	for _, o := range []cms.SignOptions{{}, {PSS: true, Hash: crypto.SHA384}} {
		for _, id := range []person{rsa, ec, ed} {
			if _, err := cms.Verify(must(o.Sign(content, id)), trust); err != nil {
				t.Errorf("%+v, %v: %v", o, id.Cert.PublicKeyAlgorithm, err)
			}
		}
	}
	key := must(cms.NewSharedKey([]byte("id"), make([]byte, 32)))
	by := cms.SealOptions{Passwords: passwords("a password"), SharedKeys: []*cms.SharedKey{key}}
	for _, o := range []cms.OpenOptions{{Passwords: by.Passwords}, {SharedKeys: by.SharedKeys}} {
		if got, err := o.Open(must(by.Seal(content))); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if got, err := cms.Decompress(must(cms.Compress(content))); err != nil || !bytes.Equal(got, content) {
		t.Errorf("compressed: %v", err)
	}
	stamped := cms.VerifyOptions{Trust: fixtureTrust(t), TimeStampTrust: fixtureStamps(t)}
	if got, err := stamped.Verify(fixture(t, "stamped.der")); err != nil || got.Signers[0].TimeStamp == nil {
		t.Errorf("time stamp: %v", err)
	}
	authority := newTSA(t, pki, nil)
	authority.edit = func(s *stamp) {
		s.certificates = append(s.certificates, pki.Intermediate.DER)
		s.attributes = [][]byte{attributeDER(t, signingCertificate, certID(make([]byte, 20)))}
	}
	_, err := cms.SignOptions{TimeStamp: authority.reply}.Sign(content, ec)
	refused("ESSCertID", "SHA-1", err)

	// What is not, to write.
	_, err = cms.Seal(content, rsa.Cert)
	refused("PKCS #1 v1.5", "KeyTransport", err)
	_, err = cms.SealOptions{KeyTransport: cms.OAEPSHA1}.Seal(content, rsa.Cert)
	refused("OAEP with SHA-1", "SHA-1", err)
	_, err = cms.SignOptions{Hash: crypto.SHA1}.Sign(content, rsa)
	refused("signature over SHA-1", "SHA-1", err)
	curve, err := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	if err == nil {
		_ = curve
		t.Error("X25519 became approved: test it")
	}
	x := must(x509.ParseCertificate(withPublicKey(t, ec.Cert, pki.Intermediate, spki(oidDER(t, "1.3.101.110"), nil, append(make([]byte, 31), 9)))))
	_, err = cms.Seal(content, x)
	if !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("X25519: %v", err)
	}

	// And to read.
	own, ownEC := fixtureIdentity(t, "rsa"), fixtureIdentity(t, "ec")
	for name, algorithm := range map[string]string{
		"sealed-aes256.der": "PKCS #1 v1.5", "sealed-oaep.der": "SHA-1", "sealed-oaep-sha256-mgf1-sha1.der": "SHA-1", "sealed-des3.der": "",
	} {
		_, err := cms.Open(fixture(t, name), own)
		refused(name, algorithm, err)
	}
	if _, err := cms.Open(fixture(t, "sealed-ecdh.der"), ownEC); err != nil {
		refused("sealed-ecdh.der", "SHA-1", err) // the derivation of older versions of openssl
	}
	_, err = cms.OpenOptions{Passwords: passwords("secret")}.Open(fixture(t, "sealed-password.der"))
	refused("password", "PBKDF2", err)
}
