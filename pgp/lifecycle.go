package pgp

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/material"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
)

// What changes a key needs the private part of its primary key: the errors wrap
// ErrNotFound when there is none and ErrIncorrectPassword while it is locked.
// The changed key is as open as the one it was made from.

// SetExpiry makes the key expire at a time, or never if the time is zero.
// Valid subkeys that have an expiry of their own get the same; those without
// one end with the key anyway. The error wraps ErrInvalid when the time is not
// after the key's creation. It may lie in the past.
func (k *Key) SetExpiry(expires time.Time, o Options) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	lifetime, err := lifetimeSeconds(k.NotBefore(), expires)
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o)
	renew := func(old *packet.Signature, sign func(*packet.Signature) error, where func(grammar.Raw) bool) error {
		s, err := selfsig.Renewed(old, e.PrimaryKey, ed.at, ed.config)
		if err != nil {
			return err
		}
		s.KeyLifetimeSecs = &lifetime
		return ed.add(s, sign, where)
	}
	if direct := directSignature(e); direct != nil {
		sign := func(s *packet.Signature) error {
			return selfsig.OverKey(s, e.PrimaryKey, e.PrivateKey, ed.config)
		}
		if err := renew(direct, sign, isPrimary); err != nil {
			return nil, err
		}
	}
	if k.Version() < 6 { // version 6 keeps the expiry in the direct-key signature alone
		for _, id := range validIdentities(e, ed.config) {
			sig, _ := id.LatestValidSelfCertification(time.Time{}, ed.config)
			sign := func(s *packet.Signature) error {
				return selfsig.OverUserID(s, id.Name, e.PrimaryKey, e.PrivateKey, ed.config)
			}
			if err := renew(sig, sign, isUserID(id.Name)); err != nil {
				return nil, err
			}
		}
	}
	for i := range e.Subkeys {
		s := &e.Subkeys[i]
		sig, err := s.Verify(time.Time{}, ed.config)
		if err != nil || sig.KeyLifetimeSecs == nil || *sig.KeyLifetimeSecs == 0 {
			continue
		}
		if err := ed.rebind(s, sig, expires); err != nil {
			return nil, err
		}
	}
	return ed.done()
}

// SetSubkeyExpiry makes one subkey expire at a time, or with the key if the time
// is zero. The error wraps ErrNotFound for an unknown fingerprint.
func (k *Key) SetSubkeyExpiry(fingerprint string, expires time.Time, o Options) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	s, err := findSubkey(e, fingerprint)
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o)
	sig, err := s.Verify(time.Time{}, ed.config)
	if err != nil {
		return nil, fail(trustkeep.ErrRejected, "subkey %s is not valid", hex.EncodeToString(s.PublicKey.Fingerprint))
	}
	if err := ed.rebind(s, sig, expires); err != nil {
		return nil, err
	}
	return ed.done()
}

// SubkeyOptions configures Key.AddSubkey and Key.RotateSubkey.
type SubkeyOptions struct {
	// Options are the clock and the randomness.
	Options Options
	// Usage is UsageEncrypt, or UsageSign, UsageAuthenticate or both. RotateSubkey
	// takes that of the old subkey if it is zero.
	Usage Usage
	// Expires is when the subkey expires. Zero means with the key.
	Expires time.Time
	// RevokeOld makes RotateSubkey revoke the old subkey as superseded. What
	// was encrypted to it can still be read; signatures made by it no longer
	// count as valid. Without it, senders turn to the new subkey because it
	// is newer.
	RevokeOld bool
}

// AddSubkey adds a subkey of the same family of algorithms as the key. Its
// private part has no passphrase; lock the key again before MarshalPrivate. If the private
// parts of the key are elsewhere, so is that of the subkey: pass it, see Key.WithPrivate.
// The error wraps ErrInvalid for any other Usage, ErrUnsupported for a private part here in
// a key whose other ones are elsewhere, and the other way round.
func (k *Key) AddSubkey(o SubkeyOptions, private ...crypto.PrivateKey) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	if len(private) > 1 {
		return nil, fail(trustkeep.ErrInvalid, "%d private keys for a subkey", len(private))
	}
	ed := newEdit(k, e, o.Options)
	if err := ed.addSubkey(o, private); err != nil {
		return nil, err
	}
	return ed.done()
}

