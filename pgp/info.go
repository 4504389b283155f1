package pgp

import (
	"crypto"
	"encoding/hex"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/material"
)

// Usage is what a primary key or subkey may be used for, by its key flags
// (RFC 9580 section 5.2.3.29).
type Usage uint8

// The usages.
const (
	UsageEncrypt Usage = 1 << iota
	UsageSign
	UsageCertify
	UsageAuthenticate
)

// String returns the letters that GnuPG prints, in its order: e, s, c, a.
func (u Usage) String() string {
	var b strings.Builder
	for i, letter := range "esca" {
		if u&(1<<i) != 0 {
			b.WriteRune(letter)
		}
	}
	return b.String()
}

// MarshalText returns String.
func (u Usage) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// SecretState is where the private part of a primary key or subkey is.
type SecretState uint8

// The secret states.
const (
	SecretNone      SecretState = iota // public key only
	SecretElsewhere                    // left out by GnuPG: kept offline or on a card
	SecretLocked                       // a passphrase is needed
	SecretOpen                         // usable
)

// String returns "none", "elsewhere", "locked" or "open".
func (s SecretState) String() string {
	return [...]string{"none", "elsewhere", "locked", "open"}[s&3]
}

// Info describes a key at one moment.
type Info struct {
	Fingerprint string
	KeyID       string
	Version     int
	Algorithm   string // as GnuPG names it: ed25519, rsa3072, nistp256
	Created     time.Time
	Expires     time.Time // zero: never
	Usage       Usage
	Secret      SecretState
	Expired     bool
	Revoked     bool
	// RevocationReason is the reason that the owner gave; it may hold any text.
	RevocationReason string
	// Problem says why the key cannot be used other than by expiry and
	// revocation, such as a self-signature that is not
	// allowed. Nil when there is none.
	Problem error
	UserIDs []UserIDInfo // in the order of the key
	Subkeys []SubkeyInfo // in the order of the key
	// Findings are weaknesses: what Strict refuses, and what is always
	// accepted but an owner should know.
	Findings []string
}

// UserIDInfo describes a user ID.
type UserIDInfo struct {
	// ID is the text as the key has it. It may hold anything; print it
	// through trustkeep.Printable.
	ID      string
	Primary bool // the one that stands for the key
	Valid   bool // has a self-signature that holds, and is not revoked
	Revoked bool
	Signed  time.Time // when the newest valid self-signature was made
}

// SubkeyInfo describes a subkey. As in GnuPG, the subkeys of an expired or
// revoked key are expired or revoked.
type SubkeyInfo struct {
	Fingerprint string
	KeyID       string
	Algorithm   string
	Created     time.Time
	Expires     time.Time // zero: never
	Usage       Usage
	Secret      SecretState
	Expired     bool
	Revoked     bool
	Problem     error // as in Info
}

// Info describes the key at the time of o.Clock, as far as o.Allow accepts it.
func (k *Key) Info(o Options) Info {
	cfg := o
	e := k.view(cfg.Allow)
	at := evaluationTime(e, cfg)
	pc := cfg.packetConfig(at)
	info := Info{
		Fingerprint: k.Fingerprint(), KeyID: k.KeyID(), Version: k.Version(),
		Algorithm: material.Name(e.PrimaryKey), Created: k.NotBefore(), Secret: secretState(e.PrivateKey),
	}
	self, err := e.PrimarySelfSignature(time.Time{}, pc)
	if err != nil {
		info.Problem = k.selfSignatureProblem(e, cfg)
		// What the key would be with every relaxation is still worth showing.
		self, _ = k.view(Legacy).PrimarySelfSignature(time.Time{}, pc)
	}
	info.Usage = usage(self, e.PrimaryKey, pc)
	info.Expires = expiry(e.PrimaryKey, self, directSignature(e))
	info.Expired = expiredAt(info.Expires, at)
	if r := validRevocation(e.Revocations); r != nil {
		info.Revoked, info.RevocationReason = true, r.RevocationReasonText
	}
	info.UserIDs = k.userIDs(e, at, pc)
	for i := range e.Subkeys {
		s := k.subkeyInfo(&e.Subkeys[i], cfg, at, pc)
		s.Expired = s.Expired || info.Expired
		s.Revoked = s.Revoked || info.Revoked
		info.Subkeys = append(info.Subkeys, s)
	}
	info.Findings = k.findings()
	return info
}

func expiredAt(expires, at time.Time) bool { return !expires.IsZero() && !at.Before(expires) }

// selfSignatureProblem tells a key that is not allowed from one that
// nobody vouches for.
func (k *Key) selfSignatureProblem(e *openpgp.Entity, cfg Options) error {
	if !cfg.Allow.allows(LegacySHA1SelfSignatures) {
		legacy := k.view(cfg.Allow | LegacySHA1SelfSignatures)
		if _, err := legacy.PrimarySelfSignature(time.Time{}, &packet.Config{}); err == nil {
			return &WeaknessError{k.Fingerprint(), "self-signatures by SHA-1", LegacySHA1SelfSignatures}
		}
	}
	for _, id := range e.Identities {
		if id.Revoked(nil, time.Time{}, &packet.Config{}) {
			return fail(trustkeep.ErrRejected, "key %s: every user ID is revoked", k.Fingerprint())
		}
	}
	return fail(trustkeep.ErrRejected, "key %s: no valid self-signature", k.Fingerprint())
}

