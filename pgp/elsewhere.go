package pgp

import (
	"crypto"
	"maps"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
)

// WithPrivate returns the key with private keys that are elsewhere: on a card, in a KMS,
// with an agent. Each is a crypto.Signer (RSA, ECDSA on a NIST curve, Ed25519), a
// crypto.Decrypter (RSA) or an ecdh.KeyExchanger (ECDH on a NIST curve, X25519), and
// serves the primary key or subkey that has its public key. The result signs, decrypts
// and changes itself like an unlocked key. Signatures made elsewhere are verified before
// they are used.
//
// What is elsewhere is never written: MarshalPrivate, Public and components leave it out.
// It is asked in the goroutine that signs or decrypts; its errors are passed on. If the
// key is used concurrently, so are they.
//
// The error wraps ErrInvalid for nil or another type, ErrKeyMismatch when no part of the
// key has that public key and algorithm.
func (k *Key) WithPrivate(private ...crypto.PrivateKey) (*Key, error) {
	e, _ := k.template()
	publics := []*packet.PublicKey{e.PrimaryKey}
	for _, s := range e.Subkeys {
		publics = append(publics, s.PublicKey)
	}
	out := *k.state()
	for _, p := range private {
		public, err := elsewhere.PublicOf(p)
		if err != nil {
			return nil, err
		}
		found := false
		for _, have := range publics {
			if elsewhere.Fits(have, p, public) {
				found = true
				out.elsewhere = withElsewhere(out.elsewhere, &packet.PrivateKey{PublicKey: *have, PrivateKey: p})
			}
		}
		if !found {
			return nil, fail(trustkeep.ErrKeyMismatch, "key %s has no part with the public key of a %T", k.Fingerprint(), p)
		}
	}
	return keyOf(&out), nil
}

// withElsewhere returns the map with more keys.
func withElsewhere(have map[string]*packet.PrivateKey, more ...*packet.PrivateKey) map[string]*packet.PrivateKey {
	out := maps.Clone(have)
	if out == nil {
		out = make(map[string]*packet.PrivateKey)
	}
	for _, p := range more {
		out[string(p.Fingerprint)] = p
	}
	return out
}
