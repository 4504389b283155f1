package sigcheck_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"

	"github.com/trustkeep/trustkeep/internal/sigcheck"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func TestBudget(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	other := testpki.New(t, testpki.Options{})
	leaf, issuer := pki.Server("a.example").Cert, pki.Intermediate.Cert
	b := sigcheck.NewBudget(3, 100)
	for range 5 { // the same pair counts once
		if found, ok := b.Ask(leaf, issuer); !ok || !found.Signed || found.Err != nil {
			t.Fatalf("%+v %v", found, ok)
		}
	}
	if found, ok := b.Ask(leaf, other.Intermediate.Cert); !ok || found.Signed || found.Err == nil {
		t.Errorf("%+v %v", found, ok)
	}
	self := pki.SelfSigned("a.example").Cert
	if found, ok := b.Ask(self, self); !ok || !found.Signed || found.Err == nil {
		t.Errorf("one that may not: %+v %v", found, ok)
	}
	if _, ok := b.Ask(leaf, pki.Root.Cert); ok || b.Asked() != 3 {
		t.Errorf("a fourth: %d", b.Asked())
	}
	if b.Take(issuer) {
		t.Error("taken")
	}
	if _, ok := b.Ask(leaf, issuer); !ok {
		t.Error("one that was asked is forgotten")
	}
	if b = sigcheck.NewBudget(3, 100); !b.Take(issuer, issuer) || !b.Take(issuer) || b.Take(issuer) {
		t.Error("three can be taken")
	}
	if !sigcheck.Meant(leaf, issuer) || sigcheck.Meant(leaf, pki.Root.Cert) || sigcheck.Meant(self, self) {
		t.Error("Meant")
	}
}

// Slow keys count as what they take.
func TestPriceOfSlowKeys(t *testing.T) {
	key := func(c elliptic.Curve) any {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	modulus := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	}
	for name, c := range map[string]struct {
		key  any
		most int // checks of an explanation
	}{
		"P-256": {key(elliptic.P256()), 8}, "P-384": {key(elliptic.P384()), 8}, "P-521": {key(elliptic.P521()), 2},
		"RSA 2048": {modulus(2048), 8}, "RSA 4096": {modulus(4096), 8}, "RSA 8192": {modulus(8192), 3}, "RSA 16384": {modulus(16384), 0},
	} {
		b := sigcheck.NewBudget(8, 80)
		n := 0
		for b.Take(&x509.Certificate{PublicKey: c.key}) {
			n++
		}
		if n != c.most {
			t.Errorf("%s: %d checks, want %d", name, n, c.most)
		}
	}
}
