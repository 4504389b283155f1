package pkcs8

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// keyFixtures are those of package pemfile, made by OpenSSL.
const keyFixtures = "../pemfile/testdata"

// block returns the DER of the last PEM block of a fixture.
func block(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(keyFixtures, name))
	if err != nil {
		tb.Fatal(err)
	}
	var der []byte
	for {
		b, rest := pem.Decode(data)
		if b == nil {
			break
		}
		der, data = b.Bytes, rest
	}
	if der == nil {
		tb.Fatalf("no PEM in %s", name)
	}
	return der
}

func TestDescribeAndParseKey(t *testing.T) {
	tests := []struct {
		file, algorithm string
		standard        bool // crypto/x509 knows it
	}{
		{"rsa-pkcs1.pem", "RSA 2048", true},
		{"rsa-pkcs8.pem", "RSA 2048", true},
		{"rsapss-pkcs8.pem", "RSA-PSS 2048", false},
		{"dsa-pkcs8.pem", "DSA 1024", false},
		{"dsa-traditional.pem", "DSA 1024", false},
		{"ec-pkcs8.pem", "EC P-256", true},
		{"ec-sec1-with-parameters.pem", "EC P-256", true},
		{"ec-secp224r1-sec1.pem", "EC P-224", true},
		{"ec-secp384r1-sec1.pem", "EC P-384", true},
		{"ec-secp521r1-pkcs8.pem", "EC P-521", true},
		{"ec-secp256k1-sec1.pem", "EC secp256k1", false},
		{"ec-brainpoolP256r1-sec1.pem", "EC brainpoolP256r1", false},
		{"ec-brainpoolP384t1-pkcs8.pem", "EC brainpoolP384t1", false},
		{"ec-explicit-sec1.pem", "EC explicit", false},
		{"ec-explicit-pkcs8.pem", "EC explicit", false},
		{"ed25519-pkcs8.pem", "Ed25519", true},
		{"ed448-pkcs8.pem", "Ed448", false},
		{"x25519-pkcs8.pem", "X25519", true},
		{"x448-pkcs8.pem", "X448", false},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			der := block(t, test.file)
			info, err := Wrap(der)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Describe(info); err != nil || got != test.algorithm {
				t.Errorf("algorithm %q, %v", got, err)
			}
			if IsTraditional(der) == IsPrivateKeyInfo(der) {
				t.Error("both or neither of the forms")
			}
			key, err := ParseKey(info, limits.Unlimited{})
			if !test.standard {
				if !errors.Is(err, trustkeep.ErrUnsupported) || errors.Is(err, trustkeep.ErrCorrupt) {
					t.Errorf("parsed: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, want := publicKeyInfo(info), entry.PublicKeyInfo(key); want == nil || !bytes.Equal(got, want) {
				t.Errorf("public key read %x, computed %x", got, want)
			}
		})
	}
}

// Identifiers without fixtures.
func TestDescribeByIdentifier(t *testing.T) {
	info := func(oid ...byte) []byte {
		algorithm := append([]byte{0x30, byte(len(oid) + 2), 0x06, byte(len(oid))}, oid...)
		body := append([]byte{0x02, 0x01, 0x00}, algorithm...)
		body = append(body, 0x04, 0x01, 0x00)
		return append([]byte{0x30, byte(len(body))}, body...)
	}
	nist := []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04}
	tests := []struct {
		oid  []byte
		want string
	}{
		{append(nist[:7:7], 3, 17), "ML-DSA-44"},
		{append(nist[:7:7], 3, 18), "ML-DSA-65"},
		{append(nist[:7:7], 3, 19), "ML-DSA-87"},
		{append(nist[:7:7], 3, 20), "SLH-DSA-SHA2-128s"},
		{append(nist[:7:7], 3, 31), "SLH-DSA-SHAKE-256f"},
		{append(nist[:7:7], 3, 32), "unknown 2.16.840.1.101.3.4.3.32"},
		{append(nist[:7:7], 4, 2), "ML-KEM-768"},
		{[]byte{0x2a, 0x03}, "unknown 1.2.3"},
	}
	for _, test := range tests {
		if got, err := Describe(info(test.oid...)); err != nil || got != test.want {
			t.Errorf("got %q, %v, want %q", got, err, test.want)
		}
		if _, err := ParseKey(info(test.oid...), limits.Unlimited{}); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", test.want, err)
		}
	}
}

