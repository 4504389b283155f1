package pbe

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"math"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// ParseScheme reads the DER of the AlgorithmIdentifier of an encryption
// scheme. The error wraps trustkeep.ErrUnsupported for algorithms that this
// package lacks and trustkeep.ErrCorrupt for parameters that make no sense.
// Costs are not judged here but in Derive.
func ParseScheme(algorithmIdentifierDER []byte) (*Scheme, error) {
	oid, params, err := parseAlgorithm(algorithmIdentifierDER)
	if err != nil {
		return nil, fmt.Errorf("encryption algorithm: %w", err)
	}
	if oid.Equal(oidPBES2) {
		return parsePBES2(params)
	}
	for _, s := range pbes1Schemes {
		if s.oid.Equal(oid) {
			return parsePBES1(params, Params{KDF: s.kdf, Hash: s.hash, Cipher: s.cipher})
		}
	}
	return nil, fmt.Errorf("encryption algorithm %v: %w", oid, trustkeep.ErrUnsupported)
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }

// parseAlgorithm splits an AlgorithmIdentifier; params is the element behind
// the identifier, nil where there is none.
func parseAlgorithm(der []byte) (oid asn1.ObjectIdentifier, params cryptobyte.String, err error) {
	in := cryptobyte.String(der)
	oid, params, ok := readAlgorithm(&in)
	if !ok || !in.Empty() {
		return nil, nil, corrupt("algorithm identifier")
	}
	return oid, params, nil
}

func readAlgorithm(in *cryptobyte.String) (oid asn1.ObjectIdentifier, params cryptobyte.String, ok bool) {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, tag.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&oid) {
		return nil, nil, false
	}
	if seq.Empty() {
		return oid, nil, true
	}
	var t tag.Tag
	if !seq.ReadAnyASN1Element(&params, &t) || !seq.Empty() {
		return nil, nil, false
	}
	return oid, params, true
}

// readCount reads a positive INTEGER of any size. What does not fit is
// math.MaxInt64, which every budget refuses.
func readCount(in *cryptobyte.String, out *int64) bool {
	n := new(big.Int)
	if !in.ReadASN1Integer(n) {
		return false
	}
	switch {
	case n.IsInt64():
		*out = n.Int64()
	case n.Sign() > 0:
		*out = math.MaxInt64
	default:
		*out = -1
	}
	return true
}

// parsePBES1 reads PBEParameter (RFC 8018 appendix A.3) and pkcs-12PbeParams
// (RFC 7292 appendix C), which look alike.
func parsePBES1(params cryptobyte.String, p Params) (*Scheme, error) {
	var seq, salt cryptobyte.String
	if !params.ReadASN1(&seq, tag.SEQUENCE) ||
		!seq.ReadASN1(&salt, tag.OCTET_STRING) ||
		!readCount(&seq, &p.Iterations) || !seq.Empty() {
		return nil, corrupt("parameters of PBES1")
	}
	p.SaltLength = len(salt)
	return &Scheme{params: p, salt: salt}, nil
}

// parsePBES2 reads PBES2-params (RFC 8018 appendix A.4).
func parsePBES2(params cryptobyte.String) (*Scheme, error) {
	var seq cryptobyte.String
	if !params.ReadASN1(&seq, tag.SEQUENCE) {
		return nil, corrupt("parameters of PBES2")
	}
	kdf, kdfParams, ok := readAlgorithm(&seq)
	if !ok {
		return nil, corrupt("parameters of PBES2")
	}
	enc, encParams, ok := readAlgorithm(&seq)
	if !ok || !seq.Empty() {
		return nil, corrupt("parameters of PBES2")
	}
	p, salt, keyLength, err := parseKDF(kdf, kdfParams)
	if err != nil {
		return nil, err
	}
	s := &Scheme{params: p, salt: salt}
	for _, c := range pbes2Ciphers {
		if c.oid.Equal(enc) {
			s.params.Cipher = c.cipher
		}
	}
	switch {
	case s.params.Cipher == 0:
		return nil, fmt.Errorf("cipher %v: %w", enc, trustkeep.ErrUnsupported)
	case s.params.Cipher == RC2:
		err = s.parseRC2(encParams, keyLength)
	case s.params.Cipher.info().gcm:
		err = s.parseGCM(encParams)
	default:
		var iv cryptobyte.String
		if !encParams.ReadASN1(&iv, tag.OCTET_STRING) || len(iv) != s.params.Cipher.info().iv {
			err = corrupt("initialisation vector")
		}
		s.iv = iv
	}
	if err != nil {
		return nil, err
	}
	if keyLength != 0 && keyLength != int64(s.params.keyLength()) {
		return nil, corrupt(fmt.Sprintf("key length of %d bytes for %s", keyLength, s.params.Cipher.info().name))
	}
	return s, nil
}

