package cms

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/cms/internal/keywrap"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// agreementSpec is a way of ephemeral-static ECDH: the hash of the key derivation, which is
// that of ANSI X9.63 or HKDF.
type agreementSpec struct {
	id   oid
	hash crypto.Hash
	hkdf bool
}

// The dhSinglePass-stdDH schemes, which are written, and the dhSinglePass-cofactorDH ones
// (RFC 5753 section 7.1.4). The cofactor of the NIST curves is 1, so they are the same. Those
// with HKDF are for X25519 (RFC 8418 section 2.2).
var agreementSpecs = [...]agreementSpec{
	{newOID("1.3.132.1.11.1"), crypto.SHA256, false},
	{newOID("1.3.132.1.11.2"), crypto.SHA384, false},
	{newOID("1.3.132.1.11.3"), crypto.SHA512, false},
	{newOID("1.3.132.1.11.0"), crypto.SHA224, false},
	{newOID("1.3.133.16.840.63.0.2"), crypto.SHA1, false},
	{newOID("1.3.132.1.14.1"), crypto.SHA256, false},
	{newOID("1.3.132.1.14.2"), crypto.SHA384, false},
	{newOID("1.3.132.1.14.3"), crypto.SHA512, false},
	{newOID("1.3.132.1.14.0"), crypto.SHA224, false},
	{newOID("1.3.133.16.840.63.0.3"), crypto.SHA1, false},
	{oidHKDFSHA256, crypto.SHA256, true},
	{newOID("1.2.840.113549.1.9.16.3.20"), crypto.SHA384, true},
	{newOID("1.2.840.113549.1.9.16.3.21"), crypto.SHA512, true},
}

var (
	oidHKDFSHA256 = newOID("1.2.840.113549.1.9.16.3.19")
	oidX25519     = newOID("1.3.101.110") // RFC 8410 section 3
)

func agreementByID(id oid) (*agreementSpec, error) {
	for i := range agreementSpecs {
		if agreementSpecs[i].id == id {
			return &agreementSpecs[i], nil
		}
	}
	return nil, unsupported("key agreement " + id.String())
}

// agreementFor follows RFC 5753 section 8, the hash as strong as the curve, and RFC 8551
// section 2.3.
func agreementFor(curve ecdh.Curve) *agreementSpec {
	h, hkdf := crypto.SHA256, false
	switch curve {
	case ecdh.X25519():
		hkdf = true
	case ecdh.P384():
		h = crypto.SHA384
	case ecdh.P521():
		h = crypto.SHA512
	}
	for i := range agreementSpecs {
		if agreementSpecs[i].hash == h && agreementSpecs[i].hkdf == hkdf {
			return &agreementSpecs[i]
		}
	}
	return nil // not reached
}

// wrapSpecs are the AES key wraps by the size of their key: RFC 3565 section
// 4.2.
var wrapSpecs = map[oid]int{
	newOID("2.16.840.1.101.3.4.1.5"):  16,
	newOID("2.16.840.1.101.3.4.1.25"): 24,
	oidAES256Wrap:                     32,
}

var oidAES256Wrap = newOID("2.16.840.1.101.3.4.1.45")