// RotateSubkey adds a successor for the subkey with the fingerprint. The old
// subkey stays, revoked if o.RevokeOld is set. The successor has no passphrase,
// as in AddSubkey. The error wraps ErrNotFound for an unknown fingerprint.
func (k *Key) RotateSubkey(fingerprint string, o SubkeyOptions) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	old, err := findSubkey(e, fingerprint)
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o.Options)
	if o.Usage == 0 {
		sig, err := old.LatestValidBindingSignature(time.Time{}, ed.config)
		if err != nil {
			return nil, fail(trustkeep.ErrRejected, "subkey %s is not bound to its key", hex.EncodeToString(old.PublicKey.Fingerprint))
		}
		o.Usage = usage(sig, old.PublicKey, ed.config) & (UsageEncrypt | UsageSign | UsageAuthenticate)
	}
	if o.RevokeOld {
		if err := ed.revokeSubkey(old, ReasonSuperseded, ""); err != nil {
			return nil, err
		}
	}
	if err := ed.addSubkey(o, nil); err != nil {
		return nil, err
	}
	return ed.done()
}

// AddUserID adds a user ID, by convention "Name <address>". The error wraps
// ErrExists when the key has it already and ErrInvalid when it is empty, is
// not UTF-8, or holds control characters.
func (k *Key) AddUserID(id string, o Options) (*Key, error) {
	if err := checkUserID(id); err != nil {
		return nil, err
	}
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o)
	old := e.Identities[id]
	if old != nil {
		if _, err := old.Verify(time.Time{}, ed.config); err == nil {
			return nil, fail(trustkeep.ErrExists, "user ID %q", trustkeep.Printable(id))
		}
	}
	s := selfsig.New(e.PrimaryKey, packet.SigTypePositiveCert, ed.at)
	if k.Version() < 6 {
		template, err := e.PrimarySelfSignature(time.Time{}, ed.config)
		if err != nil {
			return nil, fail(trustkeep.ErrRejected, "key %s: no valid self-signature", k.Fingerprint())
		}
		if s, err = selfsig.Renewed(template, e.PrimaryKey, ed.at, ed.config); err != nil {
			return nil, err
		}
		s.SigType, s.IsPrimaryId = packet.SigTypePositiveCert, nil
	}
	sign := func(s *packet.Signature) error {
		return selfsig.OverUserID(s, id, e.PrimaryKey, e.PrivateKey, ed.config)
	}
	if old != nil { // revoked: a newer self-signature brings it back, as in GnuPG
		err = ed.add(s, sign, isUserID(id))
	} else {
		err = ed.addUserID(id, s, sign)
	}
	if err != nil {
		return nil, err
	}
	return ed.done()
}

func checkUserID(id string) error {
	if id == "" || len(id) > material.MaxUserIDLength || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return fail(trustkeep.ErrInvalid, "user ID %q", trustkeep.Printable(id))
	}
	return nil
}

func validIdentities(e *openpgp.Entity, c *packet.Config) []*openpgp.Identity {
	var out []*openpgp.Identity
	for _, id := range e.Identities {
		if _, err := id.Verify(time.Time{}, c); err == nil {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b *openpgp.Identity) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func findSubkey(e *openpgp.Entity, fingerprint string) (*openpgp.Subkey, error) {
	want, err := hex.DecodeString(strings.ReplaceAll(fingerprint, " ", ""))
	if err == nil {
		for i := range e.Subkeys {
			if bytes.Equal(e.Subkeys[i].PublicKey.Fingerprint, want) {
				return &e.Subkeys[i], nil
			}
		}
	}
	return nil, fail(trustkeep.ErrNotFound, "subkey %s", trustkeep.Printable(fingerprint))
}
