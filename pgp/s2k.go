package pgp

import (
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// A string-to-key specifier (RFC 9580 section 3.7) is read here before
// go-crypto gets to derive a key by it: Argon2 with a memory exponent of 31
// asks for 2 TiB in 20 bytes.

// s2kSpec is a specifier as far as cost goes, comparable.
type s2kSpec struct {
	mode        byte
	hash        byte
	salt        [16]byte
	count       byte // iterated
	passes      byte // Argon2
	parallelism byte
	memory      byte // exponent, KiB
}

const (
	s2kSimple   = 0
	s2kSalted   = 1
	s2kIterated = 3
	s2kArgon2   = 4
	s2kGNU      = 101
)

// parseS2K reads a specifier at the start of b.
func parseS2K(b []byte) (s s2kSpec, err error) {
	need := func(n int) error {
		if len(b) < n {
			return fail(trustkeep.ErrCorrupt, "truncated string-to-key specifier")
		}
		return nil
	}
	if err := need(2); err != nil {
		return s, err
	}
	s.mode, s.hash = b[0], b[1]
	switch s.mode {
	case s2kSimple, s2kSalted, s2kGNU:
		return s, nil
	case s2kIterated:
		if err := need(11); err != nil {
			return s, err
		}
		copy(s.salt[:8], b[2:])
		s.count = b[10]
		return s, nil
	case s2kArgon2:
		if err := need(20); err != nil {
			return s, err
		}
		copy(s.salt[:], b[1:])
		s.hash, s.passes, s.parallelism, s.memory = 0, b[17], b[18], b[19]
		return s, nil
	}
	return s, fail(trustkeep.ErrUnsupported, "string-to-key specifier %d", s.mode)
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

// charge takes the cost of deriving a key of keySize bytes from the budget.
func (s s2kSpec) charge(spend limits.Spender, keySize int) error {
	switch s.mode {
	case s2kIterated:
		// Section 3.7.1.3: the coded count is in bytes.
		bytes := int64(16+int(s.count&15)) << (s.count>>4 + 6)
		if s.hash > 8 && s.hash != 11 { // SHA-384, SHA-512 and SHA-3 take twice as long
			bytes *= 2
		}
		blocks := (keySize + hashSize(s.hash) - 1) / hashSize(s.hash)
		return spend.Derive(max(bytes/bytesPerIteration, 1), blocks)
	case s2kArgon2:
		if s.memory > 31 || s.parallelism == 0 || s.passes == 0 {
			return fail(trustkeep.ErrCorrupt, "Argon2 parameters out of range")
		}
		if s.parallelism > maxArgon2Lanes {
			return fail(trustkeep.ErrLimit, "Argon2 with %d lanes", s.parallelism)
		}
		kib := int64(1) << s.memory
		if err := spend.Memory(kib << 10); err != nil {
			return err
		}
		return spend.Derive(int64(s.passes)*kib, argon2BlockCost)
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

// secretSpec finds the specifier in a secret-key packet (section 5.5.3). The
// secret fields follow the public ones, whose length is that of the public
// key serialized alone. A keySize of zero means that the key has no passphrase.
func secretSpec(p rawPacket, pub *packet.PublicKey) (s s2kSpec, keySize int, err error) {
	public, err := rawOf(pub)
	if err != nil {
		return s, 0, classify("key", err)
	}
	n := len(public.body)
	if len(p.body) <= n || string(p.body[:n]) != string(public.body) {
		return s, 0, fail(trustkeep.ErrUnsupported, "private key in a non-canonical encoding")
	}
	b := p.body[n:]
	take := func(n int) {
		b = b[min(n, len(b)):]
	}
	usage := b[0]
	take(1)
	if usage == 0 {
		return s, 0, nil
	}
	if usage < 253 { // a bare cipher number: the passphrase hashed by MD5
		return s, 0, fail(trustkeep.ErrUnsupported, "private key protected as in PGP 2")
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
	s, err = parseS2K(b)
	return s, max(keySize, 1), err
}
