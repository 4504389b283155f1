package session

import (
	"context"
	"crypto"
	"crypto/aes"
	stdecdh "crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"

	"github.com/ProtonMail/go-crypto/openpgp/aes/keywrap"
	"github.com/ProtonMail/go-crypto/openpgp/ecdh"
	"github.com/ProtonMail/go-crypto/openpgp/elgamal"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// Decrypt opens the body of a session key packet encrypted to a public key, by RSA,
// ElGamal, ECDH or X25519. The private part is that of go-crypto, a crypto.Decrypter
// (RSA) or an ecdh.KeyExchanger (ECDH and X25519). ok is false for other algorithms,
// which go-crypto has to open.
//
// The cipher is zero in version 6, where the data says it. An error that wraps
// ErrUnsupported names a cipher that this library does not have; it is returned only if
// the checksum of the session key is right, so that it says nothing to whoever makes
// session keys up (RFC 9580 section 5.1.3). One that wraps ErrRejected is of a private
// part elsewhere: of a key exchange, which fails before anything is decrypted, or of a
// context that ended. Any other error of RSA could tell about the padding.
func Decrypt(body []byte, private *packet.PrivateKey) (c packet.CipherFunction, key []byte, ok bool, err error) {
	b := reader{rest: body}
	version := b.octet()
	switch version {
	case 3:
		b.take(8)
	case 6:
		b.take(int(b.octet()))
	default:
		return 0, nil, false, nil
	}
	algorithm := packet.PublicKeyAlgorithm(b.octet())
	if b.failed || algorithm != private.PubKeyAlgo {
		return 0, nil, true, errDamaged
	}
	var plain []byte
	switch algorithm {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSAEncryptOnly:
		if plain, err = openRSA(&b, private); errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return 0, nil, true, elsewhere.Failed(err) // whatever the padding
		}
	case packet.PubKeyAlgoElGamal:
		key, isElGamal := private.PrivateKey.(*elgamal.PrivateKey)
		c1, c2 := b.integer(), b.integer()
		if !isElGamal || b.failed {
			return 0, nil, true, errDamaged
		}
		plain, err = elgamal.Decrypt(key, new(big.Int).SetBytes(c1), new(big.Int).SetBytes(c2))
	case packet.PubKeyAlgoECDH:
		if plain, err = openECDH(&b, private); errors.Is(err, trustkeep.ErrRejected) {
			return 0, nil, true, err
		}
	case packet.PubKeyAlgoX25519:
		exchanger, elsewhere := private.PrivateKey.(stdecdh.KeyExchanger)
		if !elsewhere {
			return 0, nil, false, nil
		}
		if c, key, err = openX25519(&b, private, exchanger, version); err != nil && !errors.Is(err, trustkeep.ErrRejected) {
			err = errDamaged
		}
		return c, key, true, err
	default:
		return 0, nil, false, nil
	}
	if err != nil {
		return 0, nil, true, errDamaged
	}
	defer clear(plain)
	c, key, err = unpack(plain, version)
	return c, key, true, err
}

var errDamaged = fault.New(trustkeep.ErrCorrupt, "session key")

// unpack reads cipher, key and checksum.
func unpack(plain []byte, version byte) (packet.CipherFunction, []byte, error) {
	var id byte
	if version == 3 {
		if len(plain) == 0 {
			return 0, nil, errDamaged
		}
		id, plain = plain[0], plain[1:]
	}
	if len(plain) < 2 {
		return 0, nil, errDamaged
	}
	key := plain[:len(plain)-2]
	var sum uint16
	for _, b := range key {
		sum += uint16(b)
	}
	if plain[len(plain)-2] != byte(sum>>8) || plain[len(plain)-1] != byte(sum) {
		return 0, nil, errDamaged
	}
	c := packet.CipherFunction(id)
	if version == 3 && !c.IsSupported() {
		if _, size := foreign(id); size > 0 && size == len(key) {
			return 0, nil, CheckCipher(id)
		}
		return 0, nil, errDamaged
	}
	return c, append([]byte(nil), key...), nil
}

func openRSA(b *reader, private *packet.PrivateKey) ([]byte, error) {
	decrypter, isDecrypter := private.PrivateKey.(crypto.Decrypter)
	public, isRSA := private.PublicKey.PublicKey.(*rsa.PublicKey)
	c := b.integer()
	if !isDecrypter || !isRSA || b.failed || len(c) > public.Size() {
		return nil, errDamaged
	}
	padded := make([]byte, public.Size())
	copy(padded[len(padded)-len(c):], c)
	//lint:ignore SA1019 what the format has; see Decrypt for what errors may tell
	return decrypter.Decrypt(rand.Reader, padded, &rsa.PKCS1v15DecryptOptions{})
}

