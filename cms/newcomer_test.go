package cms_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// What surrounds a message is named, instead of being called corrupt.
func TestEncodedMessagesAreNamed(t *testing.T) {
	p := newPeople(t)
	sealed, err := cms.Seal([]byte("content"), p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(sealed)
	var lines strings.Builder
	for rest := text; rest != ""; rest = rest[min(64, len(rest)):] {
		lines.WriteString(rest[:min(64, len(rest))] + "\r\n")
	}
	for name, test := range map[string]struct{ message, want string }{
		"base64":          {text, "base64"},
		"base64 in lines": {lines.String(), "base64"},
		"MIME":            {"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines.String(), "MIME"},
		"an e-mail":       {"Received: from a.example\n\nMII\n", "MIME"},
	} {
		for way, read := range reading(p) {
			if err := read([]byte(test.message)); !errors.Is(err, trustkeep.ErrUnsupported) ||
				!strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "decode it first") {
				t.Errorf("%s by %s: %v", name, way, err)
			}
		}
	}
	for _, message := range []string{"MI", "MIME", "", ":", "hello world", "MII\x00 and what follows it", "a b: c"} {
		for way, read := range reading(p) {
			if err := read([]byte(message)); err == nil || !typed(err) {
				t.Errorf("%q by %s: %v", message, way, err)
			}
		}
	}
}

// A certificate that was issued for TLS is refused with the option that accepts it.
func TestWrongUsageNamesAnyPurpose(t *testing.T) {
	p := newPeople(t)
	request := p.request("tls@example.com", testpki.P256)
	request.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	id := person{p.Issue(request)}
	message, err := cms.Sign([]byte("content"), id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cms.Verify(message, p.trust)
	var refused *truststore.VerifyError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "VerifyOptions.AnyPurpose") {
		t.Errorf("%v", err)
	}
	if _, err := (cms.VerifyOptions{Trust: p.trust, AnyPurpose: true}).Verify(message); err != nil {
		t.Error(err)
	}
	if message, err = cms.Sign([]byte("content"), p.p256); err != nil {
		t.Fatal(err)
	}
	_, err = cms.Verify(message, newPeople(t).trust)
	if err == nil || strings.Contains(err.Error(), "AnyPurpose") {
		t.Errorf("a stranger: %v", err)
	}
}

// A certificate that crypto/x509 does not read is named with its curve.
func TestBrainpoolIsNamed(t *testing.T) {
	p := newPeople(t)
	brainpool := spki(oidDER(t, "1.2.840.10045.2.1"), berio.TLV(berio.OID, oidDER(t, "1.3.36.3.3.2.8.1.1.7")), append([]byte{4}, make([]byte, 64)...))
	for _, keyIDs := range []bool{false, true} {
		message, err := cms.SignOptions{Include: cms.LeafOnly, KeyIDs: keyIDs}.Sign([]byte("content"), p.p256)
		if err != nil {
			t.Fatal(err)
		}
		der := withPublicKey(t, p.p256.Cert, p.Intermediate, brainpool)
		if _, err := x509.ParseCertificate(der); err == nil {
			t.Fatal("crypto/x509 reads brainpool")
		}
		message = withCertificates(t, message, der)
		_, err = cms.Verify(message, truststore.New(p.Root.Cert))
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "brainpoolP256r1") || !typed(err) {
			t.Errorf("key IDs %v: %v", keyIDs, err)
		}
	}
	// The issuer of the signer has such a key.
	message, err := cms.Sign([]byte("content"), p.p256)
	if err != nil {
		t.Fatal(err)
	}
	issuer := withPublicKey(t, p.Intermediate.Cert, p.Root, brainpool)
	_, err = cms.Verify(withCertificates(t, message, p.p256.DER, issuer), truststore.New(p.Root.Cert))
	var refused *truststore.VerifyError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "brainpoolP256r1") || !typed(err) {
		t.Errorf("issuer: %v", err)
	}
}

// withCertificates is a signed message in DER with other certificates.
func withCertificates(t testing.TB, message []byte, certificates ...[]byte) []byte {
	t.Helper()
	info := children(t, message)
	fields := children(t, children(t, info[1])[0])
	fields[3] = berio.SetOf(0xa0, certificates...)
	return berio.TLV(berio.Sequence, info[0], berio.TLV(0xa0, berio.TLV(berio.Sequence, fields...)))
}
