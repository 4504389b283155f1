package pgp

import (
	"errors"
	"time"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
)

// recipient is a key chosen to encrypt to, with what its owner prefers.
type recipient struct {
	entity *openpgp.Entity
	public *packet.PublicKey
	prefs  *packet.Signature
	hidden bool
}

// CanEncrypt returns nil if a message can be encrypted to the key now, else why
// not. The errors are *KeyExpiredError, *KeyRevokedError,
// *WeaknessError, or one that wraps ErrRejected.
func (k *Key) CanEncrypt(o Options) error {
	_, err := k.recipient(o)
	return err
}

func (k *Key) recipient(cfg Options) (recipient, error) {
	e := k.view(cfg.Allow)
	at := evaluationTime(e, cfg)
	pc := cfg.packetConfig(at)
	if err := k.usable(e, cfg, at); err != nil {
		return recipient{}, err
	}
	chosen, err := newest(e, func(e *openpgp.Entity) (openpgp.Key, error) { return e.EncryptionKeyWithError(at, pc) })
	if err != nil {
		return recipient{}, k.whyNot(err, UsageEncrypt, cfg, at)
	}
	return recipient{entity: e, public: chosen.PublicKey, prefs: chosen.PrimarySelfSignature}, nil
}

// recipients returns what to encrypt to: the part of the key that recipient chooses, and
// with all every other subkey that may encrypt.
func (k *Key) recipients(cfg Options, all bool) ([]recipient, error) {
	chosen, err := k.recipient(cfg)
	if err != nil || !all {
		return []recipient{chosen}, err
	}
	out := []recipient{chosen}
	e := chosen.entity
	at := evaluationTime(e, cfg)
	pc := cfg.packetConfig(at)
	for i := range e.Subkeys {
		s := &e.Subkeys[i]
		sig, err := s.Verify(at, pc)
		if err != nil || s.PublicKey.KeyId == chosen.public.KeyId || !s.PublicKey.PubKeyAlgo.CanEncrypt() || usage(sig, s.PublicKey, pc)&UsageEncrypt == 0 {
			continue
		}
		if what, needs := weakness(s.PublicKey); what != "" && (needs == Strict || !cfg.Allow.allows(needs)) {
			continue
		}
		other := chosen
		other.public = s.PublicKey
		out = append(out, other)
	}
	return out, nil
}

var errNoKey = errors.New("no key")

// newest chooses the subkey that was made last, as GnuPG does, the last in order of those
// made within one second, where GnuPG takes the first; of these, a post-quantum one comes first. go-crypto goes by when a subkey was bound last,
// which extending an old one changes. Whether a subkey will do is for go-crypto to say: it
// is offered one at a time.
func newest(e *openpgp.Entity, choose func(*openpgp.Entity) (openpgp.Key, error)) (openpgp.Key, error) {
	best, err := choose(e)
	if err != nil || len(e.Subkeys) < 2 {
		return best, err
	}
	var of *openpgp.Subkey
	for i := range e.Subkeys {
		s := &e.Subkeys[i]
		if of != nil && (s.PublicKey.CreationTime.Before(of.PublicKey.CreationTime) ||
			s.PublicKey.CreationTime.Equal(of.PublicKey.CreationTime) && of.IsPQ() && !s.IsPQ()) {
			continue
		}
		one := *e
		one.Subkeys = e.Subkeys[i : i+1]
		if key, err := choose(&one); err == nil && key.PublicKey == s.PublicKey {
			best, of = key, s
		}
	}
	return best, nil
}

// CanSign returns nil if the key can sign now, locked or not, else why not. The
// errors are those of CanEncrypt, and one that wraps ErrNotFound when the key
// has no private part.
func (k *Key) CanSign(o Options) error {
	_, err := k.signingKey(o)
	if errors.Is(err, trustkeep.ErrIncorrectPassword) {
		return nil
	}
	return err
}

