package pgp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
)

// RevocationReason is why a key was revoked, by the numbers of RFC 9580 section 5.2.3.31.
type RevocationReason uint8

// The reasons. For user IDs, ReasonUserIDInvalid is used whatever is given.
const (
	ReasonNone          RevocationReason = 0
	ReasonSuperseded    RevocationReason = 1
	ReasonCompromised   RevocationReason = 2
	ReasonRetired       RevocationReason = 3
	ReasonUserIDInvalid RevocationReason = 32
)

// Revoke revokes the key, for good. The text explains it to people and may be
// empty.
func (k *Key) Revoke(reason RevocationReason, text string, o Options) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o)
	s := ed.revocation(packet.SigTypeKeyRevocation, reason, text)
	if err := ed.add(s, ed.signRevocation, isPrimary); err != nil {
		return nil, err
	}
	return ed.done()
}

// RevokeSubkey revokes one subkey. The error wraps ErrNotFound for an unknown
// fingerprint, ErrExists when the subkey is revoked already.
func (k *Key) RevokeSubkey(fingerprint string, reason RevocationReason, text string, o Options) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	s, err := findSubkey(e, fingerprint)
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o)
	if err := ed.revokeSubkey(s, reason, text); err != nil {
		return nil, err
	}
	return ed.done()
}

// RevokeUserID revokes a user ID. The error wraps ErrNotFound when the key does
// not have it, and ErrRejected when it is the only valid one: a version 4 key
// without a user ID cannot be used, so revoke the key instead.
func (k *Key) RevokeUserID(id, text string, o Options) (*Key, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	if e.Identities[id] == nil {
		return nil, fail(trustkeep.ErrNotFound, "user ID %q", trustkeep.Printable(id))
	}
	ed := newEdit(k, e, o)
	valid := validIdentities(e, ed.config)
	if k.Version() < 6 && len(valid) == 1 && valid[0].Name == id {
		return nil, fail(trustkeep.ErrRejected, "%q is the only valid user ID", trustkeep.Printable(id))
	}
	s := ed.revocation(packet.SigTypeCertificationRevocation, ReasonUserIDInvalid, text)
	sign := func(s *packet.Signature) error {
		return selfsig.OverUserID(s, id, e.PrimaryKey, e.PrivateKey, ed.config)
	}
	if err := ed.add(s, sign, isUserID(id)); err != nil {
		return nil, err
	}
	return ed.done()
}

// RevocationCertificate makes a certificate, armored, that revokes the key when
// ApplyRevocation or gpg --import applies it. Keep it apart from the key: it is
// needed when the key or its passphrase is lost, and anyone who has it can
// revoke the key.
func (k *Key) RevocationCertificate(reason RevocationReason, text string, o Options) ([]byte, error) {
	e, err := k.certifier()
	if err != nil {
		return nil, err
	}
	ed := newEdit(k, e, o)
	s := ed.revocation(packet.SigTypeKeyRevocation, reason, text)
	if err := ed.signRevocation(s); err != nil {
		return nil, classify("sign", err)
	}
	raw, err := grammar.Of(s)
	if err != nil {
		return nil, classify("sign", err)
	}
	return armor.Encode(armor.BlockPublicKey, raw.Data, armor.ChecksumFor(k.Version())) // the block type that GnuPG uses, too
}

// ApplyRevocation revokes the key by a certificate made beforehand, armored or
// binary. No private part is needed. The error wraps ErrKeyMismatch when the
// certificate is not one for this key.
func (k *Key) ApplyRevocation(certificate []byte) (*Key, error) {
	if armor.Is(certificate) {
		d := armor.NewReader(bufio.NewReader(bytes.NewReader(certificate)))
		if _, _, err := d.Next(); err != nil {
			return nil, classify("revocation certificate", err)
		}
		body, err := io.ReadAll(d)
		if err != nil {
			return nil, classify("revocation certificate", err)
		}
		certificate = body
	}
	raw, _, err := grammar.Next(bytes.Clone(certificate), 0)
	if err != nil {
		return nil, err
	}
	if raw.Tag != grammar.TagSignature {
		return nil, fail(trustkeep.ErrCorrupt, "revocation certificate: packet of type %d", raw.Tag)
	}
	parsed, err := raw.Parsed()
	if err != nil {
		return nil, classify("revocation certificate", err)
	}
	s := parsed.(*packet.Signature)
	if s.SigType != packet.SigTypeKeyRevocation || k.state().primary.VerifyRevocationSignature(s) != nil {
		return nil, fail(trustkeep.ErrKeyMismatch, "revocation certificate is not for key %s", k.Fingerprint())
	}
	ed := &edit{key: k, packets: append([]grammar.Raw(nil), k.state().packets...)}
	ed.insert(0, raw)
	return ed.done()
}

func (ed *edit) revocation(kind packet.SignatureType, reason RevocationReason, text string) *packet.Signature {
	s := selfsig.New(ed.entity.PrimaryKey, kind, ed.at)
	r := packet.ReasonForRevocation(reason)
	s.RevocationReason, s.RevocationReasonText = &r, text
	return s
}

func (ed *edit) signRevocation(s *packet.Signature) error {
	return selfsig.OverKey(s, ed.entity.PrimaryKey, ed.entity.PrivateKey, ed.config)
}

func (ed *edit) revokeSubkey(s *openpgp.Subkey, reason RevocationReason, text string) error {
	if validRevocation(s.Revocations) != nil {
		return fail(trustkeep.ErrExists, "subkey %s is already revoked", hex.EncodeToString(s.PublicKey.Fingerprint))
	}
	sig := ed.revocation(packet.SigTypeSubkeyRevocation, reason, text)
	sign := func(sig *packet.Signature) error {
		return selfsig.OverSubkey(sig, ed.entity.PrimaryKey, s.PublicKey, ed.entity.PrivateKey, ed.config)
	}
	return ed.add(sig, sign, isSubkey(s))
}
