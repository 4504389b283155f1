// Package material bounds what using a key may cost, and names its algorithm.
package material

import (
	"crypto/dsa" //lint:ignore SA1019 keys of partners; they are used if a relaxation allows it
	"crypto/rsa"
	"strconv"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/elgamal"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Bounds on what one public-key operation may cost. A multi-precision integer
// may have 65,535 bits (RFC 9580 section 3.2), with which a single signature
// check takes seconds.
const (
	maxRSABits      = 16384
	maxDSABits      = 4096
	maxDSASubgroup  = 512
	maxElGamalBits  = 8192
	maxSelfSigCost  = 1000 // signature checks of a usual key
	largeRSABits    = 4096
	largeRSACost    = 16
	dsaCost         = 4
	MaxPackets      = 10_000 // keys with thousands of certifications exist
	maxSubkeys      = 1000
	maxUserIDs      = 1000
	MaxUserIDLength = 4096
)

// Check refuses keys whose use would cost too much.
func Check(e *openpgp.Entity) error {
	if err := checkPublicKey(e.PrimaryKey); err != nil {
		return err
	}
	for _, s := range e.Subkeys {
		if err := checkPublicKey(s.PublicKey); err != nil {
			return err
		}
	}
	if len(e.Subkeys) > maxSubkeys || len(e.Identities) > maxUserIDs {
		return fault.New(trustkeep.ErrLimit, "key with %d subkeys and %d user IDs", len(e.Subkeys), len(e.Identities))
	}
	n := len(e.Revocations) + len(e.DirectSignatures)
	for _, id := range e.Identities {
		n += len(id.SelfCertifications) + len(id.Revocations)
	}
	for _, s := range e.Subkeys {
		n += len(s.Bindings) + len(s.Revocations)
		for _, b := range s.Bindings {
			if b.Packet.EmbeddedSignature != nil {
				n += checkCost(s.PublicKey)
			}
		}
	}
	if cost := n * checkCost(e.PrimaryKey); cost > maxSelfSigCost {
		return fault.New(trustkeep.ErrLimit, "key with %d self-signatures", n)
	}
	return nil
}

// checkCost is what one signature check costs, in checks of a usual key.
func checkCost(p *packet.PublicKey) int {
	switch k := p.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() > largeRSABits {
			return largeRSACost
		}
	case *dsa.PublicKey:
		return dsaCost
	}
	return 1
}

func checkPublicKey(p *packet.PublicKey) error {
	var bits, most int
	switch k := p.PublicKey.(type) {
	case *rsa.PublicKey:
		bits, most = k.N.BitLen(), maxRSABits
	case *dsa.PublicKey:
		bits, most = k.P.BitLen(), maxDSABits
		if q := k.Q.BitLen(); q > maxDSASubgroup {
			bits, most = q, maxDSASubgroup
		}
	case *elgamal.PublicKey:
		bits, most = k.P.BitLen(), maxElGamalBits
	}
	if bits > most {
		return fault.New(trustkeep.ErrUnsupported, "key of %d bits", bits)
	}
	return nil
}

// Name names the algorithm of a key as GnuPG does: rsa3072, ed25519,
// cv25519, nistp256; the rest after the RFC.
func Name(p *packet.PublicKey) string {
	bits := func() string {
		n, err := p.BitLength()
		if err != nil {
			return ""
		}
		return strconv.Itoa(int(n))
	}
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSAEncryptOnly, packet.PubKeyAlgoRSASignOnly:
		return "rsa" + bits()
	case packet.PubKeyAlgoDSA:
		return "dsa" + bits()
	case packet.PubKeyAlgoElGamal:
		return "elg" + bits()
	case packet.PubKeyAlgoEd25519:
		return "ed25519"
	case packet.PubKeyAlgoX25519:
		return "x25519"
	case packet.PubKeyAlgoEd448:
		return "ed448"
	case packet.PubKeyAlgoX448:
		return "x448"
	case packet.PubKeyAlgoMldsa65Ed25519:
		return "mldsa65+ed25519"
	case packet.PubKeyAlgoMldsa87Ed448:
		return "mldsa87+ed448"
	case packet.PubKeyAlgoMlkem768X25519:
		return "mlkem768+x25519"
	case packet.PubKeyAlgoMlkem1024X448:
		return "mlkem1024+x448"
	case packet.PubKeyAlgoSlhdsaShake128s, packet.PubKeyAlgoSlhdsaShake128f, packet.PubKeyAlgoSlhdsaShake256s:
		return "slhdsa"
	}
	curve, err := p.Curve()
	if err != nil {
		return "algorithm " + strconv.Itoa(int(p.PubKeyAlgo))
	}
	switch curve {
	case packet.Curve25519:
		if p.PubKeyAlgo == packet.PubKeyAlgoECDH {
			return "cv25519"
		}
		return "ed25519"
	case packet.Curve448:
		if p.PubKeyAlgo == packet.PubKeyAlgoECDH {
			return "cv448"
		}
		return "ed448"
	case packet.CurveNistP256, packet.CurveNistP384, packet.CurveNistP521:
		return "nistp" + string(curve[1:])
	case packet.CurveBrainpoolP256, packet.CurveBrainpoolP384, packet.CurveBrainpoolP512:
		return "brainpoolP" + string(curve[len("BrainpoolP"):]) + "r1"
	}
	return strings.ToLower(string(curve))
}
