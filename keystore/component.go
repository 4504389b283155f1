package keystore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
)

// ComponentKind returns the kind of X.509 components, for component.Import and
// component.Restore. It reads what Parse reads.
func ComponentKind() content.Kind { return Options{}.ComponentKind() }

// ComponentKind is the function ComponentKind with these options. Limits, Clock and Rand of
// component.Options take precedence over those of o.
func (o Options) ComponentKind() content.Kind { return componentKind{o} }

type componentKind struct{ o Options }

// Detect leaves armored PGP to pgp, since PEM looks the same.
func (componentKind) Detect(file []byte) bool {
	_, known := formats.Detect(file)
	pgp, _ := content.Armor(file)
	return known && !pgp
}

func (componentKind) Holds(s content.Stored) bool { return len(s.Chain)+len(s.Store) > 0 }

func (componentKind) Outline(s content.Stored) (trustkeep.Visibility, error) {
	if len(s.Data) > 0 || len(s.Chain) == 0 || slices.ContainsFunc(s.Chain, notACertificate) {
		return 0, fmt.Errorf("certificate chain: %w", trustkeep.ErrCorrupt)
	}
	if len(s.Store) > 0 {
		return trustkeep.Private, nil
	}
	return trustkeep.Public, nil
}

func (k componentKind) Restore(s content.Stored) (content.Content, error) {
	if _, err := k.Outline(s); err != nil {
		return nil, err
	}
	return newCertificateContent(s.Chain, s.Store), nil
}

func notACertificate(der []byte) bool {
	_, ok := entry.NewCertificate(der).Outline()
	return !ok
}

// certificateContent is an X.509 certificate under management.
type certificateContent struct {
	chain       [][]byte // DER, the component's own certificate first
	store       []byte   // PKCS#12 with key and chain; nil for a public component
	info        func() []trustkeep.Certificate
	certificate func() (*x509.Certificate, error)
}

// newCertificateContent takes certificates that have an outline.
func newCertificateContent(chain [][]byte, store []byte) *certificateContent {
	c := &certificateContent{chain: chain}
	if len(store) > 0 {
		c.store = store
	}
	c.info = sync.OnceValue(func() []trustkeep.Certificate {
		out := make([]trustkeep.Certificate, len(chain))
		for i, der := range chain {
			out[i] = certinfo.Describe(der)
		}
		return out
	})
	c.certificate = sync.OnceValues(func() (*x509.Certificate, error) {
		cert, err := x509.ParseCertificate(chain[0])
		if err != nil {
			return nil, fmt.Errorf("certificate: %w: %w", errtext.Bound(err), trustkeep.ErrUnsupported)
		}
		return cert, nil
	})
	return c
}

func (c *certificateContent) Kind() trustkeep.Kind { return trustkeep.X509 }

func (c *certificateContent) ComponentKind() content.Kind { return ComponentKind() }

func (c *certificateContent) Visibility() trustkeep.Visibility {
	if c.store != nil {
		return trustkeep.Private
	}
	return trustkeep.Public
}

func (c *certificateContent) Fingerprint() string {
	sum := sha256.Sum256(c.chain[0])
	return hex.EncodeToString(sum[:])
}

func (c *certificateContent) NotBefore() time.Time { return c.info()[0].NotBefore }

func (c *certificateContent) NotAfter() time.Time { return c.info()[0].NotAfter }

func (c *certificateContent) Describe() []trustkeep.Certificate {
	out := slices.Clone(c.info())
	for i := range out {
		out[i].Names = slices.Clone(out[i].Names)
	}
	return out
}

func (c *certificateContent) Stored() content.Stored {
	return content.Stored{Chain: c.chain, Store: c.store}
}

func (c *certificateContent) String() string {
	return fmt.Sprintf("%s X.509 certificate, SHA-256 %s", c.Visibility(), c.Fingerprint())
}

func (c *certificateContent) GoString() string { return c.String() }

// asCertificate is what the functions on content need, which is not X.509 or is of
// somebody else otherwise.
func asCertificate(c content.Content) (*certificateContent, error) {
	if c == nil {
		return nil, fmt.Errorf("keystore: content is damaged: %w", trustkeep.ErrCorrupt)
	}
	x, ok := c.(*certificateContent)
	if !ok {
		return nil, fmt.Errorf("keystore: content is not an X.509 certificate: %w", trustkeep.ErrUnsupported)
	}
	return x, nil
}

func certificateOf(h content.Holder) (*certificateContent, error) {
	c, err := content.Of(h)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return asCertificate(c)
}

// ChainOf returns the DER of the certificates of an X.509 component, its own first; nil for
// other components. It takes a *component.Component or a component.Version.
func ChainOf(c content.Holder) [][]byte {
	x, err := certificateOf(c)
	if err != nil {
		return nil
	}
	out := make([][]byte, len(x.chain))
	for i, der := range x.chain {
		out[i] = bytes.Clone(der)
	}
	return out
}

// CertificateOf returns the certificate of an X.509 component. Do not modify it. The error
// wraps trustkeep.ErrUnsupported for other components, and if crypto/x509 refuses the
// certificate.
func CertificateOf(c content.Holder) (*x509.Certificate, error) {
	x, err := certificateOf(c)
	if err != nil {
		return nil, err
	}
	return x.certificate()
}

// IdentityOf opens the private key of an X.509 component. The alias of the identity is the
// component's name.
//
// Errors: ErrIncorrectPassword; ErrUnsupported for public or other components, and for a key
// or certificate that cannot be used; ErrCorrupt if key and certificate do not belong
// together.
func IdentityOf(c content.Holder, password trustkeep.PasswordSource) (*Identity, error) {
	ks, err := storeOf(c, password)
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	id, err := ks.Identity("")
	if err != nil {
		return nil, openError(c, err)
	}
	named := *id
	if name := nameOf(c); name != "" {
		named.alias = name
	}
	return &named, nil
}

func openError(c content.Holder, err error) error {
	return &trustkeep.Error{Op: "component: open", Alias: nameOf(c), Err: err}
}

// nameOf is the name of a component; empty for versions, which have none.
func nameOf(c content.Holder) string {
	if n, ok := c.(interface{ Name() string }); ok && !given.IsNil(c) {
		return n.Name()
	}
	return ""
}

// storeOf returns a store with the private key and the chain of an X.509 component as its
// only entry, under the component's password.
func storeOf(c content.Holder, password trustkeep.PasswordSource) (*Keystore, error) {
	x, err := certificateOf(c)
	if err != nil {
		return nil, openError(c, err)
	}
	ks, err := x.open(password, content.Options{})
	if err != nil {
		return nil, openError(c, err)
	}
	return ks, nil
}

// MakeContent implements component.Source: component.Create and Renew take an Identity.
func (id *Identity) MakeContent(ctx context.Context, before content.Content, o content.Options) (content.Content, error) {
	if id == nil || id.signer == nil {
		return nil, fmt.Errorf("no identity: %w", trustkeep.ErrInvalid)
	}
	const alias = "component" // until it gets the component's name
	ks := Options{}.componentOptions(o).New()
	defer ks.Close()
	if err := ks.SetIdentity(alias, id); err != nil {
		return nil, err
	}
	return protect(ks, alias, o)
}