// No prefix and no change of one octet of a key makes anything panic or return
// an error without a sentinel, and no prefix is a key.
func TestMalformedKeys(t *testing.T) {
	for _, name := range []string{"rsa-pkcs1.pem", "ec-sec1-with-parameters.pem", "dsa-traditional.pem", "ec-pkcs8.pem", "ed25519-pkcs8.pem", "ec-explicit-pkcs8.pem"} {
		der := block(t, name)
		for n := range len(der) {
			if _, err := Wrap(der[:n]); !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%s: %d octets: %v", name, n, err)
			}
			changed := append([]byte(nil), der...)
			changed[n] ^= 0xff
			info, err := Wrap(changed)
			if err == nil {
				_, err = ParseKey(info, limits.Unlimited{})
				publicKeyInfo(info)
			}
			if err != nil && !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("%s: octet %d: %v", name, n, err)
			}
		}
	}
}

func TestNewKeyRefuses(t *testing.T) {
	for _, der := range [][]byte{nil, {0x30}, {0x30, 0x00}, []byte("key"), append(block(t, "ec-pkcs8.pem"), 0)} {
		if k, err := NewKey(der, limits.New(trustkeep.Limits{})); !errors.Is(err, trustkeep.ErrCorrupt) || k != nil {
			t.Errorf("%x: %v", der, err)
		}
	}
}

func FuzzPKCS8(f *testing.F) {
	paths, err := filepath.Glob(keyFixtures + "/*-*.pem")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds")
	}
	for _, path := range paths {
		f.Add(block(f, filepath.Base(path)))
	}
	small := trustkeep.Limits{MaxIterations: 10_000, MaxKDFMemory: 1 << 20}
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := NewKey(der, limits.New(small))
		if err != nil {
			if !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		info, err := k.Open([]byte("secret"))
		if err != nil {
			return
		}
		if !IsPrivateKeyInfo(info) {
			t.Fatalf("opened to %x", info)
		}
		Describe(info)
		ParseKey(info, limits.Unlimited{})
		if public := publicKeyInfo(info); public != nil {
			x509.ParsePKIXPublicKey(public)
		}
	})
}

// A key whose encryption is not known is listed, and refused when opened.
func TestUnknownEncryption(t *testing.T) {
	der := block(t, "rsa-pkcs8-pbes2.pem")
	pbes2 := []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d")
	at := bytes.Index(der, pbes2)
	if at < 0 {
		t.Fatal("fixture is not encrypted with PBES2")
	}
	der[at+len(pbes2)-1] = 0x7f
	k, err := NewKey(der, limits.New(trustkeep.Limits{}))
	if err != nil || !k.Encrypted || k.Protection != "unknown" {
		t.Fatalf("%+v, %v", k, err)
	}
	if _, err := k.Open([]byte("secret")); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("opened: %v", err)
	}
}

// Opening a key again and again is charged once, another key by itself.
func TestBudget(t *testing.T) {
	budget := limits.New(trustkeep.Limits{MaxIterations: 1})
	der := block(t, "rsa-pkcs8-pbes2.pem")
	k, err := NewKey(der, budget)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := k.Open([]byte("secret")); err != nil {
			t.Fatal(err)
		}
	}
	hostile := bytes.Replace(der, []byte{0x02, 0x02, 0x08, 0x00}, []byte{0x02, 0x02, 0x7f, 0xff}, 1)
	if bytes.Equal(hostile, der) {
		t.Fatal("2048 iterations not found")
	}
	for range 3 { // each adds its own allowance and spends a part of it
		if k, err = NewKey(hostile, budget); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open([]byte("secret")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("32,767 iterations: %v", err)
		}
	}
}

func publicKeyInfo(info []byte) []byte {
	public, err := PublicKeyInfo(info, limits.Unlimited{})
	if err != nil {
		panic(err)
	}
	return public
}
