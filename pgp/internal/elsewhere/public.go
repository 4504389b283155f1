package elsewhere

import (
	"crypto"
	stdecdh "crypto/ecdh"
	stdecdsa "crypto/ecdsa"
	stded25519 "crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"math/big"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// Object identifiers of curves, RFC 9580 section 9.2, with their length.
const (
	oidP256    = "\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07"
	oidP384    = "\x05\x2B\x81\x04\x00\x22"
	oidP521    = "\x05\x2B\x81\x04\x00\x23"
	oidEd25519 = "\x09\x2B\x06\x01\x04\x01\xDA\x47\x0F\x01"
	oidX25519  = "\x0A\x2B\x06\x01\x04\x01\x97\x55\x01\x05\x01"
)

// Private makes the key packet of a private key that is elsewhere, with the private key
// in it. Of keys that could do either, encrypts decides.
func Private(private crypto.PrivateKey, at time.Time, version6, subkey, encrypts bool) (*packet.PrivateKey, error) {
	public, err := PublicOf(private)
	if err != nil {
		return nil, err
	}
	algorithm, material, err := material(public, version6)
	if err != nil {
		return nil, err
	}
	body := binary.BigEndian.AppendUint32([]byte{4}, uint32(at.Unix()))
	body = append(body, algorithm)
	if version6 {
		body[0] = 6
		body = binary.BigEndian.AppendUint32(body, uint32(len(material)))
	}
	tag := byte(grammar.TagPublicKey)
	if subkey {
		tag = grammar.TagPublicSub
	}
	parsed, err := grammar.New(tag, append(body, material...)).Parsed()
	if err != nil {
		return nil, fault.Classify("key elsewhere", err)
	}
	p := parsed.(*packet.PublicKey)
	if encrypts && !p.PubKeyAlgo.CanEncrypt() || !encrypts && !p.PubKeyAlgo.CanSign() || !Fits(p, private, public) {
		return nil, fault.New(trustkeep.ErrInvalid, "a %T for this use", private)
	}
	return &packet.PrivateKey{PublicKey: *p, PrivateKey: private}, nil
}

// material returns the algorithm of a public key and its fields, RFC 9580 section 5.5.5.
func material(public crypto.PublicKey, version6 bool) (algorithm byte, fields []byte, err error) {
	number := func(b []byte) []byte { return integer(b).EncodedBytes() }
	unsupported := fault.New(trustkeep.ErrUnsupported, "a key elsewhere of type %T", public)
	switch key := public.(type) {
	case *rsa.PublicKey:
		return byte(packet.PubKeyAlgoRSA), append(number(key.N.Bytes()), number(big.NewInt(int64(key.E)).Bytes())...), nil
	case *stdecdsa.PublicKey:
		oid := map[elliptic.Curve]string{elliptic.P256(): oidP256, elliptic.P384(): oidP384, elliptic.P521(): oidP521}[key.Curve]
		point, err := key.Bytes()
		if oid == "" || err != nil {
			return 0, nil, unsupported
		}
		return byte(packet.PubKeyAlgoECDSA), append([]byte(oid), number(point)...), nil
	case stded25519.PublicKey:
		if version6 {
			return byte(packet.PubKeyAlgoEd25519), key, nil
		}
		return byte(packet.PubKeyAlgoEdDSA), append([]byte(oidEd25519), number(append([]byte{0x40}, key...))...), nil
	case *stdecdh.PublicKey:
		// Key derivation by the hash and the cipher that RFC 9580 section 11.5.1 names.
		const p256, p384, p521 = "\x03\x01\x08\x07", "\x03\x01\x09\x08", "\x03\x01\x0A\x09"
		oid, kdf, point := "", "", key.Bytes()
		switch key.Curve() {
		case stdecdh.P256():
			oid, kdf = oidP256, p256
		case stdecdh.P384():
			oid, kdf = oidP384, p384
		case stdecdh.P521():
			oid, kdf = oidP521, p521
		case stdecdh.X25519():
			if version6 {
				return byte(packet.PubKeyAlgoX25519), point, nil
			}
			oid, kdf, point = oidX25519, p256, append([]byte{0x40}, point...)
		default:
			return 0, nil, unsupported
		}
		return byte(packet.PubKeyAlgoECDH), append(append([]byte(oid), number(point)...), kdf...), nil
	}
	return 0, nil, unsupported
}
