package pgp

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/material"
	"github.com/trustkeep/trustkeep/pgp/internal/s2kcost"
)

// Key is one OpenPGP key: a primary key, its user IDs and its subkeys, with
// or without the private parts. A Key never changes; what modifies a key
// returns a new one. It is safe for concurrent use.
//
// A Key keeps every packet that it was read from, also those that this library
// does not understand, and writes them back as they were.
type Key struct {
	// state returns what the key consists of. It is a function because package
	// fmt looks into structs and behind pointers where it cannot call methods,
	// as in unexported fields, but not into functions.
	state func() *keyState
}

type keyState struct {
	packets []grammar.Raw // the primary key first
	primary *packet.PublicKey
	ids     []uint64 // key IDs of the primary key and the subkeys
	secret  bool
	// unlocked holds the private keys that a passphrase has opened, by
	// fingerprint. The packets stay locked.
	unlocked map[string]*packet.PrivateKey
	// elsewhere holds the private keys that are not in memory, see WithPrivate.
	elsewhere map[string]*packet.PrivateKey
	parsed    *parsedKey
}

func keyOf(s *keyState) *Key { return &Key{func() *keyState { return s }} }

// parsedKey is go-crypto's view of the packets, made when it is first needed:
// most keys of a large ring never are.
type parsedKey struct {
	once   sync.Once
	entity *openpgp.Entity
	// valid holds the self-signatures that are cryptographically good,
	// whatever their time and their algorithms.
	valid map[*packet.Signature]bool
}

// parseKey makes a key of its packets. It reads them once with go-crypto, so
// that what cannot be used is refused here.
func parseKey(packets []grammar.Raw) (*Key, error) {
	if len(packets) > material.MaxPackets { // also for what merging and editing make: it must be readable again
		return nil, fail(trustkeep.ErrLimit, "key of %d packets", len(packets))
	}
	entity, err := readEntity(packets)
	if err != nil {
		return nil, err
	}
	ids := []uint64{entity.PrimaryKey.KeyId}
	for _, s := range entity.Subkeys {
		ids = append(ids, s.PublicKey.KeyId)
	}
	return keyOf(&keyState{
		packets: packets,
		primary: entity.PrimaryKey,
		ids:     ids,
		secret:  packets[0].Tag == grammar.TagSecretKey,
		parsed:  new(parsedKey),
	}), nil
}

func readEntity(packets []grammar.Raw) (entity *openpgp.Entity, err error) {
	err = guard("key", func() error {
		readers := make([]io.Reader, len(packets))
		for i, p := range packets {
			readers[i] = bytes.NewReader(p.Data)
		}
		entity, err = openpgp.ReadEntity(packet.NewReader(io.MultiReader(readers...)))
		return err
	})
	if err != nil {
		// go-crypto passes over a primary key that it does not support, and
		// then finds nothing.
		if _, cause := packets[0].Parsed(); cause != nil {
			err = cause
			if named := s2kcost.ProtectedBy(packets[0]); named != nil {
				err = named
			}
		}
		return nil, classify("key", err)
	}
	if err := material.Check(entity); err != nil {
		return nil, err
	}
	return entity, nil
}

// Fingerprint returns the fingerprint of the primary key in lower-case hex:
// 40 digits for version 4, 64 for version 6 (RFC 9580 section 5.5.4).
// The zero Key has none.
func (k *Key) Fingerprint() string {
	if k.state == nil {
		return ""
	}
	return hex.EncodeToString(k.state().primary.Fingerprint)
}

