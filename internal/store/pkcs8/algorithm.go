package pkcs8

import (
	"encoding/asn1"
	"fmt"
	"math/bits"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// Algorithm identifiers of private keys.
var (
	oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}  // RFC 8017 appendix A.1
	oidPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10} // RFC 8017 appendix A.2.3
	oidEC  = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}      // RFC 5480 section 2.1.1
	oidDSA = asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}      // RFC 3279 section 2.3.2

	oidX25519  = asn1.ObjectIdentifier{1, 3, 101, 110} // RFC 8410 section 3, these four
	oidX448    = asn1.ObjectIdentifier{1, 3, 101, 111}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidEd448   = asn1.ObjectIdentifier{1, 3, 101, 113}
)

// named algorithms are those of which the identifier says it all.
var named = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{oidX25519, "X25519"},
	{oidX448, "X448"},
	{oidEd25519, "Ed25519"},
	{oidEd448, "Ed448"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 3, 1}, "DH"},             // PKCS #3
	{asn1.ObjectIdentifier{1, 2, 840, 10046, 2, 1}, "DH"},                 // RFC 3279 section 2.3.3
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17}, "ML-DSA-44"}, // RFC 9881 section 3
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}, "ML-DSA-65"},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 19}, "ML-DSA-87"},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 1}, "ML-KEM-512"}, // RFC 9935 section 3
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 2}, "ML-KEM-768"},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 3}, "ML-KEM-1024"},
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 1}, "GOST R 34.10-2012"}, // RFC 9215 section 2
	{asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 2}, "GOST R 34.10-2012"},
	{asn1.ObjectIdentifier{1, 2, 643, 2, 2, 19}, "GOST R 34.10-2001"}, // RFC 4491 section 2.3
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}, "RSA-OAEP"},   // RFC 8017 appendix A.2.1
}

// The parameter sets of SLH-DSA are numbered from 20 on in NIST's arc of
// signature algorithms (RFC 9909 section 3).
var (
	oidSigAlgs = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3}
	slhDSA     = [...]string{
		"SHA2-128s", "SHA2-128f", "SHA2-192s", "SHA2-192f", "SHA2-256s", "SHA2-256f",
		"SHAKE-128s", "SHAKE-128f", "SHAKE-192s", "SHAKE-192f", "SHAKE-256s", "SHAKE-256f",
	}
)

const firstSLHDSA = 20

// curves are the named curves; goCurve marks those of crypto/elliptic.
var curves = []struct {
	oid     asn1.ObjectIdentifier
	name    string
	goCurve bool
}{
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, "P-256", true}, // RFC 5480 section 2.1.1.1
	{asn1.ObjectIdentifier{1, 3, 132, 0, 34}, "P-384", true},
	{asn1.ObjectIdentifier{1, 3, 132, 0, 35}, "P-521", true},
	{asn1.ObjectIdentifier{1, 3, 132, 0, 33}, "P-224", true},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 1}, "P-192", false},
	{asn1.ObjectIdentifier{1, 3, 132, 0, 10}, "secp256k1", false},                    // SEC 2
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 1}, "brainpoolP160r1", false}, // RFC 5639 section 4.1
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 3}, "brainpoolP192r1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 5}, "brainpoolP224r1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7}, "brainpoolP256r1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 8}, "brainpoolP256t1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 9}, "brainpoolP320r1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 11}, "brainpoolP384r1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 12}, "brainpoolP384t1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 13}, "brainpoolP512r1", false},
	{asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 14}, "brainpoolP512t1", false},
	{asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}, "SM2", false}, // GB/T 32918.5
}

// Describe names the algorithm of the PrivateKeyInfo der: "RSA 2048",
// "RSA-PSS 2048", "DSA 1024", "EC P-256", "EC secp256k1", "EC explicit" for
// parameters that are spelled out, "Ed25519", "ML-DSA-65"; where the identifier
// is not known, "unknown 1.2.3". The error wraps trustkeep.ErrCorrupt where der
// is malformed, also inside the key as far as the name needs it.
func Describe(der []byte) (algorithm string, err error) {
	k, err := parseInfo(der)
	if err != nil {
		return "", err
	}
	return k.describe()
}

