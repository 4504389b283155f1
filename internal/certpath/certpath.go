// Package certpath finds the chain of a certificate, or explains what is missing or wrong.
// It selects the issuers to send with an identity; it decides nothing about trust.
package certpath

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Search finds the chain of one certificate.
type Search struct {
	Leaf    *x509.Certificate
	Others  []*x509.Certificate // where issuers come from
	Anchors []*x509.Certificate
	// Chosen: the caller named the anchors; otherwise they are whatever is self-signed
	// among the others.
	Chosen bool
	Now    time.Time
}

// Chain returns the chain from the leaf to a root, as far as the certificates are available.
//
// Errors: ErrNotFound, naming the certificate, if an issuer is missing or the chain leads to
// no anchor; ErrExpired; ErrUnsupported for a signature that crypto/x509 considers too weak;
// ErrCorrupt for certificates that contradict each other.
func (s Search) Chain() ([]*x509.Certificate, error) {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range s.Anchors {
		if limits.PublicKey(c.PublicKey) == nil {
			roots.AddCert(c)
		}
	}
	for _, c := range s.Others {
		if limits.PublicKey(c.PublicKey) == nil {
			intermediates.AddCert(c)
		}
	}
	wrapped := make([]*entry.Certificate, len(s.Others))
	for i, c := range s.Others {
		wrapped[i] = entry.FromX509(c)
	}
	index := entry.NewIndex(wrapped)
	chains, err := s.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: s.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, s.explain(err, index)
	}
	chain := slices.MinFunc(chains, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
	// An anchor that is an intermediate has issuers of its own.
	for _, w := range index.Chain(entry.FromX509(chain[len(chain)-1]))[1:] {
		c, err := w.X509()
		if err != nil {
			return nil, err
		}
		if !Has(chain, c) {
			chain = append(chain, c)
		}
	}
	return chain, nil
}

// explain turns the refusal of crypto/x509 into what is missing or wrong.
func (s Search) explain(err error, index *entry.Index) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if invalid.Reason == x509.Expired {
			return OutsideValidity(invalid.Cert)
		}
		return fmt.Errorf("certificate of %s: %w: %v", Subject(invalid.Cert), trustkeep.ErrCorrupt, errtext.Of(err))
	}
	chain := index.Chain(entry.FromX509(s.Leaf))
	for i, wrapped := range chain {
		c, parseErr := wrapped.X509()
		if parseErr != nil {
			return parseErr
		}
		if s.Now.Before(c.NotBefore) || s.Now.After(c.NotAfter) {
			return OutsideValidity(c)
		}
		if i == len(chain)-1 {
			return s.deadEnd(c, err)
		}
		parent, parseErr := chain[i+1].X509()
		if parseErr != nil {
			return parseErr
		}
		if reason := Link(c, parent); reason != nil {
			return reason
		}
	}
	return errtext.Bound(err) // not reached: a chain has at least its leaf
}

// deadEnd explains why the last certificate of a path leads no further.
func (s Search) deadEnd(last *x509.Certificate, err error) error {
	switch {
	case SignedBy(last, last) != nil:
		return MissingIssuer(last)
	case s.Chosen && !Has(s.Anchors, last):
		return fmt.Errorf("the chain leads to %s, which is not among the trusted certificates: %w", Subject(last), trustkeep.ErrNotFound)
	}
	return fmt.Errorf("chain to %s: %w: %v", Subject(last), trustkeep.ErrCorrupt, errtext.Of(err))
}

// Link returns the reason why a certificate with the right name did not issue another, nil if
// it did.
func Link(c, parent *x509.Certificate) error {
	err := SignedBy(c, parent)
	var insecure x509.InsecureAlgorithmError
	switch {
	case errors.As(err, &insecure):
		return fmt.Errorf("certificate of %s: %w: %v", Subject(c), trustkeep.ErrUnsupported, err)
	case err != nil:
		return fmt.Errorf("missing issuer: the certificate of %s was signed by %s with another key than that of the certificate at hand: %w",
			Subject(c), quoted(certinfo.Issuer(c)), trustkeep.ErrNotFound)
	case !parent.BasicConstraintsValid || !parent.IsCA:
		return fmt.Errorf("certificate of %s was signed by %s, which is no CA: %w", Subject(c), Subject(parent), trustkeep.ErrCorrupt)
	}
	return nil
}

// MissingIssuer returns an error that names the missing certificate and wraps ErrNotFound.
func MissingIssuer(c *x509.Certificate) error {
	return fmt.Errorf("missing issuer: there is no certificate of %s, which signed that of %s: %w",
		quoted(certinfo.Issuer(c)), Subject(c), trustkeep.ErrNotFound)
}

// OutsideValidity returns an error that names the certificate and its validity and wraps
// ErrExpired.
func OutsideValidity(c *x509.Certificate) error {
	return fmt.Errorf("certificate of %s is valid from %s to %s: %w", Subject(c), Date(c.NotBefore), Date(c.NotAfter), trustkeep.ErrExpired)
}

// Subject returns a certificate's subject for messages, escaped and in quotes.
func Subject(c *x509.Certificate) string { return quoted(certinfo.Subject(c)) }

// quoted is %q that stays readable: the printer of names has escaped already.
func quoted(s string) string { return `"` + s + `"` }

// Date returns a time for messages.
func Date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// SignedBy checks child's signature with parent's key, whether or not parent may sign. It
// ignores the names.
func SignedBy(child, parent *x509.Certificate) error {
	return limits.SignedBy(child, parent)
}

// Certifies reports whether a certificate contains the public key.
func Certifies(c *x509.Certificate, public crypto.PublicKey) bool {
	k, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(public)
}

// Has reports whether a certificate is in a list.
func Has(list []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(list, func(o *x509.Certificate) bool { return o == c || bytes.Equal(o.Raw, c.Raw) })
}

// Of returns the certificates of a holder. The error wraps ErrInvalid for a nil holder or a
// nil pointer in it.
func Of(holder trustkeep.CertificateHolder) ([]*x509.Certificate, error) {
	if given.IsNil(holder) {
		return nil, fmt.Errorf("nil %T as a source of certificates: %w", holder, trustkeep.ErrInvalid)
	}
	return holder.Certificates(), nil
}
