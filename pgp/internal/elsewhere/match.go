package elsewhere

import (
	"bytes"
	"crypto"
	stdecdh "crypto/ecdh"
	stdecdsa "crypto/ecdsa"
	stded25519 "crypto/ed25519"
	"crypto/rsa"

	"github.com/ProtonMail/go-crypto/openpgp/ecdh"
	"github.com/ProtonMail/go-crypto/openpgp/ecdsa"
	"github.com/ProtonMail/go-crypto/openpgp/ed25519"
	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/x25519"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// PublicOf returns the public key of a crypto.Signer, crypto.Decrypter or
// ecdh.KeyExchanger. For anything else and nil, the error wraps ErrInvalid.
func PublicOf(private crypto.PrivateKey) (crypto.PublicKey, error) {
	if given.IsNil(private) {
		return nil, fault.New(trustkeep.ErrInvalid, "no private key")
	}
	switch key := private.(type) {
	case interface{ Public() crypto.PublicKey }:
		return key.Public(), nil
	case stdecdh.KeyExchanger:
		return key.PublicKey(), nil
	}
	return nil, fault.New(trustkeep.ErrInvalid, "a %T is no crypto.Signer, crypto.Decrypter or ecdh.KeyExchanger", private)
}

// Fits reports whether public is the key of the packet, and private can do what the
// packet's algorithm is for.
func Fits(p *packet.PublicKey, private crypto.PrivateKey, public crypto.PublicKey) bool {
	_, signs := private.(crypto.Signer)
	_, decrypts := private.(crypto.Decrypter)
	_, exchanges := private.(stdecdh.KeyExchanger)
	switch have := p.PublicKey.(type) {
	case *rsa.PublicKey:
		key, ok := public.(*rsa.PublicKey)
		return ok && key != nil && have.Equal(key) && (signs || decrypts)
	case *ecdsa.PublicKey:
		key, ok := public.(*stdecdsa.PublicKey)
		if !ok || key == nil || !signs {
			return false
		}
		point, err := key.Bytes()
		return err == nil && bytes.Equal(have.MarshalPoint(), point)
	case *eddsa.PublicKey:
		key, ok := public.(stded25519.PublicKey)
		return ok && signs && bytes.Equal(have.X, key)
	case *ed25519.PublicKey:
		key, ok := public.(stded25519.PublicKey)
		return ok && signs && bytes.Equal(have.Point, key)
	case *ecdh.PublicKey:
		key, ok := public.(*stdecdh.PublicKey)
		if !ok || key == nil || !exchanges {
			return false
		}
		point := key.Bytes()
		if key.Curve() == stdecdh.X25519() {
			point = append([]byte{0x40}, point...)
		}
		return bytes.Equal(have.MarshalPoint(), point)
	case *x25519.PublicKey:
		key, ok := public.(*stdecdh.PublicKey)
		return ok && key != nil && exchanges && key.Curve() == stdecdh.X25519() && bytes.Equal(have.Point, key.Bytes())
	}
	return false
}