// signingKey chooses the private part to sign with.
func (k *Key) signingKey(cfg Options) (*packet.PrivateKey, error) {
	e := k.view(cfg.Allow)
	at := evaluationTime(e, cfg)
	pc := cfg.packetConfig(at)
	if err := k.usable(e, cfg, at); err != nil {
		return nil, err
	}
	chosen, err := newest(e, func(e *openpgp.Entity) (openpgp.Key, error) {
		key, ok := e.SigningKeyById(at, 0, pc)
		if !ok {
			return key, errNoKey
		}
		return key, nil
	})
	if err != nil {
		return nil, k.whyNot(nil, UsageSign, cfg, at)
	}
	switch secretState(chosen.PrivateKey) {
	case SecretNone, SecretElsewhere:
		return nil, fail(trustkeep.ErrNotFound, "the private part of signing key %s", keyID(chosen.PublicKey.KeyId))
	case SecretLocked:
		return nil, k.lockedError()
	}
	return chosen.PrivateKey, nil
}

// usable checks the primary key: every use depends on it.
func (k *Key) usable(e *openpgp.Entity, cfg Options, at time.Time) error {
	if r := validRevocation(e.Revocations); r != nil {
		return &KeyRevokedError{k.Fingerprint(), trustkeep.Printable(r.RevocationReasonText)}
	}
	self, err := e.PrimarySelfSignature(at, cfg.packetConfig(at))
	if err != nil {
		if e.PrimaryKey.CreationTime.After(at) {
			return fail(trustkeep.ErrRejected, "key %s is from the future: made on %s", k.Fingerprint(), k.NotBefore().Format(time.DateTime))
		}
		return k.selfSignatureProblem(e, cfg)
	}
	if when := expiry(e.PrimaryKey, self, directSignature(e)); expiredAt(when, at) {
		return &KeyExpiredError{k.Fingerprint(), when}
	}
	if what, needs := weakness(e.PrimaryKey); what != "" && (needs == Strict || !cfg.Allow.allows(needs)) {
		return &WeaknessError{k.Fingerprint(), "a key that is " + what, needs}
	}
	return nil
}

// whyNot explains why no key for the use was found. The most telling reason
// among the subkeys wins.
func (k *Key) whyNot(cause error, u Usage, cfg Options, at time.Time) error {
	info := k.Info(cfg)
	var expired *KeyExpiredError
	var problem error
	for _, s := range info.Subkeys {
		switch {
		case s.Problem != nil && problem == nil:
			problem = s.Problem
		case s.Usage&u == 0:
		case s.Revoked:
			problem = &KeyRevokedError{Fingerprint: k.Fingerprint()}
		case s.Expired:
			if expired == nil || s.Expires.After(expired.When) {
				expired = &KeyExpiredError{k.Fingerprint(), s.Expires}
			}
		}
	}
	for _, s := range k.view(Legacy).Subkeys {
		if what, needs := weakness(s.PublicKey); what != "" && !cfg.Allow.allows(needs) {
			problem = &WeaknessError{k.Fingerprint(), "a subkey that is " + what, needs}
		}
	}
	if info.Usage == 0 && !cfg.Allow.allows(LegacyNoKeyFlags) && problem == nil && expired == nil {
		problem = &WeaknessError{k.Fingerprint(), "a key without key flags", LegacyNoKeyFlags}
	}
	var weak pgperrors.WeakAlgorithmError
	switch {
	case expired != nil:
		return expired
	case problem != nil:
		return problem
	case errors.As(cause, &weak):
		return &WeaknessError{k.Fingerprint(), trustkeep.Printable(string(weak)), Strict}
	}
	err := fail(trustkeep.ErrRejected, "key %s has no part that may %s", k.Fingerprint(), map[Usage]string{UsageEncrypt: "encrypt", UsageSign: "sign"}[u])
	return &trustkeep.Error{Err: err, Hint: "its owner has to add a subkey for that, see Key.AddSubkey, and to hand out the key again"}
}
