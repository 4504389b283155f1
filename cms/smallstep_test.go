package cms_test

import (
	"bytes"
	"crypto/x509"
	"io"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/trustkeep/trustkeep/cms"
)

// The library that most Go programs use reads what is written here, and the
// other way round. It has its algorithms in package variables, which these tests
// must leave as they are; so only its own DES-CBC would come out of Encrypt and
// the variable is set for one test.
func TestInteropSmallstep(t *testing.T) {
	p := newPeople(t)
	content := random(100_000)
	t.Log("github.com/smallstep/pkcs7, in this process")

	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES128CBC, cms.TripleDESCBC} {
		for _, transport := range transports {
			o := cms.SealOptions{Cipher: cipher, KeyTransport: transport}
			der, err := o.Seal(content, p.rsa2.Cert, p.rsa.Cert)
			if err != nil {
				t.Fatal(err)
			}
			ber := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, p.rsa2.Cert, p.rsa.Cert) })
			for form, message := range map[string][]byte{"DER": der, "BER": ber} {
				parsed, err := pkcs7.Parse(message)
				if err != nil {
					t.Fatal(err)
				}
				got, err := parsed.Decrypt(p.rsa.Cert, p.rsa.Key)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %v, %s: smallstep: %v", cipher, transport, form, err)
				}
			}
			t.Logf("smallstep opens %v, %v: DER and BER", cipher, transport)
		}
	}

	before := pkcs7.ContentEncryptionAlgorithm
	defer func() { pkcs7.ContentEncryptionAlgorithm = before }()
	for name, algorithm := range map[cms.Cipher]int{cms.AES256CBC: pkcs7.EncryptionAlgorithmAES256CBC, cms.AES128CBC: pkcs7.EncryptionAlgorithmAES128CBC} {
		pkcs7.ContentEncryptionAlgorithm = algorithm
		message, err := pkcs7.Encrypt(content, []*x509.Certificate{p.rsa2.Cert, p.rsa.Cert})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cms.Open(message, p.rsa); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v of smallstep: %v", name, err)
		}
		t.Logf("we open smallstep's %v", name)
	}

	for _, name := range []string{"rsa", "p256", "p384"} {
		id := p.pick(name)[0]
		der, err := cms.Sign(content, id)
		if err != nil {
			t.Fatal(err)
		}
		ber := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return cms.SignOptions{}.Writer(w, id) })
		for form, message := range map[string][]byte{"DER": der, "BER": ber} {
			parsed, err := pkcs7.Parse(message)
			if err != nil {
				t.Fatal(err)
			}
			if err := parsed.VerifyWithChain(p.Roots()); err != nil || !bytes.Equal(parsed.Content, content) {
				t.Errorf("%s, %s: smallstep: %v", name, form, err)
			}
		}
		for _, detached := range []bool{false, true} {
			message := smallstepSign(t, content, id, detached)
			var got *cms.Verified
			var err error
			if detached {
				got, err = cms.VerifyDetached(message, bytes.NewReader(content), p.trust)
			} else {
				got, err = cms.Verify(message, p.trust)
			}
			if err != nil || !got.Signers[0].Certificate.Equal(id.Cert) {
				t.Errorf("%s of smallstep, detached %v: %v", name, detached, err)
			}
		}
		t.Logf("smallstep verifies ours and we verify smallstep's: %s", name)
	}
}

func smallstepSign(t testing.TB, content []byte, id person, detached bool) []byte {
	t.Helper()
	s, err := pkcs7.NewSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	s.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := s.AddSignerChain(id.Cert, id.Key, id.Chain[1:], pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	if detached {
		s.Detach()
	}
	message, err := s.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return message
}
