package pkcs8

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep/internal/limits"
)

// curveBits stands for the size of keys on a curve, of which the largest costs
// less than it.
const curveBits = 1024

// charge asks for the cost of checking the key, by the largest of its numbers: one
// that is larger than the modulus makes as much work.
func (k *info) charge(spend limits.Spender) error {
	if !k.oid.Equal(oidRSA) && !k.oid.Equal(oidPSS) {
		return spend.Key(curveBits)
	}
	key := k.key
	var seq, number cryptobyte.String
	if !key.ReadASN1(&seq, tag.SEQUENCE) {
		return corrupt("RSA key")
	}
	largest := 0
	for seq.PeekASN1Tag(tag.INTEGER) && seq.ReadASN1(&number, tag.INTEGER) {
		largest = max(largest, bitLen(number))
	}
	if err := spend.Key(largest); err != nil {
		return err
	}
	// OtherPrimeInfos (RFC 8017 appendix A.1.2).
	var others, prime cryptobyte.String
	if seq.Empty() || !seq.ReadASN1(&others, tag.SEQUENCE) {
		return nil
	}
	for others.ReadASN1(&prime, tag.SEQUENCE) {
		for prime.ReadASN1(&number, tag.INTEGER) {
			largest = max(largest, bitLen(number))
		}
		if err := spend.Key(largest); err != nil {
			return err
		}
	}
	return nil
}

// checkCurve refuses an EC key that names another curve inside (RFC 5915 section
// 3) than outside, of which crypto/x509 ignores the one inside.
func (k *info) checkCurve() error {
	key := k.key
	s, err := readSEC1(&key)
	if err != nil {
		return err
	}
	if s.params != nil && !bytes.Equal(s.params, k.params) {
		return corrupt("EC key of two curves")
	}
	return nil
}
