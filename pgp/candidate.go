package pgp

import (
	"bytes"
	"crypto"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/signatures"
)

// signerSet computes what the expected signers' signatures need.
type signerSet struct {
	keys []*Key
	signatures.Digests
}

// knows returns the expected signers whose key the signature names.
func (s *signerSet) knows(c *signatures.Candidate) []*Key {
	var out []*Key
	for _, k := range s.keys {
		if slices.Contains(k.state().ids, c.KeyID) {
			out = append(out, k)
		}
	}
	return out
}

// add prepares for a signature. Nothing is hashed for strangers.
func (s *signerSet) add(c *signatures.Candidate) {
	if c.Problem == nil && len(s.knows(c)) > 0 {
		s.Prepare(c)
	}
}

// verify judges every signature of the message.
func (m *message) verify() {
	for _, c := range m.signatures {
		m.result.Signatures = append(m.result.Signatures, m.judge(c))
	}
	m.result.summarize()
}

func (m *message) judge(c *signatures.Candidate) SignatureInfo {
	out := SignatureInfo{State: SignatureUnknown, KeyID: keyID(c.KeyID)}
	out.Hash = c.HashName
	if c.Hash != 0 {
		out.Hash = c.Hash.String()
	}
	if !c.Created.IsZero() {
		out.Created = c.Created.UTC()
	}
	if c.Sig != nil {
		out.Created = c.Sig.CreationTime.UTC()
		out.Notations = notationsOf(c.Sig)
		if life := c.Sig.SigLifetimeSecs; life != nil && *life != 0 {
			out.Expires = out.Created.Add(time.Duration(*life) * time.Second)
		}
	}
	signers := m.signers.knows(c)
	if len(signers) == 0 {
		out.Err = fail(trustkeep.ErrNotFound, "signer with key ID %s", out.KeyID)
		return out
	}
	for _, k := range signers { // two keys may share a key ID
		state, err := m.judgeFor(c, k)
		if out.Signer == nil || state == SignatureValid {
			out.State, out.Signer, out.Err = state, k, err
		}
	}
	return out
}

// judgeFor judges a signature that names a key of the signer's.
func (m *message) judgeFor(c *signatures.Candidate, k *Key) (SignatureState, error) {
	switch {
	case c.WeakHash:
		return SignatureWeak, &WeaknessError{k.Fingerprint(), "a signature by MD5 or RIPEMD-160", Strict}
	case c.Problem != nil:
		return SignatureInvalid, classify("signature", c.Problem)
	case c.Sig == nil || c.Digest == nil:
		return SignatureInvalid, fail(trustkeep.ErrCorrupt, "signature missing")
	}
	e := k.view(Legacy)
	var by *packet.PublicKey
	var sub *openpgp.Subkey
	if e.PrimaryKey.KeyId == c.KeyID {
		by = e.PrimaryKey
	}
	for i := range e.Subkeys {
		if by == nil && e.Subkeys[i].PublicKey.KeyId == c.KeyID {
			sub = &e.Subkeys[i]
			by = sub.PublicKey
		}
	}
	if by == nil {
		return SignatureUnknown, fail(trustkeep.ErrNotFound, "signer with key ID %s", keyID(c.KeyID))
	}
	if len(c.Fingerprint) > 0 && !bytes.Equal(c.Fingerprint, by.Fingerprint) {
		return SignatureUnknown, fail(trustkeep.ErrNotFound, "signer with fingerprint %x", c.Fingerprint)
	}
	if fp := c.Sig.IssuerFingerprint; len(fp) > 0 && !bytes.Equal(fp, by.Fingerprint) {
		return SignatureUnknown, fail(trustkeep.ErrNotFound, "signer with fingerprint %x", fp)
	}
	err := guard("signature", func() error { return by.VerifySignature(c.Digest.State(), c.Sig) })
	if err != nil {
		return SignatureInvalid, fail(trustkeep.ErrCorrupt, "signature by %s does not fit the content", k.Fingerprint())
	}
	return m.judgeGood(c, k, e, by, sub)
}

