package audit_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	keystorego "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// A password that everybody knows is found also where it opens a key that is of no use, for
// want of its certificate.
func TestKnownPasswordOfUnusableKey(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: now})
	id, other := pki.Client("a"), pki.Client("b")
	der, err := x509.MarshalPKCS8PrivateKey(id.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, chain := range map[string][]keystorego.Certificate{
		"certificate of another key": {{Type: "X509", Content: other.Cert.Raw}},
		"no certificate":             nil,
	} {
		for password, known := range map[string]bool{"changeit": true, "nobody knows it": false} {
			jks := keystorego.New(keystorego.WithOrderedAliases())
			if err := jks.SetPrivateKeyEntry("a", keystorego.PrivateKeyEntry{CreationTime: now, PrivateKey: der, CertificateChain: chain}, []byte(password)); err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := jks.Store(&file, []byte(strongText)); err != nil {
				t.Fatal(err)
			}
			ks, err := keystore.Parse(file.Bytes(), strong)
			if err != nil {
				t.Fatal(err)
			}
			report := options.Run(audit.Target{Keystore: ks})
			if found := report.With(audit.DefaultPassword); (len(found) == 1) != known {
				t.Errorf("%s, %q:\n%s", name, password, report)
			}
			if found := report.With(audit.KeyMismatch); (len(found) == 1) != (known && chain != nil) {
				t.Errorf("%s, %q: the certificate is for another key:\n%s", name, password, report)
			}
			if found := report.With(audit.KeyPasswordDiffers); len(found) != 1 {
				t.Errorf("%s, %q: a password of its own is not reported:\n%s", name, password, report)
			}
		}
	}
}

// Where the store was opened without its password nobody can say that a key's differs.
func TestKeysOfUncheckedStore(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: now})
	for password, known := range map[string]bool{"changeit": true, strongText: false} {
		data, err := opened(t, trustkeep.JKS, trustkeep.Password(password), one(pki.Client("a"))).Encode(trustkeep.SaveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ks, err := keystore.Parse(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		report := options.Run(audit.Target{Keystore: ks})
		if len(report.With(audit.NoIntegrity)) != 1 || (len(report.With(audit.DefaultPassword)) == 1) != known {
			t.Errorf("%q:\n%s", password, report)
		}
		if found := report.With(audit.KeyPasswordDiffers); len(found) != 0 {
			t.Errorf("%q: %v", password, found)
		}
	}
}
