package pgp

import (
	"errors"
	"maps"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/s2kcost"
)

// iteratedCount is what GnuPG 2.2 reaches on a machine of its day: 100 ms of
// SHA-1. It is the largest count there is (RFC 9580 section 3.7.1.3).
const iteratedCount = 65011712

// argon2Memory is in KiB: 64 MiB, of the second setting of RFC 9106 section 4,
// and what Limits.MaxKDFMemory allows by default.
const argon2Memory = 64 << 10

// iterated is how passwords become keys where everybody has to follow.
func (o Options) iterated() *s2k.Config {
	count := iteratedCount
	if quickkdf.Is(o.Rand) {
		count = quickkdf.Iterations
	}
	return &s2k.Config{S2KMode: s2k.IteratedSaltedS2K, S2KCount: count}
}

// argon2 is how they do in version 6.
func (o Options) argon2() *s2k.Config {
	c := &s2k.Argon2Config{NumberOfPasses: 3, DegreeOfParallelism: 4, Memory: argon2Memory}
	if quickkdf.Is(o.Rand) {
		c = &s2k.Argon2Config{NumberOfPasses: 1, DegreeOfParallelism: 1, Memory: quickkdf.Memory}
	}
	return &s2k.Config{S2KMode: s2k.Argon2S2K, Argon2Config: c}
}

// reveal asks for a password. The caller clears it after use.
func reveal(source trustkeep.PasswordSource) ([]byte, error) {
	password, err := source.Reveal()
	if err != nil {
		clear(password)
		return nil, &trustkeep.Error{Op: "pgp: password", Err: err}
	}
	return password, nil
}

// revealNew asks for a password that is to protect something.
func revealNew(source trustkeep.PasswordSource) ([]byte, error) {
	if source == nil {
		return nil, fail(trustkeep.ErrInvalid, "no password given")
	}
	password, err := reveal(source)
	if err == nil && len(password) == 0 {
		err = fail(trustkeep.ErrInvalid, "empty password")
	}
	return password, err
}

