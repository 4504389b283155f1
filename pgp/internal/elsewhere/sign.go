// Package elsewhere uses private keys that are not in memory: on a card, in a KMS, with
// an agent. They are a crypto.Signer, a crypto.Decrypter or an ecdh.KeyExchanger.
package elsewhere

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"hash"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/ecdh"
	"github.com/ProtonMail/go-crypto/openpgp/ecdsa"
	"github.com/ProtonMail/go-crypto/openpgp/ed25519"
	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/x25519"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Is reports whether the private part is elsewhere: not one of go-crypto's own types,
// and not an RSA key in memory.
func Is(p *packet.PrivateKey) bool {
	switch p.PrivateKey.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, *eddsa.PrivateKey, *ed25519.PrivateKey, *ecdh.PrivateKey, *x25519.PrivateKey:
		return false
	}
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSAEncryptOnly, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoECDSA,
		packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoECDH, packet.PubKeyAlgoX25519:
		return p.PrivateKey != nil
	}
	return false
}

// Sign makes the signature by a private part in memory or elsewhere. h has hashed the
// content.
func Sign(s *packet.Signature, h hash.Hash, by *packet.PrivateKey, c *packet.Config) error {
	if !Is(by) {
		return s.Sign(h, by, c)
	}
	signer, ok := by.PrivateKey.(crypto.Signer)
	if !ok {
		return fault.New(trustkeep.ErrUnsupported, "a private key elsewhere that does not sign")
	}
	seen := &observed{Hash: h}
	private := *by
	recorded := &recorder{Signer: signer}
	private.PrivateKey = recorded
	var err error
	switch by.PubKeyAlgo {
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519:
		err = signEd25519(s, seen, &private, recorded, c)
	default:
		err = s.Sign(seen, &private, c) // asks a crypto.Signer, and forgets its error
	}
	if recorded.err != nil {
		return Failed(recorded.err)
	}
	if err != nil {
		return err
	}
	// A card that answers with the signature of another key, or with none, is noticed here.
	if err := by.PublicKey.VerifySignature(fixed(seen.digest), s); err != nil {
		return fault.New(trustkeep.ErrKeyMismatch, "the private key elsewhere made a signature that does not verify")
	}
	return nil
}

// Failed passes on the error of a key elsewhere.
func Failed(err error) error {
	return fmt.Errorf("pgp: the private key elsewhere: %w: %w", err, trustkeep.ErrRejected)
}

// signEd25519 has go-crypto sign by a key that is made up, which sets up everything but
// the signature, and replaces that.
func signEd25519(s *packet.Signature, seen *observed, private *packet.PrivateKey, signer crypto.Signer, c *packet.Config) error {
	private.PrivateKey = nil
	switch public := private.PublicKey.PublicKey.(type) {
	case *eddsa.PublicKey:
		placeholder, err := eddsa.GenerateKey(c.Random(), public.GetCurve())
		if err != nil {
			return err
		}
		private.PrivateKey = placeholder
	case *ed25519.PublicKey:
		placeholder, err := ed25519.GenerateKey(c.Random())
		if err != nil {
			return err
		}
		private.PrivateKey = placeholder
	default:
		return fault.New(trustkeep.ErrUnsupported, "a private key of this algorithm elsewhere")
	}
	if err := s.Sign(seen, private, c); err != nil {
		return err
	}
	signature, err := signer.Sign(c.Random(), seen.digest, crypto.Hash(0))
	if err != nil {
		return err // recorded
	}
	if len(signature) != 64 {
		return fault.New(trustkeep.ErrKeyMismatch, "a signature of %d bytes by the private key elsewhere", len(signature))
	}
	if private.PubKeyAlgo == packet.PubKeyAlgoEd25519 {
		s.EdSig = signature
		return nil
	}
	s.EdDSASigR, s.EdDSASigS = integer(signature[:32]), integer(signature[32:])
	return nil
}

// observed remembers the digest.
type observed struct {
	hash.Hash
	digest []byte
}

func (o *observed) Sum(b []byte) []byte {
	o.digest = o.Hash.Sum(nil)
	return append(b, o.digest...)
}

// recorder remembers the error of a signer.
type recorder struct {
	crypto.Signer
	err error
}

func (r *recorder) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	signature, err := r.Signer.Sign(random, digest, o)
	r.err = err
	return signature, err
}

// fixed is a hash that has come out.
type fixed []byte

func (f fixed) Write(p []byte) (int, error) { return len(p), nil }
func (f fixed) Sum(b []byte) []byte         { return append(b, f...) }
func (f fixed) Reset()                      {}
func (f fixed) Size() int                   { return len(f) }
func (f fixed) BlockSize() int              { return 1 }

// integer is a multi-precision integer, RFC 9580 section 3.2, in the form in which
// go-crypto holds the halves of a signature.
type integer []byte

func (i integer) trimmed() []byte {
	for len(i) > 0 && i[0] == 0 {
		i = i[1:]
	}
	return i
}

func (i integer) Bytes() []byte { return i.trimmed() }

func (i integer) BitLength() uint16 {
	b := i.trimmed()
	if len(b) == 0 {
		return 0
	}
	n := 8 * (len(b) - 1)
	for first := b[0]; first > 0; first >>= 1 {
		n++
	}
	return uint16(n)
}

func (i integer) EncodedBytes() []byte {
	n := i.BitLength()
	return append([]byte{byte(n >> 8), byte(n)}, i.trimmed()...)
}

func (i integer) EncodedLength() uint16 { return uint16(2 + len(i.trimmed())) }

func (i integer) ReadFrom(io.Reader) (int64, error) { return 0, io.ErrUnexpectedEOF }
