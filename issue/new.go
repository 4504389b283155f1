package issue

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/keystore"
)

// New makes a private key and a certificate for it. Without Options.Issuer the certificate is
// self-signed: Identity.SelfSigned reports true, and package audit mentions it. With an
// issuer, the issuer's chain follows the certificate.
//
// To store the result, use Keystore.AddIdentity or Keystore.SetIdentity.
//
// Errors: ErrInvalid for options without a name, malformed or contradicting ones, and for an
// issuer that may not sign such a certificate; ErrExpired if the issuer is outside its
// validity; those of the issuer.
func New(o Options) (*keystore.Identity, error) {
	const op = "issue: new"
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	by, err := o.issuer() // before the cost of a key
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	key, err := certgen.NewKey(certgen.KeyType(o.Key), o.Rand)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	chain, err := o.certify(key, by)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return keystore.NewIdentity(key, chain...)
}

// certify makes a certificate for a key and returns it with its issuer's chain.
func (o *Options) certify(key crypto.Signer, by *authority) ([]*x509.Certificate, error) {
	cert, err := o.sign(key.Public(), key, by, trustkeep.ErrInvalid)
	if err != nil {
		return nil, err
	}
	if by == nil {
		return []*x509.Certificate{cert}, nil
	}
	return append([]*x509.Certificate{cert}, by.chain...), nil
}

// sign makes a certificate for a public key, signed by an authority or, if that is nil, by
// self. The options have their defaults and are checked. badSubject is the error for the
// authority's own name.
func (o *Options) sign(public crypto.PublicKey, self crypto.Signer, by *authority, badSubject error) (*x509.Certificate, error) {
	issuer := certgen.Issuer{Key: self}
	template := o.template(public, by == nil)
	if by != nil {
		issuer = certgen.Issuer{Certificate: by.chain[0], Key: by.key}
		if err := o.boundBy(by.chain[0], &template, badSubject); err != nil {
			return nil, err
		}
	}
	return certgen.Sign(template, public, issuer, o.Rand)
}

const day = 24 * time.Hour

// The lengths of validity that stand for zero; documented at
// Options.Validity.
const (
	leafValidity = 397 * day
	rootValidity = 10 * 365 * day
	subValidity  = 5 * 365 * day
	backdated    = 5 * time.Minute
)

func (o *Options) template(public crypto.PublicKey, selfSigned bool) x509.Certificate {
	t := x509.Certificate{
		Subject: o.Subject, DNSNames: o.DNSNames, IPAddresses: o.IPAddresses, EmailAddresses: o.EmailAddresses, URIs: o.URIs,
		NotBefore: o.NotBefore, KeyUsage: keyUsage(o.Purposes, public) | o.KeyUsage, ExtKeyUsage: extKeyUsage(o.Purposes),
		BasicConstraintsValid: true, IsCA: o.Purposes == ForCA, MaxPathLen: -1,
	}
	if (selfSigned || t.IsCA) && len(o.Subject.ToRDNSequence()) == 0 {
		t.Subject = o.subjectFromNames()
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = o.now().Add(-backdated)
	}
	// What a certificate can hold; GeneralizedTime has no fractions (RFC 5280
	// section 4.1.2.5.2).
	t.NotBefore = t.NotBefore.UTC().Truncate(time.Second)
	validity := o.Validity
	switch {
	case validity != 0:
	case !t.IsCA:
		validity = leafValidity
	case selfSigned:
		validity = rootValidity
	default:
		validity = subValidity
	}
	t.NotAfter = t.NotBefore.Add(validity).Truncate(time.Second)
	if t.IsCA {
		switch {
		case o.PathLength != nil:
			t.MaxPathLen = *o.PathLength
		case !selfSigned:
			t.MaxPathLen = 0
		}
		t.MaxPathLenZero = t.MaxPathLen == 0
	}
	return t
}

// maxCommonName is ub-common-name of RFC 5280 appendix A.1.
const maxCommonName = 64

