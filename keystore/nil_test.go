package keystore_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// What an ignored error leaves behind is a wrong call, and neither a panic nor an entry
// that cannot be saved.
func TestNilsAreRefused(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a")
	ks, _ := stored(t, trustkeep.JKS)
	one := mustEntry(t, ks, "one")
	before := len(ks.Certificates())
	for _, key := range []crypto.Signer{nil, (*ecdsa.PrivateKey)(nil), (*rsa.PrivateKey)(nil), ed25519.PrivateKey(nil), ed25519.PrivateKey("short")} {
		_, err := keystore.NewIdentity(key, id.Chain...)
		wantError(t, err, trustkeep.ErrInvalid)
		if key != nil {
			_, err = ks.Replace(one, keystore.Replacement{Key: key, Chain: id.Chain})
			wantError(t, err, trustkeep.ErrInvalid)
		}
	}
	for _, none := range []*x509.Certificate{nil, {}} {
		_, err := keystore.NewIdentity(id.Key, id.Cert, none)
		wantError(t, err, trustkeep.ErrInvalid)
		_, err = ks.Replace(one, keystore.Replacement{Chain: []*x509.Certificate{one.Chain[0], none}})
		wantError(t, err, trustkeep.ErrInvalid)
		wantError(t, ks.SetChain("one", one.Chain[0], none), trustkeep.ErrInvalid)
		wantError(t, ks.SetTrusted("t", none), trustkeep.ErrInvalid)
	}
	for _, none := range []*keystore.Identity{nil, {}} {
		wantError(t, ks.SetIdentity("i", none), trustkeep.ErrInvalid)
		wantError(t, ks.AddIdentity("i", none), trustkeep.ErrInvalid)
		wantError(t, ks.SetIdentityWithPassword("i", none, first), trustkeep.ErrInvalid)
	}
	if ks.Len() != 2 || len(ks.Certificates()) != before {
		t.Errorf("%v changed", ks)
	}
}
