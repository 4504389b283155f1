package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// signer makes the SignerInfo of one identity.
type signer struct {
	leaf      *x509.Certificate
	key       crypto.Signer
	ref       ref
	hash      *hashSpec
	algorithm algorithm // of the signature
	options   crypto.SignerOpts
	whole     bool // the key signs the message, not its digest
}

func (o SignOptions) signer(id identity) (*signer, error) {
	key, ok := id.key.(crypto.Signer)
	if !ok {
		return nil, unsupported("the identity's key is no crypto.Signer")
	}
	if !signs(id.leaf) {
		return nil, unsupported("a key usage that excludes signatures")
	}
	certified := keyOf(id.leaf)
	h := o.Hash
	switch {
	case h == 0 && certified.bound != nil:
		h = certified.bound.hash.hash
	case h == 0:
		h = crypto.SHA256
	}
	s := &signer{leaf: id.leaf, key: key, hash: hashByHash(h), options: h}
	if s.hash == nil {
		return nil, unsupported(fmt.Sprintf("hash %v", h))
	}
	err := fips.Hash(h)
	if err != nil {
		return nil, err
	}
	if err := fips.PublicKey(key.Public()); err != nil {
		return nil, err
	}
	if s.ref, err = newRef(id.leaf, o.KeyIDs); err != nil {
		return nil, err
	}
	switch key.Public().(type) {
	case *rsa.PublicKey:
		s.algorithm = algorithm{oidRSA, nullDER} // RFC 3370 section 3.2
		if o.PSS || certified.pss {
			salt := h.Size()
			if b := certified.bound; b != nil {
				if s.hash != b.hash {
					return nil, unsupported(fmt.Sprintf("hash %v with a key that its certificate binds to %v", h, b.hash.hash))
				}
				salt = max(salt, b.salt)
			}
			s.algorithm = pssAlgorithm(s.hash, salt)
			s.options = &rsa.PSSOptions{SaltLength: salt, Hash: h}
		}
	case *ecdsa.PublicKey:
		s.algorithm = algorithm{id: s.hash.ec}
	case ed25519.PublicKey:
		s.hash = hashByHash(crypto.SHA512)
		s.algorithm = algorithm{id: oidEd25519}
		s.options, s.whole = crypto.Hash(0), true
	default:
		return nil, unsupported(keyName(id.leaf) + " key")
	}
	return s, nil
}

// signs reports whether a certificate's key usage, if it has one, allows
// signatures (RFC 8551 section 4.4.2).
func signs(c *x509.Certificate) bool {
	return c.KeyUsage == 0 || c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0
}

// isRoot reports whether a certificate names itself as its issuer.
func isRoot(der []byte) bool {
	c, err := x509.ParseCertificate(der)
	return err == nil && bytes.Equal(c.RawIssuer, c.RawSubject)
}

// info returns the SignerInfo (RFC 5652 section 5.3) for content of that digest, with more
// signed attributes. stamp, if set, yields a time stamp for the signature.
func (s *signer) info(digest []byte, at time.Time, more [][]byte, stamp func(h *hashSpec, signature []byte) ([]byte, error)) ([]byte, error) {
	when, err := signingTime(at)
	if err != nil {
		return nil, err
	}
	attributes := berio.SetOf(berio.Set, append([][]byte{
		attribute(oidContentType, oidData.der()),
		attribute(oidSigningTime, when),
		attribute(oidMessageDigest, berio.TLV(berio.OctetString, digest)),
	}, more...)...)
	message := attributes
	if !s.whole {
		h := s.hash.hash.New()
		h.Write(attributes)
		message = h.Sum(nil)
	}
	signature, err := s.key.Sign(rand.Reader, message, s.options)
	if err != nil {
		return nil, err
	}
	var unsigned []byte
	if stamp != nil {
		token, err := stamp(s.hash, signature)
		if err != nil {
			return nil, fmt.Errorf("time stamp: %w", err)
		}
		unsigned = berio.SetOf(berio.ContextConstructed(1), attribute(oidTimeStampToken, token))
	}
	version := byte(1)
	if s.ref.keyID != nil {
		version = 3
	}
	// Signed as a SET OF, the attributes stand in the message under [0] (RFC
	// 5652 section 5.4).
	attributes[0] = berio.ContextConstructed(0)
	return berio.TLV(berio.Sequence,
		berio.TLV(berio.Integer, []byte{version}), s.ref.der(), algorithm{id: s.hash.id}.der(),
		attributes, s.algorithm.der(), berio.TLV(berio.OctetString, signature), unsigned), nil
}

// signingTime encodes a Time as RFC 5652 section 11.3 wants it: UTCTime through
// 2049, GeneralizedTime from then on.
func signingTime(t time.Time) ([]byte, error) {
	t = t.UTC()
	params := "generalized"
	if y := t.Year(); y >= 1950 && y < 2050 {
		params = "utc"
	}
	der, err := asn1.MarshalWithParams(t, params)
	if err != nil {
		return nil, fmt.Errorf("signing time %s: %w", t.Format(time.RFC3339), trustkeep.ErrInvalid)
	}
	return der, nil
}