func openECDH(b *reader, private *packet.PrivateKey) ([]byte, error) {
	point := b.integer()
	wrapped := b.take(int(b.octet()))
	params, err := ecdhParams(&private.PublicKey)
	if err != nil || b.failed {
		return nil, errDamaged
	}
	switch key := private.PrivateKey.(type) {
	case *ecdh.PrivateKey:
		return ecdh.Decrypt(key, point, wrapped, params.oid, private.Fingerprint)
	case stdecdh.KeyExchanger:
		if key.Curve() == stdecdh.X25519() { // 0x40 and the point, RFC 9580 section 11.2
			if len(point) != 33 || point[0] != 0x40 {
				return nil, errDamaged
			}
			point = point[1:]
		}
		ephemeral, err := key.Curve().NewPublicKey(point)
		if err != nil {
			return nil, err
		}
		shared, err := key.ECDH(ephemeral)
		if err != nil {
			return nil, elsewhere.Failed(err)
		}
		defer clear(shared)
		kek, err := params.kek(shared, private.Fingerprint)
		if err != nil {
			return nil, err
		}
		plain, err := keywrap.Unwrap(kek, wrapped)
		if err != nil {
			return nil, err
		}
		// PKCS #5 padding, section 11.5.
		if len(plain) == 0 || int(plain[len(plain)-1]) > len(plain) {
			return nil, errDamaged
		}
		return plain[:len(plain)-int(plain[len(plain)-1])], nil
	}
	return nil, errDamaged
}

// ecdhParameters are those of a public key, RFC 9580 section 11.5.
type ecdhParameters struct {
	oid          []byte // with its length
	hash, cipher byte
}

func ecdhParams(p *packet.PublicKey) (ecdhParameters, error) {
	raw, err := grammar.Of(p)
	if err != nil {
		return ecdhParameters{}, err
	}
	b := reader{rest: raw.Body}
	b.take(6) // version, time, algorithm
	if p.Version == 6 {
		b.take(4)
	}
	start := b.rest
	oid := b.take(int(b.octet()))
	b.integer()
	kdf := b.take(int(b.octet()))
	if b.failed || len(kdf) != 3 || kdf[0] != 1 {
		return ecdhParameters{}, errDamaged
	}
	return ecdhParameters{start[:1+len(oid)], kdf[1], kdf[2]}, nil
}

// kek derives the key that wraps the session key.
func (p ecdhParameters) kek(shared, fingerprint []byte) ([]byte, error) {
	hash := map[byte]crypto.Hash{8: crypto.SHA256, 9: crypto.SHA384, 10: crypto.SHA512}[p.hash]
	size := packet.CipherFunction(p.cipher).KeySize()
	if hash == 0 || !hash.Available() || !aesCipher(packet.CipherFunction(p.cipher)) || size > hash.Size() {
		return nil, errDamaged
	}
	h := hash.New()
	h.Write([]byte{0, 0, 0, 1})
	h.Write(shared)
	h.Write(p.oid)
	h.Write([]byte{byte(packet.PubKeyAlgoECDH), 3, 1, p.hash, p.cipher})
	h.Write([]byte("Anonymous Sender    "))
	h.Write(fingerprint)
	return h.Sum(nil)[:size], nil
}

// openX25519 is RFC 9580 section 5.1.6.
func openX25519(b *reader, private *packet.PrivateKey, key stdecdh.KeyExchanger, version byte) (packet.CipherFunction, []byte, error) {
	point := b.take(32)
	wrapped := b.take(int(b.octet()))
	var c packet.CipherFunction
	if version == 3 && len(wrapped) > 0 {
		c, wrapped = packet.CipherFunction(wrapped[0]), wrapped[1:]
		if !aesCipher(c) {
			return 0, nil, errDamaged
		}
	}
	if b.failed {
		return 0, nil, errDamaged
	}
	ephemeral, err := stdecdh.X25519().NewPublicKey(point)
	if err != nil {
		return 0, nil, err
	}
	shared, err := key.ECDH(ephemeral)
	if err != nil {
		return 0, nil, elsewhere.Failed(err)
	}
	defer clear(shared)
	secret := append(append(append([]byte(nil), point...), key.PublicKey().Bytes()...), shared...)
	defer clear(secret)
	kek, err := hkdf.Key(sha256.New, secret, nil, "OpenPGP X25519", aes.BlockSize)
	if err != nil {
		return 0, nil, err
	}
	plain, err := keywrap.Unwrap(kek, wrapped)
	return c, plain, err
}

// reader takes fields from the front.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) octet() byte {
	b := r.take(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// integer reads a multi-precision integer, RFC 9580 section 3.2.
func (r *reader) integer() []byte {
	head := r.take(2)
	if head == nil {
		return nil
	}
	return r.take((int(head[0])<<8 + int(head[1]) + 7) / 8)
}
