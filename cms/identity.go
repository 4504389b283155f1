package cms

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// IdentityFunc makes a function a trustkeep.Identity, for certificates that were loaded by
// crypto/tls or that change over time. Each call of this package asks for the certificate
// once.
type IdentityFunc func() (*tls.Certificate, error)

// TLSCertificate calls f.
func (f IdentityFunc) TLSCertificate() (*tls.Certificate, error) { return f() }

// stream is embedded by what a caller gets to read or write: it holds keys and content,
// and prints as its name.
type stream struct{}

func (stream) Format(f fmt.State, _ rune) { io.WriteString(f, "cms stream") }

// writer keeps what it writes to where package fmt does not find it, since it holds content
// that waits to be sealed.
type writer struct {
	stream
	to func() io.WriteCloser
}

func newWriter(w io.WriteCloser) io.WriteCloser { return &writer{to: redact.Hidden(w)} }

func (w *writer) Write(p []byte) (int, error) { return w.to().Write(p) }

func (w *writer) Close() error { return w.to().Close() }

// identity is a trustkeep.Identity that was asked.
type identity struct {
	leaf  *x509.Certificate
	chain [][]byte // DER, leaf first
	key   crypto.PrivateKey
}

// askAll asks each identity for its key and certificates, and makes sure that
// they belong together.
func askAll(ids []trustkeep.Identity) ([]identity, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("no identity: %w", trustkeep.ErrEmpty)
	}
	out := make([]identity, len(ids))
	for i, id := range ids {
		// A nil *keystore.Identity from an ignored error arrives as a typed
		// nil.
		if given.IsNil(id) {
			return nil, fmt.Errorf("identity %d is nil: %w", i+1, trustkeep.ErrInvalid)
		}
		cert, err := id.TLSCertificate()
		if err != nil {
			return nil, err
		}
		if out[i], err = newIdentity(cert); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func newIdentity(cert *tls.Certificate) (id identity, err error) {
	if cert == nil || len(cert.Certificate) == 0 || cert.PrivateKey == nil {
		return id, fmt.Errorf("identity without key or certificate: %w", trustkeep.ErrInvalid)
	}
	id = identity{leaf: cert.Leaf, chain: cert.Certificate, key: cert.PrivateKey}
	if id.leaf == nil {
		if id.leaf, err = x509.ParseCertificate(id.chain[0]); err != nil {
			return id, fmt.Errorf("certificate of the identity: %w", unreadable(id.chain[0], err))
		}
	}
	// Both kinds of key tell their public half; what does not is left to fail
	// where it is used.
	if key, ok := id.key.(interface{ Public() crypto.PublicKey }); ok && !equal(keyOf(id.leaf).public, key.Public()) {
		return id, fmt.Errorf("identity %s: %w", quoted(id.leaf), trustkeep.ErrKeyMismatch)
	}
	return id, nil
}

// equal compares the key of a certificate with that of an identity, which may
// be one for key agreement only.
func equal(certified, own crypto.PublicKey) bool {
	if _, ok := own.(*ecdh.PublicKey); ok {
		if ec, ok := certified.(*ecdsa.PublicKey); ok {
			converted, err := ec.ECDH()
			return err == nil && converted.Equal(own)
		}
	}
	pub, ok := certified.(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(own)
}

// isNil reports whether a caller gave nothing, such as the nil pointer of an ignored error.
func isNil(v any) bool { return given.IsNil(v) }

// quoted names a certificate in an error.
func quoted(c *x509.Certificate) string {
	return `"` + certinfo.Subject(c) + `"`
}
