// Package selfsig prepares signatures by our own keys: their hashes, what new keys
// state about themselves, and how an old statement is renewed.
package selfsig

import (
	"crypto"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Algorithm numbers of RFC 9580 section 9, in the order in which new keys
// state their preferences.
func PreferredCiphers() []uint8 {
	return []uint8{uint8(packet.CipherAES256), uint8(packet.CipherAES192), uint8(packet.CipherAES128)}
}

func preferredHashes() []uint8 { return []uint8{8, 10, 9} } // SHA-256, SHA-512, SHA-384

func preferredCompression() []uint8 {
	return []uint8{uint8(packet.CompressionZLIB), uint8(packet.CompressionZIP), uint8(packet.CompressionNone)}
}

// PreferredSuites names AES-256-GCM first, which is what makes peers use it:
// the preference of the recipient decides.
func PreferredSuites() [][2]uint8 {
	aes256, aes128 := uint8(packet.CipherAES256), uint8(packet.CipherAES128)
	gcm, ocb := uint8(packet.AEADModeGCM), uint8(packet.AEADModeOCB)
	return [][2]uint8{{aes256, gcm}, {aes256, ocb}, {aes128, gcm}, {aes128, ocb}}
}

// HashFor chooses the hash for signatures by a key: SHA-256 unless the key is
// stronger (RFC 9580 sections 5.2.3.1 and 9.5, RFC 9980 for the composites).
func HashFor(p *packet.PublicKey) crypto.Hash {
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoEd448, packet.PubKeyAlgoMldsa87Ed448, packet.PubKeyAlgoSlhdsaShake256s:
		return crypto.SHA512
	case packet.PubKeyAlgoECDSA, packet.PubKeyAlgoEdDSA:
		curve, err := p.Curve()
		if err != nil {
			break
		}
		switch curve {
		case packet.CurveNistP521, packet.CurveBrainpoolP512, packet.Curve448:
			return crypto.SHA512
		case packet.CurveNistP384, packet.CurveBrainpoolP384:
			return crypto.SHA384
		}
	}
	return crypto.SHA256
}

// New prepares a signature by a key.
func New(by *packet.PublicKey, kind packet.SignatureType, at time.Time) *packet.Signature {
	id := by.KeyId
	return &packet.Signature{
		Version: by.Version, SigType: kind, PubKeyAlgo: by.PubKeyAlgo, Hash: HashFor(by),
		CreationTime: at, IssuerKeyId: &id, IssuerKeyVersion: uint8(by.Version), IssuerFingerprint: by.Fingerprint,
	}
}

// Renewed copies what a self-signature says into a new one, to be changed and
// signed. It is newer than the one that it replaces, so that it counts.
func Renewed(old *packet.Signature, by *packet.PublicKey, at time.Time, c *packet.Config) (*packet.Signature, error) {
	s := *old
	fresh := New(by, old.SigType, at)
	if !old.CreationTime.Before(at) {
		fresh.CreationTime = old.CreationTime.Add(time.Second)
	}
	s.Version, s.Hash, s.PubKeyAlgo = fresh.Version, fresh.Hash, fresh.PubKeyAlgo
	s.CreationTime, s.SigLifetimeSecs = fresh.CreationTime, nil
	s.IssuerKeyId, s.IssuerKeyVersion, s.IssuerFingerprint = fresh.IssuerKeyId, fresh.IssuerKeyVersion, fresh.IssuerFingerprint
	s.Notations = slices.Clone(old.Notations)
	if s.Version == 6 {
		salt, err := packet.SignatureSaltForHash(s.Hash, c.Random())
		if err != nil {
			return nil, err
		}
		if err := s.SetSalt(salt); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

// SetProperties makes a self-signature state what new keys prefer; with aead, also in
// version 4, that the owner reads version 2 of encrypted data.
func SetProperties(s *packet.Signature, lifetime uint32, aead bool) {
	s.FlagsValid, s.FlagCertify, s.FlagSign = true, true, true
	s.KeyLifetimeSecs = &lifetime
	s.PreferredSymmetric, s.PreferredHash = PreferredCiphers(), preferredHashes()
	s.PreferredCompression = preferredCompression()
	s.SEIPDv1 = true
	if s.Version == 6 || aead {
		s.SEIPDv2, s.PreferredCipherSuites = true, PreferredSuites()
	}
}
