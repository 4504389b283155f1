package pbe

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"io"
	"math"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// Seal encrypts plain under the password with a salt and, for PBES2, an
// initialisation vector from rand. It returns the DER of the
// AlgorithmIdentifier and the ciphertext. Parameters that nothing here can
// express are trustkeep.ErrUnsupported.
func (p Params) Seal(plain, password []byte, rand io.Reader) (algorithmIdentifier, ciphertext []byte, err error) {
	s, err := p.NewScheme(rand)
	if err != nil {
		return nil, nil, err
	}
	algorithmIdentifier, err = s.Marshal()
	if err != nil {
		return nil, nil, err
	}
	ciphertext, err = s.Seal(plain, password)
	return algorithmIdentifier, ciphertext, err
}

// NewScheme draws a salt and, for PBES2, an initialisation vector from rand.
// It is the part of Seal that needs rand, so that a writer can draw in order
// and encrypt in parallel.
func (p Params) NewScheme(rand io.Reader) (*Scheme, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.SaltLength == 0 {
		p.SaltLength = defaultSaltLength
	}
	p.Iterations = quickkdf.Cost(rand, p.Iterations)
	s := &Scheme{params: p, salt: make([]byte, p.SaltLength), tag: gcmTag}
	if p.pbes2() {
		s.iv = make([]byte, p.Cipher.info().iv)
	}
	for _, b := range [][]byte{s.salt, s.iv} {
		if _, err := io.ReadFull(rand, b); err != nil {
			return nil, fmt.Errorf("random bytes: %w", err)
		}
	}
	return s, nil
}

// gcmTag is the tag length written, in bytes.
const gcmTag = 16

// Seal encrypts plain under the password. A scheme made by NewScheme must be
// used once: its initialisation vector is part of it.
func (s *Scheme) Seal(plain, password []byte) ([]byte, error) {
	derived, err := s.Derive(password, limits.Unlimited{})
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	return s.SealWith(derived, plain)
}

// check refuses what Marshal cannot express or Derive cannot do.
func (p Params) check() error {
	bad := func(what string) error {
		return fmt.Errorf("encryption with %s: %w", what, trustkeep.ErrUnsupported)
	}
	if p.Cipher == 0 || int(p.Cipher) >= len(ciphers) {
		return bad("an unknown cipher")
	}
	if p.SaltLength < 0 || p.SaltLength > 1024 {
		return bad("a salt of that length")
	}
	switch p.KDF {
	case PKCS12, PBKDF1, PBKDF2:
		if p.Iterations < 1 || p.Iterations > math.MaxInt32 {
			return bad("that many iterations")
		}
	case Scrypt:
		if p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 || p.R*p.P >= 1<<30 || p.N > math.MaxInt32/128/p.R {
			return bad("these parameters of scrypt")
		}
	}
	if p.pbes1OID() == nil && (!p.pbes2() || p.pbes2OID() == nil) {
		return bad("this combination of key derivation and cipher")
	}
	if _, hmac := digestAndHMAC(p.Hash); p.KDF == PBKDF2 && hmac == nil {
		return bad("this hash")
	}
	if p.Cipher == RC2 && (p.keyLength() > 128 || p.keyLength() < 1 || rc2Version(p.rc2Bits()) == 0) {
		return bad("this key length of RC2")
	}
	return nil
}

func (p Params) pbes1OID() asn1.ObjectIdentifier {
	for _, s := range pbes1Schemes {
		if s.kdf == p.KDF && s.hash == p.Hash && s.cipher == p.Cipher {
			return s.oid
		}
	}
	return nil
}

func (p Params) pbes2OID() asn1.ObjectIdentifier {
	for _, c := range pbes2Ciphers {
		if c.cipher == p.Cipher {
			return c.oid
		}
	}
	return nil
}

// rc2Version encodes effective key bits, the reverse of parseRC2; 0 for none.
func rc2Version(bits int) int64 {
	switch {
	case bits == 40:
		return 160
	case bits == 64:
		return 120
	case bits == 128:
		return 58
	case bits >= 256 && bits <= 1024:
		return int64(bits)
	}
	return 0
}

// Marshal returns the DER of the AlgorithmIdentifier.
func (s *Scheme) Marshal() ([]byte, error) {
	p := s.params
	var b cryptobyte.Builder
	if !p.pbes2() {
		addAlgorithm(&b, p.pbes1OID(), func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1OctetString(s.salt)
				b.AddASN1Int64(p.Iterations)
			})
		})
		return b.Bytes()
	}
	addAlgorithm(&b, oidPBES2, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			// The key length is left to the cipher wherever that fixes it,
			// as OpenSSL leaves it.
			keyLength := 0
			if p.Cipher == RC2 {
				keyLength = p.keyLength()
			}
			addKDF(b, p, s.salt, keyLength)
			addAlgorithm(b, p.pbes2OID(), s.addIV)
		})
	})
	return b.Bytes()
}

// addIV writes the parameters of a PBES2 cipher.
func (s *Scheme) addIV(b *cryptobyte.Builder) {
	switch {
	case s.params.Cipher == RC2:
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(rc2Version(s.params.rc2Bits()))
			b.AddASN1OctetString(s.iv)
		})
	case s.params.Cipher.info().gcm:
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(s.iv)
			b.AddASN1Int64(int64(s.tag))
		})
	default:
		b.AddASN1OctetString(s.iv)
	}
}

// addKDF writes the AlgorithmIdentifier of PBKDF2 or scrypt; keyLength 0 is
// left out.
func addKDF(b *cryptobyte.Builder, p Params, salt []byte, keyLength int) {
	oid := oidPBKDF2
	if p.KDF == Scrypt {
		oid = oidScrypt
	}
	addAlgorithm(b, oid, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			if p.KDF == Scrypt {
				b.AddASN1Int64(p.N)
				b.AddASN1Int64(p.R)
				b.AddASN1Int64(p.P)
			} else {
				b.AddASN1Int64(p.Iterations)
			}
			if keyLength != 0 {
				b.AddASN1Int64(int64(keyLength))
			}
			// DER leaves out what equals the default.
			if p.KDF == PBKDF2 && p.Hash != crypto.SHA1 {
				_, hmac := digestAndHMAC(p.Hash)
				addAlgorithm(b, hmac, addNull)
			}
		})
	})
}

func addNull(b *cryptobyte.Builder) { b.AddASN1NULL() }

func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, params cryptobyte.BuilderContinuation) {
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		params(b)
	})
}