// agreementInfo returns a KeyAgreeRecipientInfo (RFC 5652 section 6.2.2) that
// holds the content key for the owner of an EC or X25519 key: ephemeral-static ECDH (RFC
// 5753 section 3.1, RFC 8418) and AES-256 key wrap.
func agreementInfo(to ref, pub *ecdh.PublicKey, contentKey []byte) ([]byte, error) {
	if err := fips.PublicKey(pub); err != nil {
		return nil, err
	}
	ephemeral, err := pub.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	shared, err := ephemeral.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("recipient's key: %v: %w", err, trustkeep.ErrUnsupported)
	}
	spec, wrap := agreementFor(pub.Curve()), algorithm{id: oidAES256Wrap}
	kek, err := deriveKEK(spec, shared, wrap.der(), nil, wrapSpecs[wrap.id])
	if err != nil {
		return nil, err
	}
	wrapped, err := keywrap.Wrap(kek, contentKey)
	if err != nil {
		return nil, err
	}
	rid := to.der()
	if to.keyID != nil { // RecipientKeyIdentifier, [0] IMPLICIT SEQUENCE
		rid = berio.TLV(berio.ContextConstructed(0), berio.TLV(berio.OctetString, to.keyID))
	}
	kind := oidEC
	if pub.Curve() == ecdh.X25519() {
		kind = oidX25519
	}
	point := append([]byte{0}, ephemeral.PublicKey().Bytes()...) // no unused bits
	return berio.TLV(berio.ContextConstructed(1),
		berio.TLV(berio.Integer, []byte{3}),
		berio.TLV(berio.ContextConstructed(0), berio.TLV(berio.ContextConstructed(1),
			algorithm{id: kind}.der(), berio.TLV(berio.BitString, point))),
		algorithm{spec.id, wrap.der()}.der(),
		berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, rid, berio.TLV(berio.OctetString, wrapped)))), nil
}

// deriveKEK derives a key of size bytes from a shared secret and ECC-CMS-SharedInfo (RFC 5753
// section 7.2), by ANSI X9.63 or HKDF (RFC 8418 section 2).
func deriveKEK(spec *agreementSpec, shared, wrapDER, ukm []byte, size int) ([]byte, error) {
	var bits [4]byte
	binary.BigEndian.PutUint32(bits[:], uint32(8*size))
	var entity []byte
	if ukm != nil {
		entity = berio.TLV(berio.ContextConstructed(0), berio.TLV(berio.OctetString, ukm))
	}
	info := berio.TLV(berio.Sequence, wrapDER, entity,
		berio.TLV(berio.ContextConstructed(2), berio.TLV(berio.OctetString, bits[:])))
	if spec.hkdf {
		return hkdf.Key(spec.hash.New, shared, nil, string(info), size)
	}
	var kek []byte
	for counter := uint32(1); len(kek) < size; counter++ {
		d := spec.hash.New()
		d.Write(shared)
		d.Write(binary.BigEndian.AppendUint32(nil, counter))
		d.Write(info)
		kek = d.Sum(kek)
	}
	return kek[:size], nil
}

// agreed is a KeyAgreeRecipientInfo of a message, with the recipients that it
// is for.
type agreed struct {
	point     []byte // the originator's ephemeral key
	ukm       []byte // nil where absent
	algorithm algorithm
	to        []agreedRecipient
}

type agreedRecipient struct {
	ref     ref
	wrapped []byte
}

// maxAgreed bounds the recipients within one KeyAgreeRecipientInfo.
const maxAgreed = 1000

