package keystore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
)

// path finds the chain of a certificate. It decides what to send along with an
// identity, not whom to trust.
type path struct {
	leaf    *x509.Certificate
	others  []*x509.Certificate // where issuers come from
	anchors []*x509.Certificate
	// mustAnchor: the caller named the anchors; otherwise they are whatever
	// is self-signed among the others.
	mustAnchor bool
	now        time.Time
}

// build returns the chain from the leaf to a root, as far as the certificates
// are there, or says why there is none.
func (p path) build() ([]*entry.Certificate, error) {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range p.anchors {
		roots.AddCert(c)
	}
	for _, c := range p.others {
		intermediates.AddCert(c)
	}
	wrapped := make([]*entry.Certificate, len(p.others))
	for i, c := range p.others {
		wrapped[i] = entry.FromX509(c)
	}
	index := entry.NewIndex(wrapped)
	chains, err := p.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: p.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, p.explain(err, index)
	}
	verified := chains[0]
	for _, c := range chains[1:] {
		if len(c) < len(verified) {
			verified = c
		}
	}
	chain := make([]*entry.Certificate, len(verified))
	for i, c := range verified {
		chain[i] = entry.FromX509(c)
	}
	// An anchor that is an intermediate has issuers of its own.
	for _, c := range index.Chain(chain[len(chain)-1])[1:] {
		if !contains(chain, c.Raw) {
			chain = append(chain, c)
		}
	}
	return chain, nil
}

// explain turns the refusal of crypto/x509 into what is missing or wrong.
func (p path) explain(err error, index *entry.Index) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if invalid.Reason == x509.Expired {
			return outsideValidity(invalid.Cert)
		}
		return fmt.Errorf("certificate of %s: %w: %v", subject(invalid.Cert), trustkeep.ErrCorrupt, err)
	}
	chain := index.Chain(entry.FromX509(p.leaf))
	for i, wrapped := range chain {
		c, parseErr := wrapped.X509()
		if parseErr != nil {
			return parseErr
		}
		if p.now.Before(c.NotBefore) || p.now.After(c.NotAfter) {
			return outsideValidity(c)
		}
		if i == len(chain)-1 {
			return p.deadEnd(c, err)
		}
		parent, parseErr := chain[i+1].X509()
		if parseErr != nil {
			return parseErr
		}
		if reason := link(c, parent); reason != nil {
			return reason
		}
	}
	return err // not reached: a chain has at least its leaf
}

// link says why a certificate that has the right name did not issue another.
func link(c, parent *x509.Certificate) error {
	err := signedBy(c, parent)
	var insecure x509.InsecureAlgorithmError
	switch {
	case errors.As(err, &insecure):
		return fmt.Errorf("certificate of %s: %w: %v", subject(c), trustkeep.ErrUnsupported, err)
	case err != nil:
		return fmt.Errorf("missing issuer: the certificate of %s was signed by %s with another key than that of the certificate at hand: %w",
			subject(c), quoted(c.Issuer.String()), trustkeep.ErrNotFound)
	case !parent.BasicConstraintsValid || !parent.IsCA:
		return fmt.Errorf("certificate of %s was signed by %s, which is no CA: %w", subject(c), subject(parent), trustkeep.ErrCorrupt)
	}
	return nil
}

// deadEnd explains why the last certificate of a path leads no further.
func (p path) deadEnd(last *x509.Certificate, err error) error {
	switch {
	case signedBy(last, last) != nil:
		return fmt.Errorf("missing issuer: there is no certificate of %s, which signed that of %s: %w",
			quoted(last.Issuer.String()), subject(last), trustkeep.ErrNotFound)
	case p.mustAnchor && !has(p.anchors, last):
		return fmt.Errorf("the chain leads to %s, which is not among the trusted certificates: %w", subject(last), trustkeep.ErrNotFound)
	}
	return fmt.Errorf("chain to %s: %w: %v", subject(last), trustkeep.ErrCorrupt, err)
}

func outsideValidity(c *x509.Certificate) error {
	return fmt.Errorf("certificate of %s is valid from %s to %s: %w", subject(c), date(c.NotBefore), date(c.NotAfter), trustkeep.ErrExpired)
}

func subject(c *x509.Certificate) string { return quoted(c.Subject.String()) }

// quoted is %q that stays readable: Printable has escaped already.
func quoted(s string) string { return `"` + trustkeep.Printable(s) + `"` }

// signedBy checks child's signature with parent's key, whatever parent may sign.
// The signature decides, not the names.
func signedBy(child, parent *x509.Certificate) error {
	return parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
}

func contains(chain []*entry.Certificate, raw []byte) bool {
	for _, c := range chain {
		if bytes.Equal(c.Raw, raw) {
			return true
		}
	}
	return false
}
