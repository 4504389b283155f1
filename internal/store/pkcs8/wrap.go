package pkcs8

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// Wrap returns the DER of a PrivateKeyInfo for a private key in any of the
// unencrypted forms: PrivateKeyInfo itself (a copy of it), RSAPrivateKey (RFC
// 8017 appendix A.1.2), ECPrivateKey (RFC 5915 section 3) and the DSA keys of
// OpenSSL. The form is told by its structure, since labels are often wrong.
// Curves and sizes are not judged, so that keys which crypto/x509 does not know
// pass. The error wraps trustkeep.ErrCorrupt.
func Wrap(der []byte) ([]byte, error) {
	if IsPrivateKeyInfo(der) {
		if _, err := parseInfo(der); err != nil {
			return nil, err
		}
		return append([]byte(nil), der...), nil
	}
	switch kindOf(der) {
	case kindRSA:
		return wrapRSA(der)
	case kindEC:
		return wrapEC(der)
	case kindDSA:
		return wrapDSA(der)
	}
	return nil, corrupt("private key")
}

// IsTraditional reports whether der has the shape of a private key in one of
// the forms older than PKCS#8 that Wrap reads.
func IsTraditional(der []byte) bool { return kindOf(der) != 0 }

type kind uint8

const (
	kindRSA kind = iota + 1 // SEQUENCE of 9 INTEGERs and, for several primes, a SEQUENCE
	kindDSA                 // SEQUENCE of 6 INTEGERs
	kindEC                  // SEQUENCE of an INTEGER, an OCTET STRING, [0] and [1]
)

func kindOf(der []byte) kind {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, tag.SEQUENCE) || !in.Empty() || !seq.SkipASN1(tag.INTEGER) {
		return 0
	}
	if seq.PeekASN1Tag(tag.OCTET_STRING) {
		if !seq.SkipASN1(tag.OCTET_STRING) ||
			!seq.SkipOptionalASN1(tag.Tag(0).ContextSpecific().Constructed()) ||
			!seq.SkipOptionalASN1(tag.Tag(1).ContextSpecific().Constructed()) || !seq.Empty() {
			return 0
		}
		return kindEC
	}
	integers := 1
	for ; seq.PeekASN1Tag(tag.INTEGER) && integers < 9; integers++ {
		if !seq.SkipASN1(tag.INTEGER) {
			return 0
		}
	}
	switch {
	case integers == 6 && seq.Empty():
		return kindDSA
	case integers == 9 && (seq.Empty() || seq.SkipASN1(tag.SEQUENCE) && seq.Empty()):
		return kindRSA
	}
	return 0
}

func wrapRSA(der []byte) ([]byte, error) {
	k := info{key: der}
	if _, _, err := k.rsaPublic(); err != nil {
		return nil, err
	}
	if version := k.version(); version > 1 {
		return nil, fmt.Errorf("pkcs8: RSA key of version %d: %w", version, trustkeep.ErrCorrupt)
	}
	return marshalInfo(oidRSA, []byte{0x05, 0x00}, der)
}

// version is the INTEGER at the beginning of a traditional key, a large number
// where it is none.
func (k *info) version() int {
	key := k.key
	var seq cryptobyte.String
	var version uint8
	if !key.ReadASN1(&seq, tag.SEQUENCE) || !seq.ReadASN1Integer(&version) {
		return 256
	}
	return int(version)
}

// sec1 is an ECPrivateKey. The slices are parts of the input.
type sec1 struct {
	private []byte
	params  []byte // DER of ECParameters, nil where absent
	public  []byte // content of the BIT STRING, nil where absent
}

func readSEC1(in *cryptobyte.String) (s sec1, err error) {
	var seq, private, params, public, bits cryptobyte.String
	var version int
	var hasParams, hasPublic bool
	if !in.ReadASN1(&seq, tag.SEQUENCE) || !seq.ReadASN1Integer(&version) || version != 1 ||
		!seq.ReadASN1(&private, tag.OCTET_STRING) ||
		!seq.ReadOptionalASN1(&params, &hasParams, tag.Tag(0).ContextSpecific().Constructed()) ||
		!seq.ReadOptionalASN1(&public, &hasPublic, tag.Tag(1).ContextSpecific().Constructed()) || !seq.Empty() {
		return s, corrupt("EC key")
	}
	s.private = private
	if hasParams {
		s.params = params
	}
	if hasPublic {
		if !public.ReadASN1(&bits, tag.BIT_STRING) || !public.Empty() || len(bits) == 0 || bits[0] != 0 {
			return s, corrupt("public key of an EC key")
		}
		s.public = bits[1:]
	}
	return s, nil
}

// wrapEC moves the parameters into the AlgorithmIdentifier, as RFC 5915 section
// 3 leaves to PKCS#8 and as OpenSSL does.
func wrapEC(der []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	s, err := readSEC1(&in)
	if err != nil {
		return nil, err
	}
	params := cryptobyte.String(s.params)
	var element cryptobyte.String
	var t tag.Tag
	if !params.ReadAnyASN1Element(&element, &t) || !params.Empty() || t != tag.OBJECT_IDENTIFIER && t != tag.SEQUENCE {
		return nil, corrupt("EC key without a curve")
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1OctetString(s.private)
		if s.public != nil {
			b.AddASN1(tag.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1BitString(s.public)
			})
		}
	})
	key, err := b.Bytes()
	if err != nil {
		return nil, corrupt("EC key")
	}
	defer clear(key)
	return marshalInfo(oidEC, element, key)
}

// wrapDSA: version, p, q, g, y, x become parameters p, q, g and the key x
// (RFC 3279 section 2.3.2; PKCS #11 section 6.2 has the private half).
func wrapDSA(der []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var numbers [5]cryptobyte.String
	if version := (&info{key: in}).version(); version != 0 || !in.ReadASN1(&seq, tag.SEQUENCE) || !seq.SkipASN1(tag.INTEGER) {
		return nil, corrupt("DSA key")
	}
	for i := range numbers {
		if !readPositive(&seq, &numbers[i]) {
			return nil, corrupt("DSA key")
		}
	}
	var params, key cryptobyte.Builder
	params.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, n := range numbers[:3] {
			addInteger(b, n)
		}
	})
	addInteger(&key, numbers[4])
	p, err := params.Bytes()
	if err != nil {
		return nil, corrupt("DSA key")
	}
	x, err := key.Bytes()
	if err != nil {
		return nil, corrupt("DSA key")
	}
	defer clear(x)
	return marshalInfo(oidDSA, p, x)
}

// marshalInfo returns the DER of a PrivateKeyInfo of version 0.
func marshalInfo(algorithm asn1.ObjectIdentifier, params, key []byte) ([]byte, error) {
	b := cryptobyte.NewFixedBuilder(make([]byte, 0, len(params)+len(key)+64))
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(algorithm)
			b.AddBytes(params)
		})
		b.AddASN1OctetString(key)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, corrupt("private key")
	}
	return der, nil
}
