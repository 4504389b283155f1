// Package s2kcost reads string-to-key specifiers, RFC 9580 section 3.7, and takes
// what deriving a key by them would cost from a budget, before anything derives one.
package s2kcost

import (
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/session"
)

// A string-to-key specifier (RFC 9580 section 3.7) is read here before
// go-crypto gets to derive a key by it: Argon2 with a memory exponent of 31
// asks for 2 TiB in 20 bytes.

// Spec is a specifier as far as cost goes, comparable.
type Spec struct {
	Mode        byte
	Hash        byte
	salt        [16]byte
	Count       byte // iterated
	Passes      byte // Argon2
	Parallelism byte
	Memory      byte // exponent, KiB
}

const (
	Simple   = 0
	Salted   = 1
	Iterated = 3
	Argon2   = 4
	GNU      = 101
)

// Parse reads a specifier at the start of b.
func Parse(b []byte) (s Spec, err error) {
	need := func(n int) error {
		if len(b) < n {
			return fault.New(trustkeep.ErrCorrupt, "truncated string-to-key specifier")
		}
		return nil
	}
	if err := need(2); err != nil {
		return s, err
	}
	s.Mode, s.Hash = b[0], b[1]
	switch s.Mode {
	case Simple, Salted, GNU:
		return s, nil
	case Iterated:
		if err := need(11); err != nil {
			return s, err
		}
		copy(s.salt[:8], b[2:])
		s.Count = b[10]
		return s, nil
	case Argon2:
		if err := need(20); err != nil {
			return s, err
		}
		copy(s.salt[:], b[1:])
		s.Hash, s.Passes, s.Parallelism, s.Memory = 0, b[17], b[18], b[19]
		return s, nil
	}
	return s, fault.New(trustkeep.ErrUnsupported, "string-to-key specifier %d", s.Mode)
}

const (
	// bytesPerIteration makes hashing comparable with the iterations of
	// PBKDF2, which cost two blocks of 64 bytes each.
	bytesPerIteration = 128
	// argon2BlockCost is what filling one KiB costs, in the same measure.
	argon2BlockCost = 4
	// maxArgon2Lanes bounds the goroutines of one derivation.
	maxArgon2Lanes = 32
)

// Charge takes the cost of deriving a key of keySize bytes from the budget.
func (s Spec) Charge(spend limits.Spender, keySize int) error {
	switch s.Mode {
	case Iterated:
		// Section 3.7.1.3: the coded count is in bytes.
		bytes := int64(16+int(s.Count&15)) << (s.Count>>4 + 6)
		if s.Hash > 8 && s.Hash != 11 { // SHA-384, SHA-512 and SHA-3 take twice as long
			bytes *= 2
		}
		blocks := (keySize + hashSize(s.Hash) - 1) / hashSize(s.Hash)
		return spend.Derive(max(bytes/bytesPerIteration, 1), blocks)
	case Argon2:
		if s.Memory > 31 || s.Parallelism == 0 || s.Passes == 0 {
			return fault.New(trustkeep.ErrCorrupt, "Argon2 parameters out of range")
		}
		if s.Parallelism > maxArgon2Lanes {
			return fault.New(trustkeep.ErrLimit, "Argon2 with %d lanes", s.Parallelism)
		}
		kib := int64(1) << s.Memory
		if err := spend.Memory(kib << 10); err != nil {
			return err
		}
		return spend.Derive(int64(s.Passes)*kib, argon2BlockCost)
	}
	return spend.Derive(1, 1)
}

// hashSize is the output size in bytes of a hash by its OpenPGP number
// (section 9.5).
func hashSize(id byte) int {
	switch id {
	case 8, 12:
		return 32
	case 9:
		return 48
	case 10, 14:
		return 64
	case 11:
		return 28
	}
	return 20
}

// OfKey finds the specifier in a secret-key packet (section 5.5.3). The
// secret fields follow the public ones, whose length is that of the public
// key serialized alone. A keySize of zero means that the key has no passphrase.
func OfKey(p grammar.Raw, pub *packet.PublicKey) (s Spec, keySize int, err error) {
	public, err := grammar.Of(pub)
	if err != nil {
		return s, 0, fault.Classify("key", err)
	}
	n := len(public.Body)
	if len(p.Body) <= n || string(p.Body[:n]) != string(public.Body) {
		return s, 0, fault.New(trustkeep.ErrUnsupported, "private key in a non-canonical encoding")
	}
	b := p.Body[n:]
	take := func(n int) {
		b = b[min(n, len(b)):]
	}
	usage := b[0]
	take(1)
	if usage == 0 {
		return s, 0, nil
	}
	if usage < 253 { // a bare cipher number: the passphrase hashed by MD5
		return s, 0, fault.New(trustkeep.ErrUnsupported, "private key protected as in PGP 2")
	}
	if pub.Version == 6 {
		take(1) // length of what follows
	}
	if len(b) > 0 {
		keySize = packet.CipherFunction(b[0]).KeySize()
	}
	take(1)
	if usage == 253 {
		take(1) // AEAD mode
	}
	if pub.Version == 6 {
		take(1) // length of the specifier
	}
	s, err = Parse(b)
	return s, max(keySize, 1), err
}

// ProtectedBy returns an error that names the cipher of a secret-key packet if this
// library does not have it, else nil.
func ProtectedBy(p grammar.Raw) error {
	if p.Tag != grammar.TagSecretKey && p.Tag != grammar.TagSecretSub {
		return nil
	}
	// The public fields come first, and what follows them is passed over.
	parsed, err := grammar.New(grammar.TagPublicKey, p.Body).Parsed()
	pub, ok := parsed.(*packet.PublicKey)
	if err != nil || !ok {
		return nil
	}
	public, err := grammar.Of(pub)
	if err != nil || len(p.Body) < len(public.Body)+3 {
		return nil
	}
	secret := p.Body[len(public.Body):]
	if secret[0] < 253 {
		return nil
	}
	cipher := secret[1]
	if pub.Version == 6 {
		cipher = secret[2]
	}
	return session.CheckCipher(cipher)
}

// OfMessage finds the string-to-key specifier of a symmetric-key encrypted
// session key packet, section 5.3.
func OfMessage(b []byte) (spec Spec, keySize int, err error) {
	if len(b) < 4 {
		return spec, 0, fault.New(trustkeep.ErrCorrupt, "truncated session key packet")
	}
	at, algorithm := 2, b[1]
	switch b[0] {
	case 4:
	case 5:
		at = 3
	case 6: // version, count, cipher, mode, count
		at, algorithm = 5, b[2]
	default:
		return spec, 0, fault.New(trustkeep.ErrUnsupported, "session key packet of version %d", b[0])
	}
	if err := session.CheckCipher(algorithm); err != nil {
		return spec, 0, err
	}
	keySize = packet.CipherFunction(algorithm).KeySize()
	spec, err = Parse(b[min(at, len(b)):])
	return spec, keySize, err
}