// Unlock opens the private parts with the passphrase and returns a key that can
// sign and decrypt. Its packets stay locked: what is written later is still
// protected by that passphrase.
//
// The passphrase is tried once. The error wraps ErrIncorrectPassword when it
// does not open every part or is nil, ErrLimit when trying it would cost more
// than the limits allow, ErrNotFound when there is no private part. A key that
// is not locked is returned as it is, and the passphrase is not asked for.
func (k *Key) Unlock(passphrase trustkeep.PasswordSource, o Options) (*Key, error) {
	if !k.state().secret {
		return nil, fail(trustkeep.ErrNotFound, "key %s has no private part", k.Fingerprint())
	}
	locked := k.lockedParts()
	if len(locked) == 0 {
		return k, nil
	}
	if passphrase == nil {
		return nil, k.lockedError()
	}
	if err := k.chargeUnlock(locked, o); err != nil {
		return nil, err
	}
	secret, err := reveal(passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return k.unlock(locked, secret)
}

// lockedError is for a key whose passphrase is missing.
func (k *Key) lockedError() error {
	return &trustkeep.Error{
		Op: "pgp: key " + k.Fingerprint() + " is locked", Err: trustkeep.ErrIncorrectPassword, Hint: "its passphrase is needed",
	}
}

func (k *Key) unlock(locked []*packet.PrivateKey, passphrase []byte) (*Key, error) {
	copies := make([]*packet.PrivateKey, len(locked))
	for i, p := range locked {
		part := *p
		copies[i] = &part
	}
	err := guard("unlock", func() error { return packet.DecryptPrivateKeys(copies, passphrase) })
	if err != nil {
		var invalid pgperrors.KeyInvalidError
		if errors.As(err, &invalid) {
			return nil, fail(trustkeep.ErrKeyMismatch, "key %s", k.Fingerprint())
		}
		var unsupported pgperrors.UnsupportedError
		if errors.As(err, &unsupported) {
			return nil, classify("unlock", err)
		}
		return nil, fail(trustkeep.ErrIncorrectPassword, "key %s", k.Fingerprint())
	}
	out := *k.state()
	out.unlocked = maps.Clone(k.state().unlocked)
	if out.unlocked == nil {
		out.unlocked = make(map[string]*packet.PrivateKey)
	}
	for _, p := range copies {
		out.unlocked[string(p.Fingerprint)] = p
	}
	return keyOf(&out), nil
}

func (k *Key) lockedParts() []*packet.PrivateKey {
	var locked []*packet.PrivateKey
	for _, p := range privateKeys(k.view(Legacy)) {
		if p.Encrypted {
			locked = append(locked, p)
		}
	}
	return locked
}

// chargeUnlock takes the cost of the derivations from a budget, each distinct
// one once, as go-crypto derives it.
func (k *Key) chargeUnlock(locked []*packet.PrivateKey, o Options) error {
	budget := o.budget()
	paid := make(map[s2kcost.Spec]bool)
	public := make(map[string]*packet.PublicKey, len(locked))
	for _, p := range locked {
		public[string(p.Fingerprint)] = &p.PublicKey
	}
	for _, raw := range k.state().packets {
		if raw.Tag != grammar.TagSecretKey && raw.Tag != grammar.TagSecretSub {
			continue
		}
		parsed, err := raw.Parsed()
		if err != nil {
			continue // kept as it is; not among the locked parts
		}
		pub := public[string(parsed.(*packet.PrivateKey).Fingerprint)]
		if pub == nil {
			continue
		}
		delete(public, string(pub.Fingerprint))
		spec, keySize, err := s2kcost.OfKey(raw, pub)
		if err != nil {
			return err
		}
		if keySize == 0 || paid[spec] {
			continue
		}
		paid[spec] = true
		if err := spec.Charge(budget, keySize); err != nil {
			return withPrefix(err)
		}
	}
	if len(public) > 0 {
		return fail(trustkeep.ErrUnsupported, "private key in a non-canonical encoding")
	}
	return nil
}

// Lock protects the private parts with a passphrase, which replaces the one
// that they had. Every private part must be open: unlock first. The result is
// locked.
//
// Version 4 keys get what GnuPG 2.2 reads: AES-256 by an iterated SHA-256 of
// 65,011,712 bytes; version 6 keys Argon2 (3 passes, 4 lanes, 64 MiB) and
// AES-256-OCB, RFC 9580 section 3.7.2.1. An empty passphrase is an error that
// wraps ErrInvalid, and so is nil.
func (k *Key) Lock(passphrase trustkeep.PasswordSource, o Options) (*Key, error) {
	secret, err := revealNew(passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return k.lock(secret, o)
}

func (k *Key) lock(passphrase []byte, o Options) (*Key, error) {
	if !k.state().secret {
		return nil, fail(trustkeep.ErrNotFound, "key %s has no private part", k.Fingerprint())
	}
	var parts []*packet.PrivateKey
	for _, p := range privateKeys(k.view(Legacy)) {
		if p.Encrypted {
			return nil, k.lockedError()
		}
		if k.state().elsewhere[string(p.Fingerprint)] != nil {
			continue // it has its own protection
		}
		part := *p
		parts = append(parts, &part)
	}
	pc := o.packetConfig(o.now())
	pc.S2KConfig = o.iterated()
	if k.Version() >= 6 {
		pc.S2KConfig = o.argon2()
		pc.AEADConfig = &packet.AEADConfig{DefaultMode: packet.AEADModeOCB}
	}
	if err := guard("lock", func() error { return packet.EncryptPrivateKeys(parts, passphrase, pc) }); err != nil {
		return nil, classify("lock", err)
	}
	locked, err := k.replaceSecrets(parts)
	if err == nil {
		locked.state().elsewhere = k.state().elsewhere
	}
	return locked, err
}

// replaceSecrets writes private parts in place of those that the packets hold.
func (k *Key) replaceSecrets(parts []*packet.PrivateKey) (*Key, error) {
	byFingerprint := make(map[string]*packet.PrivateKey, len(parts))
	for _, p := range parts {
		byFingerprint[string(p.Fingerprint)] = p
	}
	packets := make([]grammar.Raw, len(k.state().packets))
	for i, raw := range k.state().packets {
		packets[i] = raw
		if raw.Tag != grammar.TagSecretKey && raw.Tag != grammar.TagSecretSub {
			continue
		}
		parsed, err := raw.Parsed()
		if err != nil {
			continue
		}
		p := byFingerprint[string(parsed.(*packet.PrivateKey).Fingerprint)]
		if p == nil {
			continue
		}
		if packets[i], err = grammar.Of(p); err != nil {
			return nil, classify("key", err)
		}
	}
	return parseKey(packets)
}

// ChangePassphrase protects the private parts with another passphrase. The
// current one is needed unless the key is open already; one that is wrong is an
// error that wraps ErrIncorrectPassword.
func (k *Key) ChangePassphrase(current, replacement trustkeep.PasswordSource, o Options) (*Key, error) {
	open, err := k.Unlock(current, o)
	if err != nil {
		return nil, err
	}
	return open.Lock(replacement, o)
}
