package pkcs8

import (
	"bytes"
	"crypto"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

const fixturePassword = "päss"

func newBudget() *limits.Budget { return limits.New(trustkeep.Limits{}) }

// fixtures returns the files of testdata/encrypted by name.
func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/encrypted/*.der")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures (%v)", err)
	}
	all := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".der")] = b
	}
	return all
}

func TestOpenWhatOpenSSLWrote(t *testing.T) {
	all := fixtures(t)
	plain := all["plain"]
	for name, der := range all {
		got, err := Open(der, []byte(fixturePassword), newBudget())
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		if name == "plain" {
			continue
		}
		for _, wrong := range [][]byte{nil, {}, []byte("pass"), []byte(fixturePassword + "x")} {
			if _, err := Open(der, wrong, newBudget()); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
				t.Errorf("%s: password %q: %v", name, wrong, err)
			}
		}
	}
}

func TestScheme(t *testing.T) {
	all := fixtures(t)
	for name, want := range map[string]string{
		"PBE-MD5-DES":          "PBES1 DES-CBC PBKDF1-MD5 2048",
		"PBE-SHA1-2DES":        "PBES1 2-key-3DES-CBC PKCS12-SHA1 2048",
		"PBE-SHA1-RC4-40":      "PBES1 RC4-40 PKCS12-SHA1 2048",
		"pbes2-hmacSHA1":       "PBES2 AES-256-CBC PBKDF2-HMAC-SHA1 2048",
		"pbes2-hmacSHA512-256": "PBES2 AES-256-CBC PBKDF2-HMAC-SHA512/256 2048",
		"pbes2-seed-cbc":       "PBES2 SEED-CBC PBKDF2-HMAC-SHA256 2048",
		"pbes2-aria-192-cbc":   "PBES2 ARIA-192-CBC PBKDF2-HMAC-SHA256 2048",
		"pbes2-rc2-40-cbc":     "PBES2 RC2-40-CBC PBKDF2-HMAC-SHA256 2048",
		"scrypt":               "PBES2 AES-256-CBC scrypt N=1024 r=8 p=1",
	} {
		s, err := Scheme(all[name])
		if err != nil || s.String() != want {
			t.Errorf("%s: %v, %v; want %s", name, s, err, want)
		}
	}
	if s, err := Scheme(all["plain"]); s != nil || err != nil {
		t.Errorf("plain: %v, %v", s, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	der := fixtures(t)["pbes2-aes-256-cbc"]
	for name, in := range map[string][]byte{
		"nothing":   nil,
		"trailing":  append(bytes.Clone(der), 0),
		"truncated": der[:len(der)-1],
		"random":    []byte("hello, world"),
		"4 GiB":     {0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		"sequence":  {0x30, 0},
	} {
		if _, err := Open(in, []byte("x"), newBudget()); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	costly, err := Seal([]byte{0x30, 0}, nil, pbe.Params{KDF: pbe.PBKDF2, Hash: crypto.SHA1, Iterations: 1, Cipher: pbe.AES128CBC, SaltLength: 8}, rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	// The iterations are the last INTEGER 1 of the algorithm.
	costly = bytes.Replace(costly, []byte{2, 1, 1}, []byte{2, 1, 0}, 1)
	if _, err := Open(costly, nil, newBudget()); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("no iterations: %v", err)
	}
	if _, err := Open(der, nil, limits.New(trustkeep.Limits{MaxIterations: 2047})); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestInteropOpenSSLReadsSeal(t *testing.T) {
	testtool.Need(t, "openssl")
	plain := fixtures(t)["plain"]
	for _, p := range []pbe.Params{
		pbe.Modern(10000), pbe.Legacy3DES(2000), pbe.LegacyRC2(2000),
		{KDF: pbe.Scrypt, N: 1024, R: 8, P: 1, Cipher: pbe.AES256CBC},
		{KDF: pbe.PBKDF2, Hash: crypto.SHA512_256, Iterations: 1000, Cipher: pbe.AES192CBC},
		{KDF: pbe.PBKDF2, Hash: crypto.SHA1, Iterations: 1000, Cipher: pbe.TripleDES},
		{KDF: pbe.PBKDF2, Hash: crypto.SHA1, Iterations: 1000, Cipher: pbe.RC2},
	} {
		der, err := Seal(plain, []byte(fixturePassword), p, rand.NewChaCha8([32]byte{9}))
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		cmd := testtool.Command(t, "openssl", "pkcs8", "-inform", "DER", "-outform", "DER", "-passin", "pass:"+fixturePassword, "-provider", "legacy", "-provider", "default")
		cmd.Stdin = bytes.NewReader(der)
		got, err := cmd.CombinedOutput()
		// OpenSSL 3.0 writes the traditional form for DER; compare the keys.
		want := testtool.Command(t, "openssl", "pkcs8", "-inform", "DER", "-outform", "DER", "-nocrypt")
		want.Stdin = bytes.NewReader(plain)
		wantDER, wantErr := want.CombinedOutput()
		if err != nil || wantErr != nil || !bytes.Equal(got, wantDER) {
			t.Errorf("%v: %v, %v: %s", p, err, wantErr, got)
			continue
		}
		t.Logf("openssl pkcs8 reads %v", p)
	}
}

func FuzzOpen(f *testing.F) {
	for _, der := range fixtures(f) {
		f.Add(der)
	}
	tight := trustkeep.Limits{MaxIterations: 3000, MaxKDFMemory: 2 << 20}
	f.Fuzz(func(t *testing.T, der []byte) {
		_, err := Open(der, []byte(fixturePassword), limits.New(tight))
		if err == nil {
			return
		}
		for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword} {
			if errors.Is(err, sentinel) {
				return
			}
		}
		t.Fatalf("untyped error: %v", err)
	})
}
