package pbe

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

func budget() *limits.Budget { return limits.New(trustkeep.Limits{}) }

func seeded() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{1}) }

// everyScheme is one of each that can be written.
func everyScheme() []Params {
	var all []Params
	for _, s := range pbes1Schemes {
		all = append(all, Params{KDF: s.kdf, Hash: s.hash, Cipher: s.cipher, Iterations: 20, SaltLength: 8})
	}
	for _, c := range pbes2Ciphers {
		all = append(all, Params{KDF: Scrypt, N: 16, R: 1, P: 1, Cipher: c.cipher})
		for _, h := range allHashes {
			all = append(all, Params{KDF: PBKDF2, Hash: h, Iterations: 20, Cipher: c.cipher})
		}
	}
	return append(all,
		Params{KDF: PBKDF2, Hash: crypto.SHA1, Iterations: 2, Cipher: RC2, KeyLength: 5, RC2Bits: 40},
		Params{KDF: PBKDF2, Hash: crypto.SHA1, Iterations: 2, Cipher: RC2, KeyLength: 64, RC2Bits: 512},
		Modern(2), Legacy3DES(2), LegacyRC2(2))
}

func TestSealDecrypt(t *testing.T) {
	plain := []byte("0\x0fattack at dawn")
	for _, p := range everyScheme() {
		algorithm, ciphertext, err := p.Seal(plain, []byte("päss😀"), seeded())
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		s, err := ParseScheme(algorithm)
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		if s.String() != p.String() {
			t.Errorf("%q read back as %q", p, s)
		}
		again, err := s.Marshal()
		if err != nil || !bytes.Equal(again, algorithm) {
			t.Errorf("%v: marshaled again as %x, %v; was %x", p, again, err, algorithm)
		}
		got, err := s.Decrypt(ciphertext, []byte("päss😀"), budget())
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%v: decrypted to %q, %v", p, got, err)
		}
		got, err = s.Decrypt(ciphertext, []byte("wrong"), budget())
		if err == nil && bytes.Equal(got, plain) {
			t.Errorf("%v: a wrong password opens it", p)
		}
		if err != nil && !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%v: wrong password: %v", p, err)
		}
	}
}

func TestSchemeString(t *testing.T) {
	for _, c := range []struct {
		params Params
		want   string
	}{
		{Modern(10000), "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000"},
		{Legacy3DES(50000), "PBES1 3DES-CBC PKCS12-SHA1 50000"},
		{LegacyRC2(2048), "PBES1 RC2-40-CBC PKCS12-SHA1 2048"},
		{Params{KDF: Scrypt, N: 16384, R: 8, P: 1, Cipher: AES128CBC}, "PBES2 AES-128-CBC scrypt N=16384 r=8 p=1"},
		{Params{KDF: PBKDF1, Hash: crypto.MD5, Iterations: 5, Cipher: DES}, "PBES1 DES-CBC PBKDF1-MD5 5"},
		{Params{KDF: PBKDF2, Hash: crypto.SHA512_256, Iterations: 5, Cipher: RC2}, "PBES2 RC2-128-CBC PBKDF2-HMAC-SHA512/256 5"},
		{Params{}, "invalid"},
	} {
		if got := c.params.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestBMPPassword(t *testing.T) {
	for _, c := range []struct {
		password []byte
		want     string
	}{
		{nil, ""},
		{[]byte{}, "0000"},
		{[]byte("Beavis"), "0042006500610076006900730000"}, // RFC 7292 appendix B.1
		{[]byte("ä"), "00e40000"},
		{[]byte("😀"), "d83dde000000"},
		{[]byte("\uffff"), "ffff0000"},
		{[]byte("\xe4"), "00e40000"}, // not UTF-8
	} {
		if got := bmpPassword(c.password); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%q: %x, want %s", c.password, got, c.want)
		}
	}
}

func TestEmptyAndNoPasswordDiffer(t *testing.T) {
	p := Legacy3DES(3)
	algorithm, ciphertext, err := p.Seal([]byte("0\x00"), []byte{}, seeded())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseScheme(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decrypt(ciphertext, []byte{}, budget()); err != nil {
		t.Errorf("empty password: %v", err)
	}
	if _, err := s.Decrypt(ciphertext, nil, budget()); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("no password: %v", err)
	}
}

func TestCostsAreRefusedBeforeTheyAreSpent(t *testing.T) {
	huge := int64(1)<<31 - 1
	for _, p := range []Params{
		{KDF: PKCS12, Hash: crypto.SHA1, Cipher: TripleDES, Iterations: huge},
		{KDF: PBKDF1, Hash: crypto.MD5, Cipher: DES, Iterations: huge},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: AES256CBC, Iterations: huge},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: AES256CBC, Iterations: 1 << 62},
		{KDF: Scrypt, N: 1 << 20, R: 8, P: 1, Cipher: AES256CBC},
		{KDF: Scrypt, N: 1 << 62, R: 1 << 62, P: 1 << 62, Cipher: AES256CBC},
		{KDF: Scrypt, N: 1 << 14, R: 8, P: 1 << 20, Cipher: AES256CBC},
		{KDF: Scrypt, N: 2, R: 1, P: 1 << 30, Cipher: AES256CBC},
	} {
		s := &Scheme{params: p, salt: make([]byte, 8), iv: make([]byte, 16)}
		if _, err := s.Derive([]byte("x"), budget()); !errors.Is(err, trustkeep.ErrLimit) {
			t.Errorf("%v: %v", p, err)
		}
	}
	for _, p := range []Params{
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: AES256CBC},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: AES256CBC, Iterations: -1},
		{KDF: Scrypt, N: 3, R: 1, P: 1, Cipher: AES256CBC},
		{KDF: Scrypt, N: 4, R: -1, P: 1, Cipher: AES256CBC},
	} {
		s := &Scheme{params: p, salt: make([]byte, 8), iv: make([]byte, 16)}
		if _, err := s.Derive([]byte("x"), budget()); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestDerivation(t *testing.T) {
	scheme := func(p Params, salt string, iv byte) *Scheme {
		return &Scheme{params: p, salt: []byte(salt), iv: bytes.Repeat([]byte{iv}, 16)}
	}
	a := scheme(Modern(10), "salt", 1)
	if a.Derivation() != scheme(Modern(10), "salt", 2).Derivation() {
		t.Error("the initialisation vector of PBES2 has no part in the derivation")
	}
	aes128 := Modern(10)
	aes128.Cipher = AES128CBC
	for _, b := range []*Scheme{scheme(Modern(11), "salt", 1), scheme(Modern(10), "salz", 1), scheme(aes128, "salt", 1), scheme(Legacy3DES(10), "salt", 1)} {
		if a.Derivation() == b.Derivation() {
			t.Errorf("%v and %v", a, b)
		}
	}
}

func TestOpenRefusesBrokenCiphertext(t *testing.T) {
	s, err := Modern(2).NewScheme(seeded())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 15, 17} {
		if _, err := s.Decrypt(make([]byte, n), []byte("x"), budget()); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	for _, p := range []Params{
		{},
		{KDF: PBKDF2, Hash: crypto.MD5, Cipher: AES256CBC, Iterations: 1},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: AES256CBC},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: RC4128, Iterations: 1},
		{KDF: PKCS12, Hash: crypto.SHA256, Cipher: TripleDES, Iterations: 1},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: RC2, Iterations: 1, RC2Bits: 41},
		{KDF: Scrypt, N: 7, R: 8, P: 1, Cipher: AES256CBC},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: 200, Iterations: 1},
		{KDF: PBKDF2, Hash: crypto.SHA256, Cipher: AES256CBC, Iterations: 1, SaltLength: -1},
	} {
		if _, _, err := p.Seal([]byte("x"), nil, seeded()); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	short := bytes.NewReader(make([]byte, 5))
	if _, _, err := Modern(1).Seal(nil, nil, short); err == nil {
		t.Error("no error when the random bytes run out")
	}
}