// DescribePublic names the algorithm of a SubjectPublicKeyInfo (RFC 5280 section
// 4.1.2.7) as Describe does that of a private key.
func DescribePublic(der []byte) (algorithm string, err error) {
	in := cryptobyte.String(der)
	var outer, id, rsa, modulus cryptobyte.String
	var bits asn1.BitString
	k := new(info)
	if !in.ReadASN1(&outer, tag.SEQUENCE) || !outer.ReadASN1(&id, tag.SEQUENCE) || !outer.ReadASN1BitString(&bits) ||
		!id.ReadASN1ObjectIdentifier(&k.oid) {
		return "", corrupt("public key")
	}
	k.params = id
	name := "RSA"
	switch {
	case k.oid.Equal(oidRSA):
	case k.oid.Equal(oidPSS):
		name = "RSA-PSS"
	default:
		return k.describe()
	}
	key := cryptobyte.String(bits.RightAlign())
	if !key.ReadASN1(&rsa, tag.SEQUENCE) || !readPositive(&rsa, &modulus) {
		return "", corrupt("public RSA key")
	}
	return name + " " + strconv.Itoa(bitLen(modulus)), nil
}

func (k *info) describe() (string, error) {
	switch {
	case k.oid.Equal(oidRSA):
		return k.describeRSA("RSA")
	case k.oid.Equal(oidPSS):
		return k.describeRSA("RSA-PSS")
	case k.oid.Equal(oidEC):
		name, _, err := k.curve()
		return "EC " + name, err
	case k.oid.Equal(oidDSA):
		params := k.params
		var seq, p cryptobyte.String
		if !params.ReadASN1(&seq, tag.SEQUENCE) || !seq.ReadASN1(&p, tag.INTEGER) {
			return "", corrupt("parameters of a DSA key")
		}
		return "DSA " + strconv.Itoa(bitLen(p)), nil
	}
	if n := len(oidSigAlgs); len(k.oid) == n+1 && k.oid[:n].Equal(oidSigAlgs) {
		if i := k.oid[n] - firstSLHDSA; i >= 0 && i < len(slhDSA) {
			return "SLH-DSA-" + slhDSA[i], nil
		}
	}
	for _, a := range named {
		if a.oid.Equal(k.oid) {
			return a.name, nil
		}
	}
	return "unknown " + k.oid.String(), nil
}

func (k *info) describeRSA(name string) (string, error) {
	n, _, err := k.rsaPublic()
	if err != nil {
		return "", err
	}
	return name + " " + strconv.Itoa(bitLen(n)), nil
}

// curve names the curve in the parameters of an EC key. standard is whether
// crypto/elliptic has it.
func (k *info) curve() (name string, standard bool, err error) {
	params := k.params
	if params.PeekASN1Tag(tag.SEQUENCE) {
		return "explicit", false, nil // RFC 3279 section 2.3.5
	}
	var oid asn1.ObjectIdentifier
	if !params.ReadASN1ObjectIdentifier(&oid) {
		return "", false, corrupt("parameters of an EC key")
	}
	for _, c := range curves {
		if c.oid.Equal(oid) {
			return c.name, c.goCurve, nil
		}
	}
	return oid.String(), false, nil
}

// bitLen is the length of the value of a non-negative INTEGER.
func bitLen(content []byte) int {
	for len(content) > 0 && content[0] == 0 {
		content = content[1:]
	}
	if len(content) == 0 {
		return 0
	}
	return 8*len(content) - bits.LeadingZeros8(content[0])
}

func corrupt(what string) error {
	return fmt.Errorf("pkcs8: %s: %w", what, trustkeep.ErrCorrupt)
}