// judgeGood judges a signature that is good as mathematics goes: whether its
// key may sign, at its time and now, and is strong enough.
func (m *message) judgeGood(c *signatures.Candidate, k *Key, e *openpgp.Entity, by *packet.PublicKey, sub *openpgp.Subkey) (SignatureState, error) {
	now := m.cfg.now()
	at := evaluationTime(e, m.cfg)
	pc := Options{Allow: Legacy}.packetConfig(at)
	invalid := func(format string, args ...any) (SignatureState, error) {
		return SignatureInvalid, fail(trustkeep.ErrRejected, format, args...)
	}
	created := c.Sig.CreationTime
	if created.Before(by.CreationTime) {
		return invalid("signature is older than its key")
	}
	if created.After(now.Add(m.cfg.skew())) {
		return invalid("signature is from the future: %s", created.UTC().Format(time.DateTime))
	}
	if err := m.expect.checkNotations(c.Sig); err != nil {
		return SignatureInvalid, err
	}
	revocation := validRevocation(e.Revocations)
	if revocation == nil && sub != nil {
		revocation = validRevocation(sub.Revocations)
	}
	if revocation != nil {
		return SignatureRevoked, &KeyRevokedError{k.Fingerprint(), trustkeep.Printable(revocation.RevocationReasonText)}
	}
	self, err := e.PrimarySelfSignature(at, pc)
	if err != nil {
		return invalid("key %s has no valid self-signature", k.Fingerprint())
	}
	uses := usage(self, e.PrimaryKey, pc)
	flagged := self.FlagsValid
	ends := []time.Time{expiry(e.PrimaryKey, self, directSignature(e))}
	if sub != nil {
		binding, err := sub.LatestValidBindingSignature(at, pc)
		if err != nil {
			return invalid("subkey %s is not bound to its key", keyID(by.KeyId))
		}
		uses, flagged = usage(binding, by, &packet.Config{}), true // a signing subkey must say so
		ends = append(ends, expiry(by, binding))
	}
	if uses&UsageSign == 0 {
		return invalid("key %s may not sign", keyID(by.KeyId))
	}
	for _, when := range ends {
		if expiredAt(when, at) || expiredAt(when, created) {
			return SignatureExpired, &KeyExpiredError{k.Fingerprint(), when}
		}
	}
	if life := c.Sig.SigLifetimeSecs; life != nil && *life != 0 {
		if when := created.Add(time.Duration(*life) * time.Second); expiredAt(when, now) {
			return SignatureExpired, fail(trustkeep.ErrExpired, "signature ended on %s", when.UTC().Format(time.DateTime))
		}
	}
	if oldest := now.Add(-m.expect.maxAge); m.expect.maxAge > 0 && created.Before(oldest) {
		return SignatureExpired, fail(trustkeep.ErrExpired, "signature of %s is older than %s", created.UTC().Format(time.DateTime), m.expect.maxAge)
	}
	if err := m.checkIntended(c.Sig); err != nil {
		return SignatureInvalid, err
	}
	return m.judgeStrength(c, k, e, by, at, flagged)
}

// checkIntended refuses a signature that was made for somebody else and
// encrypted again to us, RFC 9580 section 5.2.3.36.
func (m *message) checkIntended(sig *packet.Signature) error {
	if len(sig.IntendedRecipients) == 0 || m.result.ByPassword || m.result.BySessionKey {
		return nil
	}
	if m.recipient != nil {
		for _, r := range sig.IntendedRecipients {
			if bytes.Equal(r.Fingerprint, m.recipient.state().primary.Fingerprint) {
				return nil
			}
		}
	}
	return fail(trustkeep.ErrRejected, "signature is meant for another recipient")
}

// judgeStrength compares what the signature rests on with what is allowed.
func (m *message) judgeStrength(c *signatures.Candidate, k *Key, e *openpgp.Entity, by *packet.PublicKey, at time.Time, flagged bool) (SignatureState, error) {
	var needs Relaxations
	what := ""
	need := func(p Relaxations, reason string) {
		needs |= p
		if !m.cfg.Allow.allows(p) || p == Strict {
			what = reason
		}
	}
	if c.Hash == crypto.SHA1 {
		need(LegacySHA1Signatures, "a signature by SHA-1")
	}
	for _, key := range []*packet.PublicKey{e.PrimaryKey, by} {
		if weak, p := weakness(key); weak != "" {
			need(p, "a key that is "+weak)
		}
	}
	if !flagged {
		need(LegacyNoKeyFlags, "a key without key flags")
	}
	if !k.soundUnder(Strict, by, at) {
		need(LegacySHA1SelfSignatures, "self-signatures by SHA-1")
	}
	if what != "" {
		return SignatureWeak, &WeaknessError{k.Fingerprint(), what, needs &^ m.cfg.Allow}
	}
	m.result.relax(needs)
	return SignatureValid, nil
}

// soundUnder tells whether the self-signatures that a key or subkey rests on
// hold with these relaxations.
func (k *Key) soundUnder(p Relaxations, by *packet.PublicKey, at time.Time) bool {
	e := k.view(p)
	if _, err := e.PrimarySelfSignature(at, &packet.Config{}); err != nil {
		return false
	}
	for i := range e.Subkeys {
		if e.Subkeys[i].PublicKey == by {
			_, err := e.Subkeys[i].LatestValidBindingSignature(at, &packet.Config{})
			return err == nil
		}
	}
	return true
}
