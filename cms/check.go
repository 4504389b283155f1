package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/truststore"
)

// check decides whether one signature counts.
func (v *verifier) check(info *signerInfo) (*Signer, *SignerError) {
	fail := &SignerError{Signer: info.ref.public()}
	s, err := v.signer(info, fail)
	if err != nil {
		fail.Err = err
		return nil, fail
	}
	return s, nil
}

// signer is check. It notes in about whom the error will be.
func (v *verifier) signer(info *signerInfo, about *SignerError) (*Signer, error) {
	h := hashByID(info.digest.id)
	if h == nil {
		return nil, unsupported("digest " + info.digest.id.String())
	}
	if h.hash == crypto.SHA1 && !v.o.AllowSHA1 {
		return nil, unsupported("digest SHA-1 without VerifyOptions.AllowSHA1")
	}
	if err := fips.Hash(h.hash); err != nil {
		return nil, err
	}
	digest := v.digests.sum(h)
	if digest == nil {
		return nil, corrupt("digest that the message does not announce")
	}
	candidates := v.candidates(info.ref)
	if len(candidates) == 0 {
		for _, u := range v.unread {
			if u.refersTo(info.ref) {
				return nil, fmt.Errorf("its certificate: %w", unreadable(u.der, u.err))
			}
		}
		return nil, fmt.Errorf("its certificate is neither in the message nor known: %w", trustkeep.ErrNotFound)
	}
	about.Subject = certinfo.Subject(candidates[0])
	if err := v.checkContent(info, digest); err != nil {
		return nil, err
	}
	var first error
	for _, c := range candidates {
		if v.attempts++; v.attempts > maxAttempts {
			return nil, fmt.Errorf("more than %d signatures and certificates to try: %w", maxAttempts, trustkeep.ErrLimit)
		}
		s := &Signer{Certificate: c, Hash: h.hash, Digest: digest}
		err := v.accept(s, info, h, digest)
		if err == nil {
			if info.signed != nil {
				s.SigningTime = info.signed.signingTime
				for _, a := range info.signed.others {
					s.Attributes = append(s.Attributes, a.public())
				}
			}
			return s, nil
		}
		if first == nil {
			first, about.Subject = err, certinfo.Subject(c)
		}
	}
	return nil, first
}

// candidates returns the certificates that a signer's name fits: those of the
// message, those that the caller gave, those that are trusted.
func (v *verifier) candidates(to ref) []*x509.Certificate {
	var found []*x509.Certificate
	add := func(c *x509.Certificate) {
		if c == nil || len(found) > maxAttempts || !to.matches(c) { // more are not tried
			return
		}
		for _, have := range found {
			if have.Equal(c) {
				return
			}
		}
		found = append(found, c)
	}
	for _, c := range v.certificates {
		add(c)
	}
	for _, c := range v.o.Certificates {
		add(c)
	}
	if v.snapshot != nil { // a time stamp has none: see verifyToken
		for c := range v.snapshot.All() {
			add(c)
		}
	}
	return found
}

// checkContent checks that the signed attributes are about the content.
func (v *verifier) checkContent(info *signerInfo, digest []byte) error {
	if info.signed == nil {
		if v.kind != oidData { // RFC 5652 section 5.3
			return corrupt("signature without attributes over content that is not data")
		}
		if v.looksLikeAttributes() {
			return corrupt("signature without attributes over content that looks like attributes")
		}
		return nil
	}
	if info.signed.contentType != v.kind {
		return corrupt("content type differs from the signed one")
	}
	if !hmac.Equal(info.signed.messageDigest, digest) {
		return corrupt("content differs from what was signed")
	}
	return nil
}

// accept checks the signature with the key of a certificate and asks whether
// that certificate is trusted, now or at the time of a time stamp.
func (v *verifier) accept(s *Signer, info *signerInfo, h *hashSpec, digest []byte) error {
	c := s.Certificate
	if !v.bearable(c) {
		return unsupported("RSA key of extraordinary size")
	}
	if err := info.checkSignature(keyOf(c), h, digest); err != nil {
		return err
	}
	if info.signed != nil {
		if err := info.signed.denies(c); err != nil {
			return err
		}
	}
	if !signs(c) {
		return unsupported("certificate whose key usage excludes signatures")
	}
	purpose, at := truststore.Email, v.now
	if v.o.AnyPurpose {
		purpose = truststore.Any
	}
	if v.stamps != nil {
		s.TimeStamp, s.TimeStampError = v.timeStamp(info)
	}
	if s.TimeStamp != nil {
		// At the latest, which is the stricter reading.
		if stamped := s.TimeStamp.Time.Add(s.TimeStamp.Accuracy); stamped.Before(at) {
			at = stamped
		}
	}
	var err error
	s.Verdict, err = v.judge(v.snapshot, c, v.certificates, truststore.VerifyOptions{Purpose: purpose, Name: v.o.Address, Time: at})
	return v.hint(c, info, s, err)
}

