package cms_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestCertificatesOnly(t *testing.T) {
	p := newPeople(t)
	_, pss := pssPerson(t, p, nil)
	want := []*x509.Certificate{p.rsa.Cert, p.ed.Cert, p.Root.Cert, pss}
	message, err := cms.MarshalCertificates(append(want, p.rsa.Cert)...)
	if err != nil {
		t.Fatal(err)
	}
	for form, m := range map[string][]byte{"DER": message, "PEM": pemOf(message)} {
		got, err := cms.ParseCertificates(m)
		if err != nil || !sameCertificates(got, want) {
			t.Errorf("%s: %d certificates, %v", form, len(got), err)
		}
	}
	if store, err := truststore.Parse(message, nil); err != nil || store.Len() != 4 {
		t.Errorf("as a truststore: %v", err)
	}
	if _, err := cms.VerifyDetached(message, strings.NewReader("content"), p.trust); !errors.Is(err, trustkeep.ErrEmpty) || !strings.Contains(err.Error(), "ParseCertificates") {
		t.Errorf("verified: %v", err)
	}
	content := []byte("content")
	brainpool := withPublicKey(t, p.p256.Cert, p.Intermediate, spki(oidDER(t, "1.2.840.10045.2.1"), berio.TLV(berio.OID, oidDER(t, "1.3.36.3.3.2.8.1.1.7")), append([]byte{4}, make([]byte, 64)...)))
	for name, test := range map[string]struct {
		message []byte
		err     error
	}{
		"signed":    {must(cms.Sign(content, p.rsa)), trustkeep.ErrUnsupported},
		"detached":  {must(cms.SignDetached(bytes.NewReader(content), p.rsa)), trustkeep.ErrUnsupported},
		"sealed":    {must(cms.Seal(content, p.rsa.Cert)), trustkeep.ErrUnsupported},
		"brainpool": {withCertificates(t, message, p.rsa.DER, brainpool), trustkeep.ErrUnsupported},
		"none":      {withCertificates(t, message), trustkeep.ErrEmpty},
		"a byte":    {append(bytes.Clone(message), 0), trustkeep.ErrCorrupt},
		"base64":    {[]byte("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"), trustkeep.ErrUnsupported},
	} {
		if got, err := cms.ParseCertificates(test.message); !errors.Is(err, test.err) || got != nil || !typed(err) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
	for n := range message {
		if got, err := cms.ParseCertificates(message[:n]); err == nil || got != nil || !typed(err) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		changed := bytes.Clone(message)
		changed[n] ^= 1 << (n % 8)
		if _, err := cms.ParseCertificates(changed); err != nil && !typed(err) {
			t.Fatalf("octet %d changed: %v", n, err)
		}
	}
	if _, err := cms.MarshalCertificates(); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("no certificate: %v", err)
	}
	for _, c := range []*x509.Certificate{nil, {}} {
		if _, err := cms.MarshalCertificates(p.rsa.Cert, c); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("nil: %v", err)
		}
	}
}

// sameCertificates compares without regard to order.
func sameCertificates(a, b []*x509.Certificate) bool {
	seen := make(map[string]int)
	for _, c := range a {
		seen[string(c.Raw)]++
	}
	for _, c := range b {
		seen[string(c.Raw)]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestInteropOpenSSLCertificatesOnly(t *testing.T) {
	p := newPeople(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []*x509.Certificate{p.rsa.Cert, p.Intermediate.Cert, p.Root.Cert}
	write("ours.p7c", must(cms.MarshalCertificates(want...)))
	out := testtool.Output(t, "openssl", "pkcs7", "-inform", "DER", "-in", path("ours.p7c"), "-print_certs")
	for _, c := range want {
		if !strings.Contains(out, strings.TrimSpace(string(certPEM(c)))) {
			t.Errorf("openssl does not find %v", c.Subject)
		}
	}
	write("chain.pem", p.rsa.ChainPEM())
	for _, form := range []string{"DER", "PEM"} {
		testtool.Run(t, "openssl", "crl2pkcs7", "-nocrl", "-certfile", path("chain.pem"), "-outform", form, "-out", path("theirs.p7c"))
		if got, err := cms.ParseCertificates(readFile(t, path("theirs.p7c"))); err != nil || !sameCertificates(got, want) {
			t.Errorf("%s: %d certificates, %v", form, len(got), err)
		}
	}
}