// parseRC2 reads RC2-CBC-Parameter (RFC 8018 appendix B.2.3), where a version
// number stands for the effective bits.
func (s *Scheme) parseRC2(params cryptobyte.String, keyLength int64) error {
	var seq, iv cryptobyte.String
	bits := int64(32)
	if !params.ReadASN1(&seq, tag.SEQUENCE) ||
		seq.PeekASN1Tag(tag.INTEGER) && !readCount(&seq, &bits) ||
		!seq.ReadASN1(&iv, tag.OCTET_STRING) || !seq.Empty() || len(iv) != 8 {
		return corrupt("parameters of RC2")
	}
	switch bits {
	case 160:
		bits = 40
	case 120:
		bits = 64
	case 58:
		bits = 128
	default:
		if bits != 32 && (bits < 256 || bits > 1024) {
			return corrupt("effective key bits of RC2")
		}
	}
	if keyLength == 0 {
		keyLength = (bits + 7) / 8
	}
	if keyLength < 1 || keyLength > 128 {
		return corrupt("key length of RC2")
	}
	s.params.RC2Bits, s.params.KeyLength = int(bits), int(keyLength)
	s.iv = iv
	return nil
}

// parseGCM reads GCMParameters (RFC 5084 section 3.2).
func (s *Scheme) parseGCM(params cryptobyte.String) error {
	var seq, nonce cryptobyte.String
	tagLength := int64(12)
	if !params.ReadASN1(&seq, tag.SEQUENCE) ||
		!seq.ReadASN1(&nonce, tag.OCTET_STRING) ||
		seq.PeekASN1Tag(tag.INTEGER) && !readCount(&seq, &tagLength) || !seq.Empty() ||
		tagLength < 12 || tagLength > 16 {
		return corrupt("parameters of GCM")
	}
	if len(nonce) != s.params.Cipher.info().iv {
		return fmt.Errorf("GCM nonce of %d bytes: %w", len(nonce), trustkeep.ErrUnsupported)
	}
	s.iv, s.tag = nonce, int(tagLength)
	return nil
}

// parseKDF reads the parameters of PBKDF2 (RFC 8018 appendix A.2) or scrypt
// (RFC 7914 section 7). keyLength is 0 where the file leaves it to the cipher.
func parseKDF(oid asn1.ObjectIdentifier, params cryptobyte.String) (p Params, salt []byte, keyLength int64, err error) {
	switch {
	case oid.Equal(oidPBKDF2):
		return parsePBKDF2(params)
	case oid.Equal(oidScrypt):
		p.KDF = Scrypt
		var seq, s cryptobyte.String
		if !params.ReadASN1(&seq, tag.SEQUENCE) ||
			!seq.ReadASN1(&s, tag.OCTET_STRING) ||
			!readCount(&seq, &p.N) || !readCount(&seq, &p.R) || !readCount(&seq, &p.P) ||
			!readKeyLength(&seq, &keyLength) || !seq.Empty() {
			return p, nil, 0, corrupt("parameters of scrypt")
		}
		p.SaltLength = len(s)
		return p, s, keyLength, nil
	}
	return p, nil, 0, fmt.Errorf("key derivation function %v: %w", oid, trustkeep.ErrUnsupported)
}

func parsePBKDF2(params cryptobyte.String) (p Params, salt []byte, keyLength int64, err error) {
	p.KDF, p.Hash = PBKDF2, crypto.SHA1
	var seq, s cryptobyte.String
	if !params.ReadASN1(&seq, tag.SEQUENCE) {
		return p, nil, 0, corrupt("parameters of PBKDF2")
	}
	if seq.PeekASN1Tag(tag.SEQUENCE) {
		return p, nil, 0, fmt.Errorf("PBKDF2 with a salt from elsewhere: %w", trustkeep.ErrUnsupported)
	}
	if !seq.ReadASN1(&s, tag.OCTET_STRING) ||
		!readCount(&seq, &p.Iterations) ||
		!readKeyLength(&seq, &keyLength) {
		return p, nil, 0, corrupt("parameters of PBKDF2")
	}
	if !seq.Empty() {
		prf, _, ok := readAlgorithm(&seq)
		if !ok || !seq.Empty() {
			return p, nil, 0, corrupt("parameters of PBKDF2")
		}
		if p.Hash, ok = hashOfHMAC(prf); !ok {
			return p, nil, 0, fmt.Errorf("PBKDF2 with %v: %w", prf, trustkeep.ErrUnsupported)
		}
	}
	p.SaltLength = len(s)
	return p, s, keyLength, nil
}

// readKeyLength reads an optional INTEGER, which must be positive.
func readKeyLength(in *cryptobyte.String, out *int64) bool {
	if !in.PeekASN1Tag(tag.INTEGER) {
		return true
	}
	return readCount(in, out) && *out > 0
}