func (k *Key) userIDs(e *openpgp.Entity, at time.Time, pc *packet.Config) []UserIDInfo {
	_, primary := e.PrimaryIdentity(at, pc)
	var out []UserIDInfo
	for _, p := range k.state().packets {
		if p.Tag != grammar.TagUserID {
			continue
		}
		u := UserIDInfo{ID: string(p.Body)}
		if id := e.Identities[u.ID]; id != nil {
			sig, err := id.LatestValidSelfCertification(at, pc)
			u.Revoked = id.Revoked(sig, at, pc)
			u.Valid = err == nil && !u.Revoked
			u.Primary = id == primary
			if sig != nil {
				u.Signed = sig.CreationTime.UTC()
			}
		}
		out = append(out, u)
	}
	return out
}

func (k *Key) subkeyInfo(s *openpgp.Subkey, cfg Options, at time.Time, pc *packet.Config) SubkeyInfo {
	info := SubkeyInfo{
		Fingerprint: hex.EncodeToString(s.PublicKey.Fingerprint), KeyID: keyID(s.PublicKey.KeyId),
		Algorithm: material.Name(s.PublicKey), Created: s.PublicKey.CreationTime.UTC(), Secret: secretState(s.PrivateKey),
	}
	sig, err := s.LatestValidBindingSignature(at, pc)
	if err != nil {
		info.Problem = fail(trustkeep.ErrRejected, "subkey %s: no valid binding signature", info.Fingerprint)
		if cfg.Allow != Legacy {
			legacy := k.view(Legacy)
			for i := range legacy.Subkeys {
				if legacy.Subkeys[i].PublicKey == s.PublicKey {
					sig, err = legacy.Subkeys[i].LatestValidBindingSignature(at, pc)
				}
			}
			if err == nil {
				info.Problem = &WeaknessError{k.Fingerprint(), "subkey bound by SHA-1", LegacySHA1SelfSignatures}
			}
		}
	}
	info.Revoked = s.Revoked(sig, at)
	if sig == nil {
		return info
	}
	info.Usage = usage(sig, s.PublicKey, pc)
	info.Expires = expiry(s.PublicKey, sig)
	info.Expired = expiredAt(info.Expires, at)
	return info
}

func usage(sig *packet.Signature, p *packet.PublicKey, pc *packet.Config) Usage {
	if sig == nil {
		return 0
	}
	if !sig.FlagsValid {
		if !pc.AllowAllKeyFlagsWhenMissing() {
			return 0
		}
		var u Usage
		if p.PubKeyAlgo.CanEncrypt() {
			u |= UsageEncrypt
		}
		if p.PubKeyAlgo.CanSign() {
			u |= UsageSign | UsageCertify | UsageAuthenticate
		}
		return u
	}
	var u Usage
	for _, f := range []struct {
		set   bool
		usage Usage
	}{
		{sig.FlagEncryptCommunications || sig.FlagEncryptStorage, UsageEncrypt},
		{sig.FlagSign, UsageSign},
		{sig.FlagCertify, UsageCertify},
		{sig.FlagAuthenticate, UsageAuthenticate},
	} {
		if f.set {
			u |= f.usage
		}
	}
	return u
}

func secretState(p *packet.PrivateKey) SecretState {
	switch {
	case p == nil:
		return SecretNone
	case p.Dummy():
		return SecretElsewhere
	case p.Encrypted:
		return SecretLocked
	}
	return SecretOpen
}

// findings lists weaknesses, whatever is allowed.
func (k *Key) findings() []string {
	var out []string
	e := k.view(Legacy)
	note := func(p *packet.PublicKey, what string) {
		if weak := weakAlgorithm(p); weak != "" {
			out = append(out, what+" is "+weak)
		}
	}
	note(e.PrimaryKey, "primary key")
	for _, s := range e.Subkeys {
		note(s.PublicKey, "subkey "+keyID(s.PublicKey.KeyId))
	}
	if sig, err := e.PrimarySelfSignature(time.Time{}, &packet.Config{}); err == nil && sig.Hash == crypto.SHA1 {
		out = append(out, "newest self-signature uses SHA-1")
	}
	return out
}

// weakAlgorithm names what Strict refuses about a key's algorithm; empty for
// nothing.
func weakAlgorithm(p *packet.PublicKey) string {
	weak, _ := weakness(p)
	return weak
}

func weakness(p *packet.PublicKey) (string, Relaxations) {
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoDSA:
		return "DSA", LegacyDSAElGamal
	case packet.PubKeyAlgoElGamal:
		return "ElGamal", LegacyDSAElGamal
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSAEncryptOnly, packet.PubKeyAlgoRSASignOnly:
		switch n, err := p.BitLength(); {
		case err != nil || n < 1023:
			return "RSA below 1024 bits", Strict
		case n < 2047:
			return "RSA below 2048 bits", LegacyRSA1024
		}
	case packet.PubKeyAlgoECDSA, packet.PubKeyAlgoECDH:
		if c, err := p.Curve(); err == nil && c == packet.CurveSecP256k1 {
			return "on the curve secp256k1", LegacySecp256k1
		}
	}
	return "", Strict
}
