package pgp

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"hash"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
)

// candidate is a signature on content while that is read.
type candidate struct {
	version     int // of the one-pass packet: 3 or 6
	kind        packet.SignatureType
	hash        crypto.Hash
	algorithm   packet.PublicKeyAlgorithm
	keyID       uint64
	fingerprint []byte
	salt        []byte
	last        bool
	weakHash    bool // MD5 and RIPEMD-160, which are not even computed
	problem     error
	sig         *packet.Signature
	digest      *digest
}

// announce takes over a one-pass packet, section 5.4; data is its body, problem
// what go-crypto says to it.
func (c *candidate) announce(p *packet.OnePassSignature, data []byte, problem error) {
	c.problem = problem
	if len(data) > 0 {
		c.last = data[len(data)-1] != 0
	}
	if problem != nil {
		if len(data) == 13 && data[0] == 3 {
			c.keyID = binary.BigEndian.Uint64(data[4:])
			c.weakHash = isWeakHash(data[2])
		}
		return
	}
	c.version, c.kind, c.hash, c.algorithm = p.Version, p.SigType, p.Hash, p.PubKeyAlgo
	c.keyID, c.fingerprint, c.salt = p.KeyId, p.KeyFingerprint, p.Salt
}

// isWeakHash tells MD5 and RIPEMD-160 by their OpenPGP numbers.
func isWeakHash(id byte) bool { return id == 1 || id == 3 }

// announceWhole takes over a signature that stands before its content, or
// apart from it.
func (c *candidate) announceWhole(sig *packet.Signature) {
	c.version = 3
	if sig.Version == 6 {
		c.version = 6
	}
	c.kind, c.hash, c.algorithm = sig.SigType, sig.Hash, sig.PubKeyAlgo
	c.fingerprint, c.salt = sig.IssuerFingerprint, sig.Salt()
	switch {
	case sig.IssuerKeyId != nil:
		c.keyID = *sig.IssuerKeyId
	case len(sig.IssuerFingerprint) == 32:
		c.keyID = binary.BigEndian.Uint64(sig.IssuerFingerprint)
	case len(sig.IssuerFingerprint) == 20:
		c.keyID = binary.BigEndian.Uint64(sig.IssuerFingerprint[12:])
	}
	c.sig = sig
}

// complete takes over the signature that was announced.
func (c *candidate) complete(sig *packet.Signature) {
	if c.problem != nil {
		return
	}
	same := sig.SigType == c.kind && sig.Hash == c.hash && sig.PubKeyAlgo == c.algorithm
	if c.version == 6 {
		same = same && sig.Version == 6 && bytes.Equal(sig.Salt(), c.salt) && bytes.Equal(sig.IssuerFingerprint, c.fingerprint)
	} else {
		same = same && sig.Version < 6 && (sig.IssuerKeyId == nil || *sig.IssuerKeyId == c.keyID)
	}
	if !same {
		c.problem = fail(trustkeep.ErrCorrupt, "signature is not the one announced")
		return
	}
	c.sig = sig
}

// digest hashes content for all signatures that hash it alike.
type digest struct {
	kind packet.SignatureType
	hash crypto.Hash
	salt string
	h    hash.Hash
	w    hash.Hash // h, or what brings text into canonical form before it
}

// maxDigests bounds how often content is hashed.
const maxDigests = 8

// digests hash content in every way that signatures need.
type digests struct{ list []*digest }

func (s *digests) hashing() bool { return len(s.list) > 0 }

func (s *digests) write(p []byte) {
	for _, d := range s.list {
		d.w.Write(p)
	}
}

// signerSet computes what the expected signers' signatures need.
type signerSet struct {
	keys []*Key
	digests
}

// knows returns the expected signers whose key the signature names.
func (s *signerSet) knows(c *candidate) []*Key {
	var out []*Key
	for _, k := range s.keys {
		if slices.Contains(k.state().ids, c.keyID) {
			out = append(out, k)
		}
	}
	return out
}

// add prepares for a signature. Nothing is hashed for strangers.
func (s *signerSet) add(c *candidate) {
	if c.problem == nil && len(s.knows(c)) > 0 {
		s.prepare(c)
	}
}

// prepare starts to hash content as the signature does.
func (s *digests) prepare(c *candidate) {
	if c.kind != packet.SigTypeBinary && c.kind != packet.SigTypeText {
		c.problem = fail(trustkeep.ErrUnsupported, "signature of type %#x on data", int(c.kind))
		return
	}
	for _, d := range s.list {
		if d.kind == c.kind && d.hash == c.hash && d.salt == string(c.salt) {
			c.digest = d
			return
		}
	}
	if len(s.list) == maxDigests {
		c.problem = fail(trustkeep.ErrLimit, "more than %d different hashes", maxDigests)
		return
	}
	if !c.hash.Available() {
		c.problem = fail(trustkeep.ErrUnsupported, "hash %s", c.hash)
		return
	}
	d := &digest{kind: c.kind, hash: c.hash, salt: string(c.salt), h: c.hash.New()}
	d.h.Write(c.salt)
	d.w = d.h
	if c.kind == packet.SigTypeText {
		d.w = openpgp.NewCanonicalTextHash(d.h)
	}
	if _, ok := d.h.(hash.Cloner); !ok {
		d.salt = "not shared" // verifying consumes the hash
	}
	c.digest = d
	s.list = append(s.list, d)
}

