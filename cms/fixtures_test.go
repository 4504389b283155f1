package cms_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/truststore"
)

// fixture returns a file of testdata, which README.md there describes.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fixtures returns the files whose names match, of which there must be some.
func fixtures(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixture %s: %v", pattern, err)
	}
	files := make(map[string][]byte)
	for _, path := range paths {
		files[filepath.Base(path)] = fixture(t, filepath.Base(path))
	}
	return files
}

// fixtureIdentity is an Identity of testdata.
func fixtureIdentity(t testing.TB, name string) trustkeep.Identity {
	t.Helper()
	cert, err := tls.X509KeyPair(fixture(t, name+".crt"), fixture(t, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return cms.IdentityFunc(func() (*tls.Certificate, error) { return &cert, nil })
}

func fixtureTrust(t testing.TB) *truststore.Truststore {
	t.Helper()
	trust := truststore.New()
	for _, name := range []string{"rsa", "ec"} {
		cert, err := fixtureIdentity(t, name).TLSCertificate()
		if err != nil {
			t.Fatal(err)
		}
		trust = truststore.New(append(trust.Certificates(), cert.Leaf)...)
	}
	return trust
}

func fixtureStamps(t testing.TB) *truststore.Truststore {
	t.Helper()
	block, _ := pem.Decode(fixture(t, "tsa.crt"))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return truststore.New(c)
}

func TestFixtures(t *testing.T) {
	content := fixture(t, "content.txt")
	rsa, ec, trust := fixtureIdentity(t, "rsa"), fixtureIdentity(t, "ec"), fixtureTrust(t)
	for name, message := range fixtures(t, "sealed-*.der") {
		got, err := cms.Open(message, rsa, ec)
		if name == "sealed-password.der" {
			var none *cms.NoRecipientError
			if !errors.As(err, &none) || none.Unsupported != 1 {
				t.Errorf("%s: %v", name, err)
			}
			got, err = cms.OpenOptions{Passwords: passwords("secret")}.Open(message)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, message := range fixtures(t, "signed*.der") {
		got, err := cms.Verify(message, trust)
		if err != nil || !bytes.Equal(got.Content, content) || (len(got.Signers) == 2) != strings.Contains(name, "two") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, message := range fixtures(t, "detached.*") {
		if got, err := cms.VerifyDetached(message, bytes.NewReader(content), trust); err != nil || len(got.Signers) != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	o := cms.VerifyOptions{Trust: trust, TimeStampTrust: fixtureStamps(t)}
	if got, err := o.Verify(fixture(t, "stamped.der")); err != nil || got.Signers[0].TimeStamp == nil || got.Signers[0].TimeStamp.Policy != "1.2.3.4" || got.Signers[0].TimeStamp.Serial.Int64() != 2 {
		t.Errorf("stamped: %+v, %v", got, err)
	}
	// Certificates alone are nobody's signature.
	if got, err := cms.VerifyDetached(fixture(t, "certificates.p7b"), bytes.NewReader(content), trust); !errors.Is(err, trustkeep.ErrEmpty) || got != nil {
		t.Errorf("certificates: %+v, %v", got, err)
	}
}
