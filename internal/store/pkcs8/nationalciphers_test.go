package pkcs8

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// nationalCiphers are Camellia, ARIA and SEED as openssl names them. Each has a fixture
// written by openssl, so reading needs no tool.
var nationalCiphers = map[string]pbe.Cipher{
	"camellia-128-cbc": pbe.Camellia128CBC, "camellia-192-cbc": pbe.Camellia192CBC, "camellia-256-cbc": pbe.Camellia256CBC,
	"aria-128-cbc": pbe.ARIA128CBC, "aria-192-cbc": pbe.ARIA192CBC, "aria-256-cbc": pbe.ARIA256CBC,
	"seed-cbc": pbe.SEEDCBC,
}

// OpenSSL reads what is encrypted here by Camellia, ARIA and SEED, and what it then
// encrypts anew is read here.
func TestInteropNationalCiphers(t *testing.T) {
	folder := testtool.NewFolder(t, "openssl")
	plain := fixtures(t)["plain"]
	for name, cipher := range nationalCiphers {
		algorithm, ciphertext, err := pbe.Params{KDF: pbe.PBKDF2, Hash: crypto.SHA256, Iterations: 2048, Cipher: cipher}.Seal(plain, []byte("päss"), bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := Marshal(algorithm, ciphertext)
		if err != nil {
			t.Fatal(err)
		}
		folder.Write(name, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealed}))
		folder.Run("openssl", "pkcs8", "-in", name, "-passin", "pass:päss", "-provider", "legacy", "-provider", "default",
			"-topk8", "-nocrypt", "-outform", "DER", "-out", "plain.der")
		if !bytes.Equal(folder.Read("plain.der"), plain) {
			t.Errorf("%s: openssl reads another key", name)
		}
		folder.Run("openssl", "pkcs8", "-inform", "DER", "-in", "plain.der", "-topk8", "-v2", name, "-passout", "pass:other",
			"-provider", "legacy", "-provider", "default", "-outform", "DER", "-out", "again.der")
		key, err := NewKey(folder.Read("again.der"), limits.New(trustkeep.Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Open([]byte("other")); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: of openssl: %v", name, err)
		}
	}
}

// Each is refused by name where FIPS 140-3 is enforced.
func TestNationalCiphersUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	for name, cipher := range nationalCiphers {
		der, err := os.ReadFile("testdata/encrypted/pbes2-" + name + ".der")
		if err != nil {
			t.Fatal(err)
		}
		key, err := NewKey(der, limits.New(trustkeep.Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = key.Open([]byte("päss"))
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "fips140=only") {
			t.Errorf("%s: %v", name, err)
		}
		_, _, err = pbe.Params{KDF: pbe.PBKDF2, Hash: crypto.SHA256, Iterations: 2048, Cipher: cipher}.Seal([]byte("0"), []byte("long enough"), bytes.NewReader(make([]byte, 64)))
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(strings.ToLower(err.Error()), name) {
			t.Errorf("%s: sealed: %v", name, err)
		}
	}
}
