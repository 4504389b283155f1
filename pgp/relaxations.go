package pgp

import "strings"

// Relaxations lists the weaknesses of a partner's keys and messages that are
// accepted. The zero value, Strict, accepts none. Combine them with |, and set
// them for the one partner who needs them. Result.Needed lists those that a
// message made use of.
type Relaxations uint16

// Strict is the default: no SHA-1 in signatures or self-signatures, no
// message without integrity protection, no DSA and ElGamal, no RSA below
// 2048 bits, no key without key flags, no secp256k1.
const Strict Relaxations = 0

// The relaxations.
const (
	// LegacySHA1SelfSignatures accepts keys whose self-signatures use SHA-1,
	// as GnuPG before 2.0.23 made them.
	LegacySHA1SelfSignatures Relaxations = 1 << iota
	// LegacySHA1Signatures accepts signatures on data that use SHA-1.
	LegacySHA1Signatures
	// LegacyMissingMDC decrypts messages without integrity protection (packet
	// type 9, RFC 9580 section 5.7). Whoever can change such a message in
	// transit can change its plaintext.
	LegacyMissingMDC
	// LegacyDSAElGamal uses DSA and ElGamal keys.
	LegacyDSAElGamal
	// LegacyRSA1024 uses RSA keys of 1024 bits and more.
	LegacyRSA1024
	// LegacyNoKeyFlags treats a key without key flags as fit for all that its
	// algorithm can do, as PGP 8 and GnuPG do.
	LegacyNoKeyFlags
	// LegacySecp256k1 uses keys on the curve secp256k1, that of Bitcoin, which is in no
	// version of OpenPGP and which GnuPG has.
	LegacySecp256k1

	// Legacy is every relaxation together.
	Legacy = LegacySHA1SelfSignatures | LegacySHA1Signatures | LegacyMissingMDC |
		LegacyDSAElGamal | LegacyRSA1024 | LegacyNoKeyFlags | LegacySecp256k1
)

// relaxationNames is in the order of the bits.
func relaxationNames() []string {
	return []string{
		"sha1-self-signatures", "sha1-signatures", "missing-mdc",
		"dsa-elgamal", "rsa-1024", "no-key-flags", "secp256k1",
	}
}

// firstRelaxation is the lowest bit used.
const firstRelaxation = LegacySHA1SelfSignatures

// allows reports whether r holds every relaxation of all.
func (r Relaxations) allows(all Relaxations) bool { return r&all == all }

// String returns "strict", or the names of the relaxations joined by "+".
func (r Relaxations) String() string {
	if r&Legacy == Strict {
		return "strict"
	}
	var names []string
	for i, name := range relaxationNames() {
		if r&(firstRelaxation<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// MarshalText returns String.
func (r Relaxations) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