// Long ciphertexts are decrypted in pieces.
func TestLongCiphertext(t *testing.T) {
	for _, n := range []int{1, decryptInParallel - 1, 2 * decryptInParallel, 5*decryptInParallel + 77, 3 << 20} {
		plain := make([]byte, n)
		if _, err := seeded().Read(plain); err != nil {
			t.Fatal(err)
		}
		for _, p := range []Params{Modern(1), Legacy3DES(1)} {
			algorithm, ciphertext, err := p.Seal(plain, []byte("x"), seeded())
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseScheme(algorithm)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Decrypt(ciphertext, []byte("x"), budget()); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v: %d bytes: %v", p, n, err)
			}
		}
	}
}

func FuzzScheme(f *testing.F) {
	seeds := 0
	for _, p := range everyScheme() {
		algorithm, _, err := p.Seal([]byte("0\x00"), []byte("x"), seeded())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(algorithm, make([]byte, 32))
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	tight := trustkeep.Limits{MaxIterations: 1000, MaxKDFMemory: 1 << 20}
	f.Fuzz(func(t *testing.T, der, ciphertext []byte) {
		s, err := ParseScheme(der)
		if err != nil {
			if !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		_, err = s.Decrypt(ciphertext, []byte("x"), limits.New(tight))
		if err != nil && !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) &&
			!errors.Is(err, trustkeep.ErrLimit) && !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Fatalf("untyped error: %v", err)
		}
	})
}

// TestOnlyTestsAreQuick: no other source of randomness makes passwords cheap to guess.
func TestOnlyTestsAreQuick(t *testing.T) {
	mac := MACParams{KDF: PKCS12, Hash: crypto.SHA256, Iterations: 10_000}
	for _, test := range []struct {
		rand io.Reader
		want int64
	}{
		{seeded(), 10_000},
		{struct{ io.Reader }{seeded()}, 10_000},
		{struct{ io.Reader }{quickkdf.Rand()}, 10_000},
		{quickkdf.Rand(), 100},
		{quickkdf.From(seeded()), 100},
	} {
		s, err := Modern(10_000).NewScheme(test.rand)
		if err != nil || s.params.Iterations != test.want {
			t.Errorf("%T: a scheme of %d iterations, %v", test.rand, s.params.Iterations, err)
		}
		m, err := mac.NewMAC(test.rand)
		if err != nil || m.Params().Iterations != test.want {
			t.Errorf("%T: a MAC of %d iterations, %v", test.rand, m.Params().Iterations, err)
		}
	}
}
