package cms

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
)

// Sign signs content with the zero SignOptions. See SignOptions.Sign.
func Sign(content []byte, identities ...trustkeep.Identity) ([]byte, error) {
	return SignOptions{}.Sign(content, identities...)
}

// SignDetached signs content with the zero SignOptions. See
// SignOptions.SignDetached.
func SignDetached(content io.Reader, identities ...trustkeep.Identity) ([]byte, error) {
	return SignOptions{}.SignDetached(content, identities...)
}

// Inclusion selects the certificates that go into a signed message.
type Inclusion uint8

// The inclusions.
const (
	// WholeChain, the zero value, includes the signer's certificate and the
	// intermediates that the identity has, but not a root, which the receiver
	// must have anyway.
	WholeChain Inclusion = iota
	// LeafOnly includes the signer's certificate.
	LeafOnly
	// NoCertificates is for receivers that have the certificate.
	NoCertificates
)

// SignOptions configures signing. The zero value signs SHA-256 digests by RSA
// PKCS #1 v1.5 or ECDSA, as the key has it. It is a value: copy it, change the
// copy, use it from many goroutines.
type SignOptions struct {
	// Hash is SHA-256, SHA-384, SHA-512, or SHA-1 for partners that have
	// nothing else. If zero, SHA-256. Ed25519 keys always take SHA-512 (RFC
	// 8419 section 3.1).
	Hash crypto.Hash
	// PSS signs with RSASSA-PSS where the key is RSA. Many S/MIME and AS2
	// products cannot verify it.
	PSS bool
	// Include selects the certificates that go with the message. If zero, WholeChain.
	Include Inclusion
	// KeyIDs names signers by subject key identifier instead of issuer and
	// serial number.
	KeyIDs bool
	// Attributes are signed besides content type, digest and signing time.
	Attributes []Attribute
	// TimeStamp asks a time-stamp authority (RFC 3161) about each signature, so that it can be
	// judged by its time when certificates have expired. If nil, there is no time stamp.
	TimeStamp TimeStampFunc
	// TimeStampPolicy is the object identifier of the policy that the authority must follow.
	// If empty, any will do.
	TimeStampPolicy string
	// Context is handed to TimeStamp. If nil, context.Background.
	Context context.Context
	// Digested is told the digests of the content, in the order of Hashes, before it is signed: AS2
	// compares them with the MIC of a receipt. If nil, nobody is.
	Digested func(hash crypto.Hash, digest []byte)
	// Clock tells the signing time that is stated in the signature. If nil, time.Now.
	Clock func() time.Time
}

// Sign returns a SignedData (RFC 5652 section 5) that holds the content, in DER,
// with a signature of each identity. Signed are the digest of the content, its
// type and the time.
//
// The error wraps trustkeep.ErrEmpty without identities,
// trustkeep.ErrKeyMismatch, trustkeep.ErrUnsupported for keys and hashes that cannot
// be used, trustkeep.ErrInvalid for options out of range and nil identities, or is that
// of a key in hardware. With TimeStamp it can be its error, trustkeep.ErrRejected where the
// authority refuses, or trustkeep.ErrCorrupt for an answer to another question.
func (o SignOptions) Sign(content []byte, identities ...trustkeep.Identity) ([]byte, error) {
	const op = "sign"
	s, err := o.signature(identities)
	if err != nil {
		return nil, wrap(op, err)
	}
	s.digests.Write(content)
	after, err := s.after()
	if err != nil {
		return nil, wrap(op, err)
	}
	head, tail := berio.Definite(len(content), s.frames(after)...)
	return bytes.Join([][]byte{head, content, tail}, nil), nil
}

// SignDetached returns a SignedData without the content, in DER, as it stands
// beside the content in multipart/signed of S/MIME and AS2. The content is
// signed byte for byte: where MIME wants CRLF line ends, the caller has put them
// there.
func (o SignOptions) SignDetached(content io.Reader, identities ...trustkeep.Identity) ([]byte, error) {
	const op = "sign"
	s, err := o.signature(identities)
	if err != nil {
		return nil, wrap(op, err)
	}
	if err := s.digests.readFrom(content); err != nil {
		return nil, wrap(op, err)
	}
	after, err := s.after()
	if err != nil {
		return nil, wrap(op, err)
	}
	frames := s.frames(after)[:3]
	head, tail := berio.Definite(0, append(frames, berio.Frame{Identifier: berio.Sequence, Before: oidData.der()})...)
	return append(head, tail...), nil
}