// judge asks whether a certificate is trusted. Those of the message and of the caller may
// complete its chain.
func (v *verifier) judge(by *truststore.Snapshot, c *x509.Certificate, sent []*x509.Certificate, o truststore.VerifyOptions) (*truststore.Verdict, error) {
	o.Intermediates = make([]*x509.Certificate, 0, len(sent)+len(v.o.Certificates))
	for _, list := range [][]*x509.Certificate{v.o.Certificates, sent} {
		for _, other := range list {
			if other != nil && other != c {
				o.Intermediates = append(o.Intermediates, other)
			}
		}
	}
	o.Revocation, o.RevocationExempt, o.Context = v.o.Revocation, v.o.RevocationExempt, v.o.Context
	return by.Verify([]*x509.Certificate{c}, o)
}

// hint adds to the refusal of a certificate what this package knows about it.
func (v *verifier) hint(c *x509.Certificate, info *signerInfo, s *Signer, err error) error {
	var refused *truststore.VerifyError
	if !errors.As(err, &refused) {
		return err
	}
	is := func(code trustkeep.Code) bool {
		return refused.Reason.Code == code || slices.ContainsFunc(refused.Also, func(r truststore.Reason) bool { return r.Code == code })
	}
	if is(truststore.CodeWrongUsage) && !v.o.AnyPurpose {
		err = fmt.Errorf("%w; VerifyOptions.AnyPurpose accepts certificates that are not for e-mail", err)
	}
	switch {
	case s.TimeStampError != nil:
		err = fmt.Errorf("%w; judged now, since its time stamp does not count: %v", err, s.TimeStampError)
	case is(truststore.CodeExpired) && v.stamps == nil && info.isStamped():
		err = fmt.Errorf("%w; it has a time stamp, which counts under VerifyOptions.TimeStampTrust", err)
	}
	if is(truststore.CodeUnknownIssuer) || is(truststore.CodeIncompleteChain) {
		for _, u := range v.unread {
			if u.isFor(c.RawIssuer) {
				return fmt.Errorf("%w; the message brings its issuer: %v", err, unreadable(u.der, u.err))
			}
		}
	}
	return err
}

// checkSignature checks the signature with a public key. digest is that of the
// content.
func (s *signerInfo) checkSignature(key certifiedKey, h *hashSpec, digest []byte) error {
	if s.signed == nil {
		return s.checkMessage(key, h, digest, nil)
	}
	sum := func(message []byte) []byte {
		d := h.hash.New()
		d.Write(message)
		return d.Sum(nil)
	}
	err := s.checkMessage(key, h, sum(s.signed.der), s.signed.der)
	if err != nil && s.signed.sorted != nil {
		// Sent out of order: RFC 5652 section 5.4 signs the DER encoding,
		// which is sorted, and some products sign what they send.
		if s.checkMessage(key, h, sum(s.signed.sorted), s.signed.sorted) == nil {
			return nil
		}
	}
	return err
}

var errSignature = corrupt("signature does not fit the content and the certificate's key")

// checkMessage checks the signature over a message, nil where only its digest
// is known.
func (s *signerInfo) checkMessage(key certifiedKey, h *hashSpec, digest, message []byte) error {
	if err := fips.PublicKey(key.public); err != nil {
		return err
	}
	ok := false
	switch pub := key.public.(type) {
	case *rsa.PublicKey:
		if s.algorithm.id == oidPSS {
			options, err := key.checkPSS(s.algorithm, h)
			if err != nil {
				return err
			}
			ok = rsa.VerifyPSS(pub, h.hash, digest, s.signature, options) == nil
			break
		}
		if key.pss {
			return unsupported("RSA PKCS #1 v1.5 signature by a key that is for RSA-PSS alone")
		}
		if s.algorithm.id != oidRSA && s.algorithm.id != h.rsa {
			return unsupported("RSA signature " + s.algorithm.id.String())
		}
		ok = rsa.VerifyPKCS1v15(pub, h.hash, digest, s.signature) == nil
	case *ecdsa.PublicKey:
		// The bare key type is what some products say.
		if s.algorithm.id != h.ec && s.algorithm.id != oidEC {
			return unsupported("ECDSA signature " + s.algorithm.id.String())
		}
		ok = ecdsa.VerifyASN1(pub, digest, s.signature)
	case ed25519.PublicKey:
		if s.algorithm.id != oidEd25519 || message == nil {
			return unsupported("Ed25519 signature without signed attributes")
		}
		ok = ed25519.Verify(pub, message, s.signature)
	default:
		return unsupported("certificate with a key that signs nothing")
	}
	if !ok {
		return errSignature
	}
	return nil
}