func parseAgreement(e ber.Element) (*agreed, error) {
	in, err := e.Children()
	if err != nil {
		return nil, err
	}
	a := new(agreed)
	if _, err = in.Read(ber.Integer); err != nil {
		return nil, err
	}
	if err = optional(&in, 0, a.readOriginator); err != nil {
		return nil, err
	}
	err = optional(&in, 1, func(in *ber.Input) (err error) {
		a.ukm, err = readOctets(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.algorithm, err = readAlgorithm(&in); err != nil {
		return nil, err
	}
	if e, err = in.Read(ber.Sequence); err != nil {
		return nil, err
	}
	if err = in.End(); err != nil {
		return nil, err
	}
	list, err := e.Children()
	if err != nil {
		return nil, err
	}
	for !list.Empty() {
		if len(a.to) == maxAgreed {
			return nil, fmt.Errorf("more than %d recipients in one key agreement: %w", maxAgreed, trustkeep.ErrLimit)
		}
		if err := a.readRecipient(&list); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// readOriginator reads an OriginatorIdentifierOrKey. What is no ephemeral key
// leaves point empty, for an error only if the message is for us.
func (a *agreed) readOriginator(in *ber.Input) error {
	e, err := in.Next()
	if err != nil || e.Tag != ber.Context(1) {
		return err
	}
	fields, err := e.Children()
	if err != nil {
		return err
	}
	if _, err = fields.Read(ber.Sequence); err != nil { // of the recipient's curve, or nothing
		return err
	}
	bits, err := fields.Read(ber.BitString)
	if err != nil {
		return err
	}
	if bits.Constructed || len(bits.Content) == 0 || bits.Content[0] != 0 {
		return corrupt("ephemeral key")
	}
	a.point = bits.Content[1:]
	return fields.End()
}

func (a *agreed) readRecipient(list *ber.Input) error {
	e, err := list.Read(ber.Sequence)
	if err != nil {
		return err
	}
	fields, err := e.Children()
	if err != nil {
		return err
	}
	var r agreedRecipient
	if id, present, err := fields.ReadOptional(ber.Context(0)); err != nil {
		return err
	} else if present { // RecipientKeyIdentifier; date and other key are ignored
		inner, err := id.Children()
		if err != nil {
			return err
		}
		if r.ref.keyID, err = readOctets(&inner); err != nil {
			return err
		}
		if len(r.ref.keyID) == 0 {
			return corrupt("empty key identifier")
		}
	} else if r.ref, err = readRef(&fields); err != nil {
		return err
	}
	if r.wrapped, err = readOctets(&fields); err != nil {
		return err
	}
	a.to = append(a.to, r)
	return fields.End()
}

// exchanger is what keys for key agreement have in common: *ecdh.PrivateKey and
// every ecdh.KeyExchanger.
type exchanger interface {
	ECDH(*ecdh.PublicKey) ([]byte, error)
}

func exchangerOf(key crypto.PrivateKey) (exchanger, bool) {
	if r, ok := key.(redact.Revealer); ok { // as keystore.Identity holds it
		key = r.Reveal()
	}
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		e, err := k.ECDH()
		return e, err == nil
	}
	e, ok := key.(exchanger)
	return e, ok
}

// contentKey recovers the content key of size bytes. The key wrap tells right
// from wrong, and that is safe to say: guessing does not help.
func (a *agreed) contentKey(r agreedRecipient, pub crypto.PublicKey, key crypto.PrivateKey, size int) ([]byte, error) {
	spec, err := agreementByID(a.algorithm.id)
	if err != nil {
		return nil, err
	}
	in := ber.New(a.algorithm.params, ber.Rules{MaxDepth: 4})
	wrap, err := readAlgorithm(&in)
	if err != nil {
		return nil, err
	}
	kekSize := wrapSpecs[wrap.id]
	if kekSize == 0 {
		return nil, unsupported("key wrap " + wrap.id.String())
	}
	if a.point == nil {
		return nil, unsupported("key agreement without an ephemeral key")
	}
	var own *ecdh.PublicKey
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if own, err = pub.ECDH(); err != nil {
			return nil, unsupported("the identity's curve")
		}
	case *ecdh.PublicKey:
		own = pub
	default:
		return nil, corrupt("key agreement with a recipient whose key is not EC")
	}
	if err := fips.PublicKey(own); err != nil {
		return nil, err
	}
	exchange, ok := exchangerOf(key)
	if !ok {
		return nil, unsupported("the identity's key does no ECDH")
	}
	ephemeral, err := own.Curve().NewPublicKey(a.point) // on the curve, or an error
	if err != nil {
		return nil, errUndecryptable()
	}
	shared, err := exchange.ECDH(ephemeral)
	if err != nil {
		return nil, errUndecryptable()
	}
	if err := fips.Hash(spec.hash); err != nil {
		return nil, err
	}
	kek, err := deriveKEK(spec, shared, a.algorithm.params, a.ukm, kekSize)
	if err != nil {
		return nil, err
	}
	contentKey, err := keywrap.Unwrap(kek, r.wrapped)
	if err != nil || len(contentKey) != size {
		return nil, errUndecryptable()
	}
	return contentKey, nil
}