// Hashes returns the digests that signing by the identities uses, for the parameter micalg of
// multipart/signed. Errors are those of Sign.
func (o SignOptions) Hashes(identities ...trustkeep.Identity) ([]crypto.Hash, error) {
	s, err := o.signature(identities)
	if err != nil {
		return nil, wrap("sign", err)
	}
	hashes := make([]crypto.Hash, len(s.digests.specs))
	for i, h := range s.digests.specs {
		hashes[i] = h.hash
	}
	return hashes, nil
}

// Writer signs what is written to it and writes the message, content included,
// to dst, in BER with indefinite lengths, as it goes: memory stays flat whatever
// the size. Close appends the signatures and does not close dst. The Writer is
// not safe for concurrent use.
//
// dst can be the Writer of a SealOptions: close this one first, then that.
//
// Errors are those of Sign and of dst.
func (o SignOptions) Writer(dst io.Writer, identities ...trustkeep.Identity) (io.WriteCloser, error) {
	s, err := o.signature(identities)
	if err != nil {
		return nil, wrap("sign", err)
	}
	head, _ := berio.Indefinite(s.frames(nil)...)
	if _, err := dst.Write(head); err != nil {
		return nil, wrap("sign", err)
	}
	return newWriter(newSignWriter(dst, s)), nil
}

// signature is a SignedData to be written, all but its content.
type signature struct {
	signers      []*signer
	digests      digests
	certificates [][]byte
	attributes   [][]byte
	time         time.Time
	stamp        func(h *hashSpec, signature []byte) ([]byte, error) // nil for none
	digested     func(crypto.Hash, []byte)                           // nil for none
}

func (o SignOptions) signature(identities []trustkeep.Identity) (*signature, error) {
	ids, err := askAll(identities)
	if err != nil {
		return nil, err
	}
	if o.Include > NoCertificates {
		return nil, invalid(fmt.Sprintf("inclusion %d", uint8(o.Include)))
	}
	s := &signature{digested: o.Digested}
	if s.attributes, err = encodeAttributes(o.Attributes); err != nil {
		return nil, err
	}
	if s.stamp, err = o.stamping(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		sg, err := o.signer(id)
		if err != nil {
			return nil, fmt.Errorf("identity %s: %w", quoted(id.leaf), err)
		}
		s.signers = append(s.signers, sg)
		s.digests.add(sg.hash)
		s.include(o.Include, id)
	}
	clock := o.Clock
	if clock == nil {
		clock = time.Now
	}
	s.time = clock()
	return s, nil
}

// include adds the certificates of an identity that are not there yet.
func (s *signature) include(what Inclusion, id identity) {
	chain := id.chain
	switch {
	case what == NoCertificates:
		return
	case what == LeafOnly:
		chain = chain[:1]
	}
next:
	for i, der := range chain {
		if i > 0 && isRoot(der) {
			continue
		}
		for _, have := range s.certificates {
			if bytes.Equal(have, der) {
				continue next
			}
		}
		s.certificates = append(s.certificates, der)
	}
}

// frames are what is around the content. after is what follows it, once it is
// known.
func (s *signature) frames(after []byte) []berio.Frame {
	version := byte(1) // RFC 5652 section 5.1
	var algorithms [][]byte
	for _, h := range s.digests.specs {
		algorithms = append(algorithms, algorithm{id: h.id}.der())
	}
	for _, sg := range s.signers {
		if sg.ref.keyID != nil {
			version = 3
		}
	}
	return []berio.Frame{
		{Identifier: berio.Sequence, Before: oidSignedData.der()},
		{Identifier: berio.ContextConstructed(0)},
		{Identifier: berio.Sequence,
			Before: append(berio.TLV(berio.Integer, []byte{version}), berio.SetOf(berio.Set, algorithms...)...),
			After:  after},
		{Identifier: berio.Sequence, Before: oidData.der()},
		{Identifier: berio.ContextConstructed(0)},
		{Identifier: berio.OctetString},
	}
}

// after signs, the content being hashed, and returns the certificates and
// SignerInfos.
func (s *signature) after() ([]byte, error) {
	var infos [][]byte
	if s.digested != nil {
		for _, h := range s.digests.specs {
			s.digested(h.hash, s.digests.sum(h))
		}
	}
	for _, sg := range s.signers {
		info, err := sg.info(s.digests.sum(sg.hash), s.time, s.attributes, s.stamp)
		if err != nil {
			return nil, fmt.Errorf("identity %s: %w", quoted(sg.leaf), err)
		}
		infos = append(infos, info)
	}
	var after []byte
	if len(s.certificates) > 0 {
		after = berio.SetOf(berio.ContextConstructed(0), s.certificates...)
	}
	return append(after, berio.SetOf(berio.Set, infos...)...), nil
}
