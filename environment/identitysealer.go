package environment

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/keystore"
)

type identitySealer struct{ id *keystore.Identity }

// IdentitySealer seals by a key pair of a keystore: RSA-OAEP or ECDH, see cms.Protect, and
// RSA-PSS or ECDSA. The wrapped key is signed too, because everybody who has the certificate
// could wrap a data key of their own and read all passwords that are kept under it.
//
// It is named by its public key, so a certificate that was renewed for the same key still
// opens the registry.
func IdentitySealer(id *keystore.Identity) Sealer { return identitySealer{id} }

// wrappedByIdentity is what identitySealer makes, in DER.
type wrappedByIdentity struct {
	Protected []byte // by package cms
	Signature []byte
}

func (k identitySealer) usable() error {
	if k.id == nil || k.id.Leaf() == nil {
		return fmt.Errorf("no identity, or one without a certificate: %w", trustkeep.ErrInvalid)
	}
	return nil
}

func (k identitySealer) ID() string {
	if k.usable() != nil {
		return ""
	}
	sum := sha256.Sum256(k.id.Leaf().RawSubjectPublicKeyInfo)
	return "spki-sha256:" + hex.EncodeToString(sum[:])
}

func (k identitySealer) Wrap(dataKey []byte) ([]byte, error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	protected, err := cms.Protect(dataKey, k.id)
	if err != nil {
		return nil, err
	}
	var o crypto.SignerOpts = crypto.SHA256
	if _, ok := k.id.Leaf().PublicKey.(*rsa.PublicKey); ok {
		o = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	signature, err := k.id.Signer().Sign(rand.Reader, digestOf(protected), o)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(wrappedByIdentity{protected, signature})
}

func (k identitySealer) Unwrap(wrapped []byte) ([]byte, error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	var w wrappedByIdentity
	if rest, err := asn1.Unmarshal(wrapped, &w); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("wrapped key: %w", trustkeep.ErrCorrupt)
	}
	ours := false
	switch key := k.id.Leaf().PublicKey.(type) {
	case *rsa.PublicKey:
		ours = rsa.VerifyPSS(key, crypto.SHA256, digestOf(w.Protected), w.Signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	case *ecdsa.PublicKey:
		ours = ecdsa.VerifyASN1(key, digestOf(w.Protected), w.Signature)
	}
	if !ours {
		return nil, fmt.Errorf("wrapped key was not signed by this identity: %w", trustkeep.ErrIncorrectPassword)
	}
	return unwrapped(cms.Unprotect(w.Protected, k.id))
}

// digestOf is what is signed, apart from whatever else the key may sign.
func digestOf(protected []byte) []byte {
	h := sha256.New()
	h.Write([]byte("trustkeep registry data key\x00"))
	h.Write(protected)
	return h.Sum(nil)
}