// KeyID returns the key ID of the primary key, 16 digits of upper-case hex as
// GnuPG prints them. Key IDs can be forged; identify keys by fingerprint.
func (k *Key) KeyID() string {
	if k.state == nil {
		return ""
	}
	return keyID(k.state().primary.KeyId)
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Version returns the version of the key format: 4 or 6.
func (k *Key) Version() int { return k.state().primary.Version }

// IsPrivate reports whether the key has private parts, locked or not.
func (k *Key) IsPrivate() bool { return k.state().secret }

// IsLocked reports whether some private part of the key needs a passphrase
// before it can be used. It is false for public keys.
func (k *Key) IsLocked() bool {
	if !k.state().secret {
		return false
	}
	e := k.view(Legacy)
	for _, p := range privateKeys(e) {
		if p.Encrypted {
			return true
		}
	}
	return false
}

// NotBefore returns when the key was created.
func (k *Key) NotBefore() time.Time { return k.state().primary.CreationTime.UTC() }

// NotAfter returns when the primary key expires, by its newest valid
// self-signature. The zero time means never.
func (k *Key) NotAfter() time.Time {
	e := k.view(Legacy)
	sig, err := e.PrimarySelfSignature(time.Time{}, Options{Allow: Legacy}.packetConfig(time.Time{}))
	if err != nil {
		return time.Time{}
	}
	return expiry(e.PrimaryKey, sig, directSignature(e))
}

// Revoked reports whether the owner has revoked the key. As in GnuPG, this is
// final, whatever the reason and the time given.
func (k *Key) Revoked() bool { return validRevocation(k.view(Legacy).Revocations) != nil }

// validRevocation returns the first revocation that is good, or nil.
func validRevocation(list []*packet.VerifiableSignature) *packet.Signature {
	for _, r := range list {
		if *r.Valid {
			return r.Packet
		}
	}
	return nil
}

// String returns the fingerprint and the first user ID, escaped for logs.
func (k Key) String() string {
	if k.state == nil {
		return "no key"
	}
	s := k.Fingerprint()
	for _, p := range k.state().packets {
		if p.Tag == grammar.TagUserID {
			return s + " " + trustkeep.Printable(string(p.Body))
		}
	}
	return s
}

// Format writes String, whatever the verb: none prints private keys.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// MarshalText returns the fingerprint, for JSON, XML and logs.
func (k Key) MarshalText() ([]byte, error) {
	if k.state == nil {
		return nil, nil
	}
	return []byte(k.Fingerprint()), nil
}

// template returns go-crypto's view of the packets. It is shared: nothing may
// change it.
func (k *Key) template() (*openpgp.Entity, map[*packet.Signature]bool) {
	k.state().parsed.once.Do(func() {
		entity, err := readEntity(k.state().packets)
		if err != nil { // parseKey has read the same packets
			panic("pgp: key became unreadable: " + err.Error())
		}
		k.state().parsed.entity = entity
		k.state().parsed.valid = verifySelfSignatures(entity)
	})
	return k.state().parsed.entity, k.state().parsed.valid
}

// view returns an entity for one operation. go-crypto notes in the entity
// which signatures it found good under the relaxations and clock of the first
// caller, so an entity must not be shared between relaxations or goroutines; the
// keys and signatures themselves are.
func (k *Key) view(allow Relaxations) *openpgp.Entity {
	t, good := k.template()
	wrap := func(sigs []*packet.VerifiableSignature) []*packet.VerifiableSignature {
		out := make([]*packet.VerifiableSignature, len(sigs))
		for i, s := range sigs {
			valid := good[s.Packet] && acceptable(s.Packet, allow)
			out[i] = &packet.VerifiableSignature{Valid: &valid, Packet: s.Packet}
		}
		return out
	}
	private := func(public *packet.PublicKey, p *packet.PrivateKey) *packet.PrivateKey {
		if e, ok := k.state().elsewhere[string(public.Fingerprint)]; ok {
			return e
		}
		if p == nil {
			return nil
		}
		if u, ok := k.state().unlocked[string(p.Fingerprint)]; ok {
			return u
		}
		return p
	}
	e := &openpgp.Entity{
		PrimaryKey:       t.PrimaryKey,
		PrivateKey:       private(t.PrimaryKey, t.PrivateKey),
		Identities:       make(map[string]*openpgp.Identity, len(t.Identities)),
		Revocations:      wrap(t.Revocations),
		DirectSignatures: wrap(t.DirectSignatures),
	}
	for name, id := range t.Identities {
		e.Identities[name] = &openpgp.Identity{
			Primary:             e,
			Name:                id.Name,
			UserId:              id.UserId,
			SelfCertifications:  wrap(id.SelfCertifications),
			OtherCertifications: id.OtherCertifications,
			Revocations:         wrap(id.Revocations),
		}
	}
	for _, s := range t.Subkeys {
		e.Subkeys = append(e.Subkeys, openpgp.Subkey{
			Primary:     e,
			PublicKey:   s.PublicKey,
			PrivateKey:  private(s.PublicKey, s.PrivateKey),
			Bindings:    wrap(s.Bindings),
			Revocations: wrap(s.Revocations),
		})
	}
	return e
}

// acceptable tells whether it is allowed to use the algorithms of a
// self-signature.
func acceptable(sig *packet.Signature, allow Relaxations) bool {
	for _, n := range sig.Notations {
		if n.IsCritical {
			return false // section 5.2.3.24: a critical notation that is not understood
		}
	}
	if allow.allows(LegacySHA1SelfSignatures) {
		return true
	}
	if sig.Hash == crypto.SHA1 {
		return false
	}
	return sig.EmbeddedSignature == nil || sig.EmbeddedSignature.Hash != crypto.SHA1
}

// verifySelfSignatures checks every self-signature once.
func verifySelfSignatures(e *openpgp.Entity) map[*packet.Signature]bool {
	valid := make(map[*packet.Signature]bool)
	check := func(sigs []*packet.VerifiableSignature, verify func(*packet.Signature) error) {
		for _, s := range sigs {
			err := guard("self-signature", func() error { return verify(s.Packet) })
			valid[s.Packet] = err == nil
		}
	}
	primary := e.PrimaryKey
	check(e.Revocations, primary.VerifyRevocationSignature)
	check(e.DirectSignatures, primary.VerifyDirectKeySignature)
	for _, id := range e.Identities {
		verify := func(s *packet.Signature) error { return primary.VerifyUserIdSignature(id.Name, primary, s) }
		check(id.SelfCertifications, verify)
		check(id.Revocations, verify)
	}
	for _, sub := range e.Subkeys {
		check(sub.Bindings, func(s *packet.Signature) error {
			// The back-signature of a signing subkey must be one: RFC 9580
			// section 5.2.1.9. go-crypto checks it without its type.
			if s.FlagSign && s.EmbeddedSignature != nil && s.EmbeddedSignature.SigType != packet.SigTypePrimaryKeyBinding {
				return fail(trustkeep.ErrCorrupt, "back-signature of type %#x", int(s.EmbeddedSignature.SigType))
			}
			return primary.VerifyKeySignature(sub.PublicKey, s)
		})
		check(sub.Revocations, func(s *packet.Signature) error {
			return primary.VerifySubkeyRevocationSignature(s, sub.PublicKey)
		})
	}
	return valid
}

// privateKeys returns the private parts, without those that GnuPG left out
// (an offline primary key).
func privateKeys(e *openpgp.Entity) []*packet.PrivateKey {
	var out []*packet.PrivateKey
	add := func(p *packet.PrivateKey) {
		if p != nil && !p.Dummy() {
			out = append(out, p)
		}
	}
	add(e.PrivateKey)
	for _, s := range e.Subkeys {
		add(s.PrivateKey)
	}
	return out
}

// evaluationTime is when to judge the key: now, or up to the tolerated skew
// later when the key or a self-signature was made by a clock that runs ahead.
func evaluationTime(e *openpgp.Entity, o Options) time.Time {
	now := o.now()
	at, latest := now, now.Add(o.skew())
	note := func(t time.Time) {
		if t.After(at) && !t.After(latest) {
			at = t
		}
	}
	sigs := func(list []*packet.VerifiableSignature) {
		for _, s := range list {
			note(s.Packet.CreationTime)
		}
	}
	note(e.PrimaryKey.CreationTime)
	sigs(e.DirectSignatures)
	for _, id := range e.Identities {
		sigs(id.SelfCertifications)
	}
	for _, s := range e.Subkeys {
		note(s.PublicKey.CreationTime)
		sigs(s.Bindings)
	}
	return at
}

// expiry returns when a key expires by the self-signatures given, the earlier
// one; zero for never.
func expiry(pub *packet.PublicKey, sigs ...*packet.Signature) time.Time {
	var first time.Time
	for _, s := range sigs {
		if s == nil || s.KeyLifetimeSecs == nil || *s.KeyLifetimeSecs == 0 {
			continue
		}
		t := pub.CreationTime.Add(time.Duration(*s.KeyLifetimeSecs) * time.Second).UTC()
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

// directSignature returns the newest valid direct-key signature, or nil.
func directSignature(e *openpgp.Entity) *packet.Signature {
	sig, err := e.LatestValidDirectSignature(time.Time{}, &packet.Config{})
	if err != nil {
		return nil
	}
	return sig
}
