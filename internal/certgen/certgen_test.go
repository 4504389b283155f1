package certgen

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

var quick = []KeyType{ECP256, ECP384, ECP521, RSA2048, Ed25519}

func template() x509.Certificate {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return x509.Certificate{
		Subject: pkix.Name{CommonName: "a"}, NotBefore: now, NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func TestEveryKeyTypeSignsAndIsRecognised(t *testing.T) {
	for _, typ := range quick {
		key, err := NewKey(typ, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := TypeOf(key.Public()); !ok || got != typ {
			t.Errorf("type %d is recognised as %d", typ, got)
		}
		cert, err := Sign(template(), key.Public(), Issuer{Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			t.Errorf("type %d: %v", typ, err)
		}
		if n := len(cert.SubjectKeyId); n != 20 || !bytes.Equal(cert.SubjectKeyId, cert.AuthorityKeyId) {
			t.Errorf("type %d: key identifiers %x and %x", typ, cert.SubjectKeyId, cert.AuthorityKeyId)
		}
		der, err := Request(x509.CertificateRequest{Subject: cert.Subject}, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if request, err := x509.ParseCertificateRequest(der); err != nil || request.CheckSignature() != nil {
			t.Errorf("type %d: request: %v", typ, err)
		}
	}
	if _, err := NewKey(0, nil); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("no type: %v", err)
	}
}

// The same randomness makes the same key, serial number and signature; RSA
// keys are out of reach of a caller's randomness.
func TestReproducible(t *testing.T) {
	for _, typ := range []KeyType{ECP256, ECP384, ECP521, Ed25519} {
		make := func(seed string) []byte {
			random := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
			key, err := NewKey(typ, random)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := Sign(template(), key.Public(), Issuer{Key: key}, random)
			if err != nil {
				t.Fatal(err)
			}
			return cert.Raw
		}
		if !bytes.Equal(make("a"), make("a")) {
			t.Errorf("type %d: same seed, other bytes", typ)
		}
		if bytes.Equal(make("a"), make("b")) {
			t.Errorf("type %d: other seed, same bytes", typ)
		}
	}
}

func TestSerialsAreLongAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	short := 0
	for range 1000 {
		n, err := Serial(nil)
		if err != nil {
			t.Fatal(err)
		}
		if n.Sign() <= 0 || n.BitLen() > 128 || seen[n.String()] {
			t.Fatalf("serial %v", n)
		}
		if n.BitLen() < 100 {
			short++
		}
		seen[n.String()] = true
	}
	if short > 0 {
		t.Errorf("%d of 1000 serials have under 100 bits", short)
	}
}

func TestNoRandomness(t *testing.T) {
	empty := bytes.NewReader(nil)
	for _, typ := range []KeyType{ECP256, Ed25519} {
		if _, err := NewKey(typ, empty); err == nil {
			t.Errorf("type %d: a key out of nothing", typ)
		}
	}
	if _, err := Serial(empty); err == nil {
		t.Error("a serial number out of nothing")
	}
}
