package keystore

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
)

// Generate makes a key and a certificate for it and puts both under an alias
// that must be free. Without CertificateOptions.Issuer the certificate is
// self-signed, which Identity.SelfSigned tells and package audit reports; with
// one, which may come from any keystore, the issuer's chain follows the
// certificate. The key is protected by the store's password when the store is
// saved.
//
// Errors: ErrExists; ErrEmpty when there is no name to certify; ErrExpired when
// the issuer is, or would be, outside its validity; ErrUnsupported for an issuer
// that may not sign such a certificate and for other options that contradict
// each other; ErrCorrupt for a malformed name.
func (k *Keystore) Generate(alias string, o CertificateOptions) (*Identity, error) {
	const op = "keystore: generate"
	if err := k.free(op, alias); err != nil {
		return nil, err // before the cost of a key
	}
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: alias, Err: err}
	}
	key, err := certgen.NewKey(certgen.KeyType(o.Key), k.options.Rand)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: alias, Err: err}
	}
	id, err := k.certify(alias, key, o)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: alias, Err: err}
	}
	if err := k.exchange(op, nil, []*item{k.newItem(id, nil)}); err != nil {
		return nil, err
	}
	return id, nil
}

// certify makes an identity of a key and a new certificate for it.
func (k *Keystore) certify(alias string, key crypto.Signer, o CertificateOptions) (*Identity, error) {
	cert, err := k.sign(key.Public(), key, o)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{cert}
	if o.Issuer != nil {
		chain = append(chain, o.Issuer.chain...)
	}
	return newIdentity(alias, key, chain), nil
}

// sign makes a certificate for a public key, signed by o.Issuer or, where that
// is nil, by self. The options have their defaults and are checked.
func (k *Keystore) sign(public crypto.PublicKey, self crypto.Signer, o CertificateOptions) (*x509.Certificate, error) {
	issuer := certgen.Issuer{Key: self}
	template := o.template(public, k.now())
	if o.Issuer != nil {
		issuer = certgen.Issuer{Certificate: o.Issuer.Leaf(), Key: o.Issuer.signer}
		if err := boundBy(issuer.Certificate, &template, &o, k.now()); err != nil {
			return nil, err
		}
	}
	return certgen.Sign(template, public, issuer, k.options.Rand)
}

const day = 24 * time.Hour

// The lengths of validity that stand for zero; documented at
// CertificateOptions.Validity.
const (
	leafValidity = 397 * day
	rootValidity = 10 * 365 * day
	subValidity  = 5 * 365 * day
	backdated    = 5 * time.Minute
)

func (o *CertificateOptions) template(public crypto.PublicKey, now time.Time) x509.Certificate {
	t := x509.Certificate{
		Subject: o.Subject, DNSNames: o.DNSNames, IPAddresses: o.IPAddresses, EmailAddresses: o.EmailAddresses, URIs: o.URIs,
		NotBefore: o.NotBefore, KeyUsage: keyUsage(o.Purposes, public) | o.KeyUsage, ExtKeyUsage: extKeyUsage(o.Purposes),
		BasicConstraintsValid: true, IsCA: o.Purposes == ForCA, MaxPathLen: -1,
	}
	if (o.Issuer == nil || t.IsCA) && len(o.Subject.ToRDNSequence()) == 0 {
		t.Subject = o.subjectFromNames()
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = now.Add(-backdated)
	}
	// What a certificate can hold; GeneralizedTime has no fractions (RFC 5280
	// section 4.1.2.5.2).
	t.NotBefore = t.NotBefore.UTC().Truncate(time.Second)
	validity := o.Validity
	switch {
	case validity != 0:
	case !t.IsCA:
		validity = leafValidity
	case o.Issuer == nil:
		validity = rootValidity
	default:
		validity = subValidity
	}
	t.NotAfter = t.NotBefore.Add(validity).Truncate(time.Second)
	if t.IsCA {
		switch {
		case o.PathLength != nil:
			t.MaxPathLen = *o.PathLength
		case o.Issuer != nil:
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
func (o *CertificateOptions) subjectFromNames() pkix.Name {
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

// boundBy refuses what the issuer may not sign (RFC 5280 sections 4.2.1.3,
// 4.2.1.9 and 6.1) and keeps default lengths of validity within the issuer's.
func boundBy(issuer *x509.Certificate, t *x509.Certificate, o *CertificateOptions, now time.Time) error {
	name := subject(issuer)
	switch {
	case !issuer.BasicConstraintsValid || !issuer.IsCA:
		return fmt.Errorf("issuer %s is no CA: %w", name, trustkeep.ErrUnsupported)
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("issuer %s has no key usage for signing certificates: %w", name, trustkeep.ErrUnsupported)
	case now.Before(issuer.NotBefore) || now.After(issuer.NotAfter):
		return fmt.Errorf("issuer %s is valid from %s to %s: %w", name, date(issuer.NotBefore), date(issuer.NotAfter), trustkeep.ErrExpired)
	case sameSubject(issuer, t):
		return fmt.Errorf("the issuer's own name %s as the subject: %w", name, trustkeep.ErrUnsupported)
	}
	if limited := issuer.MaxPathLen > 0 || issuer.MaxPathLenZero; limited && t.IsCA {
		below := issuer.MaxPathLen - 1
		if below < 0 || t.MaxPathLen > below || t.MaxPathLen < 0 {
			return fmt.Errorf("issuer %s allows %d CAs below itself: %w", name, issuer.MaxPathLen, trustkeep.ErrUnsupported)
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
		return fmt.Errorf("valid from %s to %s, outside of what issuer %s is, from %s to %s: %w",
			date(t.NotBefore), date(t.NotAfter), name, date(issuer.NotBefore), date(issuer.NotAfter), trustkeep.ErrExpired)
	}
	return nil
}

// sameSubject: a certificate with its issuer's name would be taken for
// self-issued by whoever builds a path.
func sameSubject(issuer, t *x509.Certificate) bool {
	if t.RawSubject != nil {
		return string(t.RawSubject) == string(issuer.RawSubject)
	}
	return t.Subject.String() == issuer.Subject.String()
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
