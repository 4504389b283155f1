package bcfks

import (
	"crypto"
	"crypto/pbkdf2"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"
	"math"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/scrypt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

var (
	oidPBKDF2       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11} // RFC 7914 section 7
	oidHMACSHA512   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidHMACSHA3_512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 16}
)

type hashFunc func() hash.Hash

// hashOfHMAC knows what BouncyCastle knows here, nil for the rest.
func hashOfHMAC(oid asn1.ObjectIdentifier) hashFunc {
	switch {
	case oid.Equal(oidHMACSHA512):
		return sha512.New
	case oid.Equal(oidHMACSHA3_512):
		return func() hash.Hash { return sha3.New512() }
	}
	return nil
}

// Purposes are appended to the password, so that every use has a key of its
// own.
const (
	purposeStore     = "STORE_ENCRYPTION"
	purposeIntegrity = "INTEGRITY_CHECK"
	purposePrivate   = "PRIVATE_KEY_ENCRYPTION"
	purposeSecret    = "SECRET_KEY_ENCRYPTION"
)

// kdf is a KeyDerivationFunc: PBKDF2 (RFC 8018 appendix A.2) or scrypt (RFC
// 7914).
type kdf struct {
	salt      []byte
	keyLength int64 // stated, 0 if not

	hash       hashFunc // of PBKDF2
	hashName   string
	iterations int64

	scrypt bool
	n, r   int64
}

func parseKDF(der []byte) (*kdf, error) {
	oid, params, ok := splitAlgorithm(der)
	var seq, salt cryptobyte.String
	k := new(kdf)
	if !ok || !params.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1(&salt, cbasn1.OCTET_STRING) {
		return nil, corrupt("key derivation")
	}
	k.salt = salt
	switch {
	case oid.Equal(oidPBKDF2):
		return k, k.parsePBKDF2(seq)
	case oid.Equal(oidScrypt):
		k.scrypt = true
		var p int64 // not used, see derive
		if !seq.ReadASN1Integer(&k.n) || !seq.ReadASN1Integer(&k.r) || !seq.ReadASN1Integer(&p) ||
			!k.readKeyLength(&seq) || !seq.Empty() {
			return nil, corrupt("parameters of scrypt")
		}
		return k, nil
	}
	return nil, fmt.Errorf("key derivation %v: %w", oid, trustkeep.ErrUnsupported)
}

func (k *kdf) parsePBKDF2(seq cryptobyte.String) error {
	if !seq.ReadASN1Integer(&k.iterations) || !k.readKeyLength(&seq) {
		return corrupt("parameters of PBKDF2")
	}
	if seq.Empty() {
		return fmt.Errorf("PBKDF2 with HMAC-SHA1: %w", trustkeep.ErrUnsupported)
	}
	prf, params, ok := splitAlgorithm(seq)
	if !ok || !isNull(params) {
		return corrupt("parameters of PBKDF2")
	}
	if k.hash = hashOfHMAC(prf); k.hash == nil {
		return fmt.Errorf("PBKDF2 with %v: %w", prf, trustkeep.ErrUnsupported)
	}
	k.hashName = "SHA512"
	if prf.Equal(oidHMACSHA3_512) {
		k.hashName = "SHA3-512"
	}
	return nil
}

func (k *kdf) readKeyLength(seq *cryptobyte.String) bool {
	if !seq.PeekASN1Tag(cbasn1.INTEGER) {
		return true
	}
	return seq.ReadASN1Integer(&k.keyLength) && k.keyLength > 0
}

func (k *kdf) String() string {
	if k.scrypt {
		return fmt.Sprintf("scrypt N=%d r=%d p=%d", k.n, k.r, k.r)
	}
	return fmt.Sprintf("PBKDF2-HMAC-%s %d", k.hashName, k.iterations)
}

// costOfHash is what an HMAC-SHA-512 costs, in those of SHA-256, which the budget
// counts in.
const costOfHash = 5

// charge asks for the cost of deriving n bytes.
func (k *kdf) charge(n int, spend limits.Spender) error {
	if !k.scrypt {
		size := k.hash().Size()
		return spend.Derive(k.iterations, costOfHash*((n+size-1)/size))
	}
	if k.n < 2 || k.n&(k.n-1) != 0 || k.r < 1 {
		return corrupt(k.String())
	}
	if k.n > math.MaxInt32 || k.r > math.MaxInt32/k.n || k.r > math.MaxInt16 {
		return fmt.Errorf("%s: %w", k, trustkeep.ErrLimit)
	}
	if err := spend.Memory(128 * (k.n*k.r + 2*k.r + k.r*k.r)); err != nil {
		return err
	}
	return spend.Derive(4*k.n*k.r, int(k.r))
}

// derive turns a password into n bytes for one purpose. Its cost has been
// charged. BouncyCastle passes the block size r to scrypt a second time where
// the parallelization p belongs, so p has no say here either.
func (k *kdf) derive(password []byte, purpose string, n int, spend limits.Spender) (key []byte, err error) {
	if k.scrypt {
		if err := fips.Refuse("scrypt"); err != nil {
			return nil, err
		}
	} else if err := fips.PBKDF2(crypto.SHA512, len(k.salt), n); err != nil {
		return nil, err
	}
	secret := append(encodePassword(password), encodePassword([]byte(purpose))...)
	defer clear(secret)
	if k.scrypt {
		spend.Alone(func() { key, err = scrypt.Key(secret, k.salt, int(k.n), int(k.r), int(k.r), n) })
		if err != nil {
			return nil, corrupt(k.String())
		}
		return key, nil
	}
	return pbkdf2.Key(k.hash, string(secret), k.salt, int(k.iterations), n)
}

// encodePassword is that of PKCS#12 (RFC 7292 appendix B.1), with the empty
// password no bytes at all.
func encodePassword(password []byte) []byte {
	if len(password) == 0 {
		return nil
	}
	return append(javaio.PasswordUnits(password), 0, 0)
}
