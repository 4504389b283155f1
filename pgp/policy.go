package pgp

import "strings"

// Policy says which weaknesses of a partner's keys and messages are tolerated.
// The zero value, Strict, tolerates none. Add relaxations with |, one by one
// and for that partner only; results list those that mattered.
type Policy uint16

// Strict is the default: no SHA-1 in signatures or self-signatures, no
// message without integrity protection, no DSA and ElGamal, no RSA below
// 2048 bits, no key without key flags.
const Strict Policy = 0

// The relaxations.
const (
	// LegacySHA1SelfSignatures accepts keys whose self-signatures use SHA-1,
	// as GnuPG before 2.0.23 made them.
	LegacySHA1SelfSignatures Policy = 1 << iota
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

	// Legacy is every relaxation together.
	Legacy = LegacySHA1SelfSignatures | LegacySHA1Signatures | LegacyMissingMDC |
		LegacyDSAElGamal | LegacyRSA1024 | LegacyNoKeyFlags
)

// policyNames is in the order of the bits.
func policyNames() []string {
	return []string{
		"sha1-self-signatures", "sha1-signatures", "missing-mdc",
		"dsa-elgamal", "rsa-1024", "no-key-flags",
	}
}

// firstRelaxation is the lowest bit used.
const firstRelaxation = LegacySHA1SelfSignatures

// Allows tells whether every relaxation of r is part of p.
func (p Policy) Allows(r Policy) bool { return p&r == r }

// String returns "strict", or the names of the relaxations joined by "+".
func (p Policy) String() string {
	if p&Legacy == Strict {
		return "strict"
	}
	var names []string
	for i, name := range policyNames() {
		if p&(firstRelaxation<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}

// MarshalText yields what String returns.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