// subjectFromNames makes a subject of the first alternative name that fits: the
// name of an issuer, which a self-signed certificate is to itself, must not be
// empty (RFC 5280 section 4.1.2.4), and Java reads no store that has one.
func (o *Options) subjectFromNames() pkix.Name {
	names := slices.Clone(o.DNSNames)
	for _, ip := range o.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(names, o.EmailAddresses...)
	for _, u := range o.URIs {
		names = append(names, u.String())
	}
	for _, n := range names {
		if len(n) <= maxCommonName {
			return pkix.Name{CommonName: n}
		}
	}
	// All names are too long, as those of some cloud hosts are.
	return pkix.Name{CommonName: "self-signed"}
}

// boundBy refuses what the issuer may not sign (RFC 5280 sections 4.2.1.3, 4.2.1.9 and
// 6.1) and keeps default lengths of validity within the issuer's.
func (o *Options) boundBy(issuer *x509.Certificate, t *x509.Certificate, badSubject error) error {
	name, now := certpath.Subject(issuer), o.now()
	switch {
	case !issuer.BasicConstraintsValid || !issuer.IsCA:
		return fmt.Errorf("issuer %s is no CA: %w", name, trustkeep.ErrInvalid)
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("issuer %s has no key usage for signing certificates: %w", name, trustkeep.ErrInvalid)
	case now.Before(issuer.NotBefore) || now.After(issuer.NotAfter):
		return fmt.Errorf("issuer %s is valid from %s to %s: %w", name, certpath.Date(issuer.NotBefore), certpath.Date(issuer.NotAfter), trustkeep.ErrExpired)
	case sameSubject(issuer, t):
		return fmt.Errorf("the issuer's own name %s as the subject: %w", name, badSubject)
	}
	if limited := issuer.MaxPathLen > 0 || issuer.MaxPathLenZero; limited && t.IsCA {
		below := issuer.MaxPathLen - 1
		if below < 0 || t.MaxPathLen > below || t.MaxPathLen < 0 {
			return fmt.Errorf("issuer %s allows %d CAs below itself: %w", name, issuer.MaxPathLen, trustkeep.ErrInvalid)
		}
	}
	if o.NotBefore.IsZero() && t.NotBefore.Before(issuer.NotBefore) {
		t.NotAfter = t.NotAfter.Add(issuer.NotBefore.Sub(t.NotBefore))
		t.NotBefore = issuer.NotBefore
	}
	if (o.Validity == 0 || o.atMost) && t.NotAfter.After(issuer.NotAfter) {
		t.NotAfter = issuer.NotAfter
	}
	if t.NotBefore.Before(issuer.NotBefore) || t.NotAfter.After(issuer.NotAfter) {
		return fmt.Errorf("valid from %s to %s, outside of what issuer %s is, from %s to %s: %w", certpath.Date(t.NotBefore), certpath.Date(t.NotAfter),
			name, certpath.Date(issuer.NotBefore), certpath.Date(issuer.NotAfter), trustkeep.ErrInvalid)
	}
	return nil
}

// sameSubject: a certificate with its issuer's name would be taken for
// self-issued by whoever builds a path.
func sameSubject(issuer, t *x509.Certificate) bool {
	if t.RawSubject != nil {
		return string(t.RawSubject) == string(issuer.RawSubject)
	}
	return slices.Equal(attributesOf(t.Subject), attributesOf(issuer.Subject))
}

// attributesOf returns the attributes of a name, each in DER, in an order that does not
// depend on theirs.
func attributesOf(n pkix.Name) []string {
	attributes := n.Names // of a parsed name
	if n.ExtraNames != nil || len(attributes) == 0 {
		attributes = slices.Concat(n.ToRDNSequence()...)
	}
	out := make([]string, 0, len(attributes))
	for _, a := range attributes {
		der, err := asn1.Marshal(a)
		if err != nil { // nor can it be issued
			continue
		}
		out = append(out, string(der))
	}
	slices.Sort(out)
	return out
}
