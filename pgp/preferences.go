package pgp

import (
	"crypto"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
)

// Cipher is a symmetric cipher for messages, by the numbers of RFC 9580 section 9.3.
type Cipher uint8

// The ciphers. Zero leaves the choice to the recipients' keys.
const (
	AES128 Cipher = 7
	AES192 Cipher = 8
	AES256 Cipher = 9
)

// String returns the name of the cipher.
func (c Cipher) String() string {
	switch c {
	case 0:
		return "by preference"
	case AES128, AES192, AES256:
		return fmt.Sprintf("AES-%d", 128+64*(int(c)-int(AES128)))
	}
	return fmt.Sprintf("cipher %d", uint8(c))
}

// first compares so that c comes first.
func (c Cipher) first(a, b uint8) int {
	switch {
	case a == b:
		return 0
	case a == uint8(c):
		return -1
	case b == uint8(c):
		return 1
	}
	return 0
}

func (c Cipher) check() error {
	if c != 0 && (c < AES128 || c > AES256) {
		return fail(trustkeep.ErrInvalid, "%s", c)
	}
	return nil
}

// Preferences are what a key states about messages to its owner (RFC 9580 sections
// 5.2.3.14 to 5.2.3.17 and 5.2.3.32), the most preferred first. A nil list is the
// default of this package.
type Preferences struct {
	// Ciphers is by default AES-256, AES-192, AES-128.
	Ciphers []Cipher
	// Hashes is by default SHA-256, SHA-512, SHA-384.
	Hashes []crypto.Hash
	// Compression is by default ZLIB, ZIP, none. Empty and not nil is none.
	Compression []Compression
	// AEAD states that a version 4 key's owner reads the encryption of RFC 9580.
	// Version 6 keys always state it.
	AEAD bool
}

// hashNumbers are those of RFC 9580 section 9.5 that may be chosen.
func hashNumber(h crypto.Hash) uint8 {
	return map[crypto.Hash]uint8{
		crypto.SHA256: 8, crypto.SHA384: 9, crypto.SHA512: 10, crypto.SHA3_256: 12, crypto.SHA3_512: 14,
	}[h]
}

func (p Preferences) check() error {
	for _, c := range p.Ciphers {
		if err := c.check(); c == 0 || err != nil {
			return fail(trustkeep.ErrInvalid, "preferred cipher %d", uint8(c))
		}
	}
	for _, h := range p.Hashes {
		if hashNumber(h) == 0 {
			return fail(trustkeep.ErrInvalid, "preferred hash %s", h)
		}
	}
	for _, c := range p.Compression {
		if c > ZLIB {
			return fail(trustkeep.ErrInvalid, "preferred compression %d", uint8(c))
		}
	}
	return nil
}

// state makes a self-signature state the preferences.
func (p Preferences) state(s *packet.Signature) {
	if p.Ciphers != nil {
		s.PreferredSymmetric = nil
		for _, c := range p.Ciphers {
			s.PreferredSymmetric = append(s.PreferredSymmetric, uint8(c))
		}
		// In version 6 and with AEAD, pairs with a mode say the same.
		var suites [][2]uint8
		for _, c := range p.Ciphers {
			for _, suite := range s.PreferredCipherSuites {
				if suite[0] == uint8(c) {
					suites = append(suites, suite)
				}
			}
		}
		if s.PreferredCipherSuites != nil {
			s.PreferredCipherSuites = suites
		}
	}
	if p.Hashes != nil {
		s.PreferredHash = nil
		for _, h := range p.Hashes {
			s.PreferredHash = append(s.PreferredHash, hashNumber(h))
		}
	}
	if p.Compression != nil {
		s.PreferredCompression = []uint8{}
		for _, c := range p.Compression {
			s.PreferredCompression = append(s.PreferredCompression, uint8(c))
		}
		if len(s.PreferredCompression) == 0 {
			s.PreferredCompression = []uint8{uint8(NoCompression)}
		}
	}
}