// state returns a hash that verifying may consume.
func (d *digest) state() hash.Hash {
	if c, ok := d.h.(hash.Cloner); ok {
		if clone, err := c.Clone(); err == nil {
			return clone
		}
	}
	return d.h
}

// verify judges every signature of the message.
func (m *message) verify() {
	for _, c := range m.signatures {
		m.result.Signatures = append(m.result.Signatures, m.judge(c))
	}
	m.result.summarize()
}

func (m *message) judge(c *candidate) SignatureInfo {
	out := SignatureInfo{State: SignatureUnknown, KeyID: keyID(c.keyID)}
	if c.hash != 0 {
		out.Hash = c.hash.String()
	}
	if c.sig != nil {
		out.Created = c.sig.CreationTime.UTC()
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
func (m *message) judgeFor(c *candidate, k *Key) (SignatureState, error) {
	switch {
	case c.weakHash:
		return SignatureWeak, &WeaknessError{k.Fingerprint(), "a signature by MD5 or RIPEMD-160", Strict}
	case c.problem != nil:
		return SignatureInvalid, classify("signature", c.problem)
	case c.sig == nil || c.digest == nil:
		return SignatureInvalid, fail(trustkeep.ErrCorrupt, "signature missing")
	}
	e := k.view(Legacy)
	var by *packet.PublicKey
	var sub *openpgp.Subkey
	if e.PrimaryKey.KeyId == c.keyID {
		by = e.PrimaryKey
	}
	for i := range e.Subkeys {
		if by == nil && e.Subkeys[i].PublicKey.KeyId == c.keyID {
			sub = &e.Subkeys[i]
			by = sub.PublicKey
		}
	}
	if by == nil {
		return SignatureUnknown, fail(trustkeep.ErrNotFound, "signer with key ID %s", keyID(c.keyID))
	}
	if len(c.fingerprint) > 0 && !bytes.Equal(c.fingerprint, by.Fingerprint) {
		return SignatureUnknown, fail(trustkeep.ErrNotFound, "signer with fingerprint %x", c.fingerprint)
	}
	if fp := c.sig.IssuerFingerprint; len(fp) > 0 && !bytes.Equal(fp, by.Fingerprint) {
		return SignatureUnknown, fail(trustkeep.ErrNotFound, "signer with fingerprint %x", fp)
	}
	err := guard("signature", func() error { return by.VerifySignature(c.digest.state(), c.sig) })
	if err != nil {
		return SignatureInvalid, fail(trustkeep.ErrCorrupt, "signature by %s does not fit the content", k.Fingerprint())
	}
	return m.judgeGood(c, k, e, by, sub)
}

// judgeGood judges a signature that is good as mathematics goes: whether its
// key may sign, at its time and now, and is strong enough.
func (m *message) judgeGood(c *candidate, k *Key, e *openpgp.Entity, by *packet.PublicKey, sub *openpgp.Subkey) (SignatureState, error) {
	now := m.cfg.now()
	at := evaluationTime(e, m.cfg)
	pc := Options{Allow: Legacy}.packetConfig(at)
	invalid := func(format string, args ...any) (SignatureState, error) {
		return SignatureInvalid, fail(trustkeep.ErrRejected, format, args...)
	}
	created := c.sig.CreationTime
	if created.Before(by.CreationTime) {
		return invalid("signature is older than its key")
	}
	if created.After(now.Add(m.cfg.skew())) {
		return invalid("signature is from the future: %s", created.UTC().Format(time.DateTime))
	}
	for _, n := range c.sig.Notations {
		if n.IsCritical {
			return invalid("signature with the critical notation %q", trustkeep.Printable(n.Name))
		}
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
	if life := c.sig.SigLifetimeSecs; life != nil && *life != 0 {
		if when := created.Add(time.Duration(*life) * time.Second); expiredAt(when, now) {
			return SignatureExpired, fail(trustkeep.ErrExpired, "signature ended on %s", when.UTC().Format(time.DateTime))
		}
	}
	if err := m.checkIntended(c.sig); err != nil {
		return SignatureInvalid, err
	}
	return m.judgeStrength(c, k, e, by, at, flagged)
}

// checkIntended refuses a signature that was made for somebody else and
// encrypted again to us, RFC 9580 section 5.2.3.36.
func (m *message) checkIntended(sig *packet.Signature) error {
	if len(sig.IntendedRecipients) == 0 || m.result.ByPassword {
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
func (m *message) judgeStrength(c *candidate, k *Key, e *openpgp.Entity, by *packet.PublicKey, at time.Time, flagged bool) (SignatureState, error) {
	var needs Relaxations
	what := ""
	need := func(p Relaxations, reason string) {
		needs |= p
		if !m.cfg.Allow.allows(p) || p == Strict {
			what = reason
		}
	}
	if c.hash == crypto.SHA1 {
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
