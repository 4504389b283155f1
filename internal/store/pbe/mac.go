package pbe

import (
	"crypto"
	"crypto/hmac"
	"fmt"
	"io"
	"math"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// MACParams says how to authenticate: everything but salt and value. It is
// comparable.
type MACParams struct {
	// KDF is PKCS12 for the MAC of RFC 7292, PBKDF2 or Scrypt for PBMAC1
	// (RFC 8018 section 7.1, RFC 9579).
	KDF KDF
	// Hash is the hash of the HMAC.
	Hash crypto.Hash
	// PRF is the hash of PBKDF2.
	PRF        crypto.Hash
	Iterations int64
	N, R, P    int64 // of Scrypt
	// KeyLength is PBMAC1's, in bytes; 0 is the length of the hash.
	KeyLength int
	// SaltLength in bytes; 0 is 16.
	SaltLength int
}

// String describes the MAC for people and audits: "HMAC-SHA256 PKCS12 10000",
// "PBMAC1 HMAC-SHA256 PBKDF2-HMAC-SHA256 2048".
func (p MACParams) String() string {
	switch p.KDF {
	case PKCS12:
		return fmt.Sprintf("HMAC-%s PKCS12 %d", hashName(p.Hash), p.Iterations)
	case PBKDF2:
		return fmt.Sprintf("PBMAC1 HMAC-%s PBKDF2-HMAC-%s %d", hashName(p.Hash), hashName(p.PRF), p.Iterations)
	case Scrypt:
		return fmt.Sprintf("PBMAC1 HMAC-%s scrypt N=%d r=%d p=%d", hashName(p.Hash), p.N, p.R, p.P)
	}
	return "invalid"
}

// MAC is the integrity protection of a PKCS#12 file. It is read-only and safe
// for concurrent use.
type MAC struct {
	params MACParams
	salt   []byte
	value  []byte
}

// Bounds of PBMAC1's key length in bytes. Below 20 RFC 9579 section 9 wants a
// refusal, since a key of one byte is guessed in 256 tries; the upper bound is
// the one that OpenSSL sets. A longer key, though well formed, is refused as
// unsupported.
const (
	minMACKey = 20
	maxMACKey = 64
)

// ParseMAC reads the parts of MacData (RFC 7292 section 4): the DER of the
// digest's AlgorithmIdentifier, the digest, the salt and the iterations. PBMAC1
// has its own salt and iterations in the AlgorithmIdentifier and ignores these.
func ParseMAC(algorithmIdentifierDER, digest, salt []byte, iterations int64) (*MAC, error) {
	oid, params, err := parseAlgorithm(algorithmIdentifierDER)
	if err != nil {
		return nil, fmt.Errorf("MAC algorithm: %w", err)
	}
	m := &MAC{value: digest}
	if oid.Equal(oidPBMAC1) {
		err = m.parsePBMAC1(params)
	} else {
		hash, ok := hashOfDigest(oid)
		if !ok {
			return nil, fmt.Errorf("MAC algorithm %s: %w", macName(oid), trustkeep.ErrUnsupported)
		}
		m.params = MACParams{KDF: PKCS12, Hash: hash, Iterations: iterations, SaltLength: len(salt)}
		m.salt = salt
	}
	if err != nil {
		return nil, err
	}
	if len(m.value) != m.params.Hash.Size() {
		return nil, corrupt(fmt.Sprintf("MAC of %d bytes", len(m.value)))
	}
	return m, nil
}

// parsePBMAC1 reads PBMAC1-params (RFC 8018 appendix A.5).
func (m *MAC) parsePBMAC1(params cryptobyte.String) error {
	var seq cryptobyte.String
	if !params.ReadASN1(&seq, tag.SEQUENCE) {
		return corrupt("parameters of PBMAC1")
	}
	kdf, kdfParams, ok := readAlgorithm(&seq)
	if !ok {
		return corrupt("parameters of PBMAC1")
	}
	scheme, _, ok := readAlgorithm(&seq)
	if !ok || !seq.Empty() {
		return corrupt("parameters of PBMAC1")
	}
	p, salt, keyLength, err := parseKDF(kdf, kdfParams)
	if err != nil {
		return err
	}
	// RFC 9579 section 4 makes the key length mandatory.
	if keyLength < minMACKey {
		return corrupt(fmt.Sprintf("PBMAC1 with a key of %d bytes", keyLength))
	}
	if keyLength > maxMACKey {
		return fmt.Errorf("PBMAC1 with a key of %d bytes: %w", keyLength, trustkeep.ErrUnsupported)
	}
	hash, ok := hashOfHMAC(scheme)
	if !ok {
		return fmt.Errorf("PBMAC1 with %v: %w", scheme, trustkeep.ErrUnsupported)
	}
	m.salt = salt
	m.params = MACParams{
		KDF: p.KDF, Hash: hash, PRF: p.Hash, Iterations: p.Iterations, N: p.N, R: p.R, P: p.P,
		KeyLength: int(keyLength), SaltLength: len(salt),
	}
	return nil
}

// Params returns the parameters, to authenticate something else in the same
// way.
func (m *MAC) Params() MACParams { return m.params }

// String describes the MAC for people and audits (see MACParams.String).
func (m *MAC) String() string { return m.params.String() }

// Derive turns the password into the key for Verify, which the caller should
// clear. Costs and errors as for Scheme.Derive.
func (m *MAC) Derive(password []byte, spend limits.Spender) ([]byte, error) {
	return m.params.derive(password, m.salt, spend)
}

func (p MACParams) derive(password, salt []byte, spend limits.Spender) ([]byte, error) {
	kdf := Params{KDF: p.KDF, Hash: p.PRF, Iterations: p.Iterations, N: p.N, R: p.R, P: p.P}
	n := p.KeyLength
	if p.KDF == PKCS12 {
		kdf.Hash = p.Hash
		n = p.Hash.Size()
	}
	if err := fips.HMAC(p.Hash, n); err != nil {
		return nil, err
	}
	if fips.Enforced() {
		if err := kdf.approvedKDF(len(salt), n); err != nil {
			return nil, err
		}
	}
	if err := kdf.charge(n, 0, spend); err != nil {
		return nil, err
	}
	switch p.KDF {
	case PKCS12:
		encoded := bmpPassword(password)
		defer clear(encoded)
		return pkcs12KDF(p.Hash, encoded, salt, p.Iterations, idMAC, n), nil
	case PBKDF2:
		return kdf.pbkdf2(password, salt, n)
	case Scrypt:
		return kdf.scrypt(password, salt, n, spend)
	}
	return nil, fmt.Errorf("key derivation function %d: %w", p.KDF, trustkeep.ErrUnsupported)
}

// Verify reports whether the MAC of the content, given in one or more pieces,
// is the one in the file. The comparison takes the same time wherever they
// differ.
func (m *MAC) Verify(key []byte, content ...[]byte) bool {
	return hmac.Equal(m.value, m.params.sum(key, content...))
}

func (p MACParams) sum(key []byte, content ...[]byte) []byte {
	h := hmac.New(p.Hash.New, key)
	for _, c := range content {
		h.Write(c)
	}
	return h.Sum(nil)
}

// NewMAC draws a salt from rand. The MAC has no value before Authenticate.
func (p MACParams) NewMAC(rand io.Reader) (*MAC, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.SaltLength == 0 {
		p.SaltLength = defaultSaltLength
	}
	if p.KDF != PKCS12 && p.KeyLength == 0 {
		p.KeyLength = p.Hash.Size()
	}
	p.Iterations = quickkdf.Cost(rand, p.Iterations)
	m := &MAC{params: p, salt: make([]byte, p.SaltLength)}
	if _, err := io.ReadFull(rand, m.salt); err != nil {
		return nil, fmt.Errorf("random bytes: %w", err)
	}
	return m, nil
}

func (p MACParams) check() error {
	bad := func(what string) error { return fmt.Errorf("MAC with %s: %w", what, trustkeep.ErrUnsupported) }
	if digest, _ := digestAndHMAC(p.Hash); digest == nil {
		return bad("this hash")
	}
	if p.SaltLength < 0 || p.SaltLength > 1024 {
		return bad("a salt of that length")
	}
	switch p.KDF {
	case PKCS12:
	case PBKDF2:
		if _, prf := digestAndHMAC(p.PRF); prf == nil {
			return bad("this hash")
		}
	default:
		return bad("this key derivation function")
	}
	if p.Iterations < 1 || p.Iterations > math.MaxInt32 {
		return bad("that many iterations")
	}
	if p.KDF != PKCS12 && p.KeyLength != 0 && (p.KeyLength < minMACKey || p.KeyLength > maxMACKey) {
		return bad("a key of that length")
	}
	return nil
}

// Authenticate returns a copy of m with the value for the content under the
// derived key.
func (m *MAC) Authenticate(key []byte, content ...[]byte) *MAC {
	return &MAC{params: m.params, salt: m.salt, value: m.params.sum(key, content...)}
}

// Marshal returns the DER of MacData (RFC 7292 section 4).
func (m *MAC) Marshal() ([]byte, error) {
	digest, hmacOID := digestAndHMAC(m.params.Hash)
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			if m.params.KDF == PKCS12 {
				addAlgorithm(b, digest, addNull)
			} else {
				addAlgorithm(b, oidPBMAC1, func(b *cryptobyte.Builder) {
					b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
						kdf := Params{KDF: m.params.KDF, Hash: m.params.PRF, Iterations: m.params.Iterations}
						addKDF(b, kdf, m.salt, m.params.KeyLength)
						addAlgorithm(b, hmacOID, addNull)
					})
				})
			}
			b.AddASN1OctetString(m.value)
		})
		if m.params.KDF == PKCS12 {
			b.AddASN1OctetString(m.salt)
			b.AddASN1Int64(m.params.Iterations)
			return
		}
		// RFC 9579 section 4: ignored by readers, but there has to be
		// something.
		b.AddASN1OctetString(m.salt)
		b.AddASN1Int64(1)
	})
	return b.Bytes()
}
