package keystore

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/component"
)

// Component is one X.509 certificate under management, public or private, with the
// chain that came with it. It implements trustkeep.Component.
//
// A Component never changes: what changes one returns a new Component with the same ID,
// to be put in the place of the old. It keeps the versions that it has replaced. The
// key of a private component is kept in a PKCS#12 store under a password that the
// component does not know: whoever wants the key, or to change it, has to give it.
//
// Use trustkeep.NewDraft to change one over some time and be told of unsaved changes.
//
// It is safe for concurrent use.
type Component struct {
	id       string
	name     string
	versions []*revision // the current one last
}

var _ trustkeep.Component = (*Component)(nil)

// revision is one version of the content.
type revision struct {
	number   int
	replaced time.Time
	chain    [][]byte // DER, the component's own certificate first
	info     []trustkeep.Certificate
	store    []byte // PKCS#12 with key and chain; nil for a public component
}

func newRevision(chain [][]byte, store []byte) *revision {
	r := &revision{chain: chain, store: store}
	for _, der := range chain {
		r.info = append(r.info, DescribeCertificate(der))
	}
	return r
}

// Revision describes one version of a component.
type Revision struct {
	Number int
	// Replaced is when this version came to be.
	Replaced time.Time
	// Chain describes its certificates, the component's own first.
	Chain []trustkeep.Certificate
}

// ComponentOptions says how to make the content of a component or to read that of a
// file.
type ComponentOptions struct {
	// Options are those of reading a store. Options.Clock dates versions and
	// certificates. A zero Limits.MaxSize is 4 MiB here.
	Options
	// Scanner sees the file before anything reads it. Nil means none.
	Scanner trustkeep.Scanner
	// Policy sees the component that would result, and refuses it by an error, as
	// the last stage before it exists. Nil admits everything.
	Policy func(*Component) error
	// Password opens the file that is imported, or the current content that is
	// regenerated. Nil means none.
	Password trustkeep.PasswordSource
	// NewPassword protects the key of a private component from then on. Nil stands
	// for Password.
	NewPassword trustkeep.PasswordSource
	// Alias of the entry to take of a file that holds several. Empty takes the only
	// one. The chain of the chosen one is still completed from the file.
	Alias string
	// ID of a new component. Empty means 32 random hex digits.
	ID string
}

// maxComponentFile bounds a file to be imported unless Limits says otherwise.
const maxComponentFile = 4 << 20

func (o ComponentOptions) reading() Options {
	if o.Limits.MaxSize == 0 {
		o.Limits.MaxSize = maxComponentFile
	}
	return o.Options
}

func (o ComponentOptions) now() time.Time {
	if o.Clock != nil {
		return o.Clock().UTC()
	}
	return time.Now().UTC()
}

// protection is the password of a private component's key.
func (o ComponentOptions) protection() trustkeep.PasswordSource {
	if o.NewPassword != nil {
		return o.NewPassword
	}
	return o.Password
}

// ImportComponent makes a component of a file with a certificate, in any of the formats
// that Parse reads: the content decides, not a file name. The component is private if
// the file holds a private key, else public. All certificates of the chain are kept.
//
// Nothing is taken over before every stage has passed: size, scanner, format, password,
// the match of key and certificate, policy.
//
// The errors wrap ErrRejected (scanner or policy) or whatever else these two return;
// ErrUnsupported for a file with several entries and no Alias, or with a secret key;
// ErrEmpty for one without certificate, or a private key without a password to protect
// it; ErrKeyMismatch for a private key whose certificate is not there; ErrCorrupt, also
// where a part of the file cannot be read, since that could be the key or an issuer;
// ErrIncorrectPassword, ErrNotFound for the alias, ErrLimit.
func ImportComponent(ctx context.Context, name string, data []byte, o ComponentOptions) (*Component, error) {
	r, err := importRevision(ctx, name, data, o, nil)
	if err != nil {
		return nil, componentError("import", name, err)
	}
	return newComponent("import", name, r, o)
}

// componentAlias is that of a generated key until it is stored and gets the component's
// name.
const componentAlias = "component"

// NewComponent makes a private component of an identity, see issue.GenerateComponent. The
// key is protected by NewPassword, or else Password; the error wraps ErrEmpty without
// either.
func NewComponent(ctx context.Context, name string, id *Identity, o ComponentOptions) (*Component, error) {
	if err := ctx.Err(); err != nil {
		return nil, componentError("generate", name, err)
	}
	if err := component.CheckName(name); err != nil {
		return nil, componentError("generate", name, err)
	}
	ks := o.reading().New()
	if err := ks.AddIdentity(componentAlias, id); err != nil {
		return nil, componentError("generate", name, err)
	}
	r, err := protect(ks, componentAlias, name, o)
	if err != nil {
		return nil, componentError("generate", name, err)
	}
	return newComponent("generate", name, r, o)
}

func newComponent(op, name string, r *revision, o ComponentOptions) (*Component, error) {
	id, err := component.NewID(o.ID, o.Rand)
	if err != nil {
		return nil, componentError(op, name, err)
	}
	r.number, r.replaced = 1, o.now()
	return admitted(op, &Component{id: id, name: name, versions: []*revision{r}}, o)
}

// admitted is the last stage of every change of content.
func admitted(op string, c *Component, o ComponentOptions) (*Component, error) {
	if o.Policy != nil {
		if err := o.Policy(c); err != nil {
			return nil, componentError(op, c.name, fmt.Errorf("policy: %w", err))
		}
	}
	return c, nil
}

func componentError(op, name string, err error) error {
	return &trustkeep.Error{Op: "component: " + op, Alias: name, Err: err}
}

func (c *Component) current() *revision { return c.versions[len(c.versions)-1] }

// ID identifies the component for life.
func (c *Component) ID() string { return c.id }

// Name is for people.
func (c *Component) Name() string { return c.name }

// Kind returns trustkeep.X509.
func (c *Component) Kind() trustkeep.Kind { return trustkeep.X509 }

// Visibility tells whether the component holds a private key.
func (c *Component) Visibility() trustkeep.Visibility {
	if c.current().store != nil {
		return trustkeep.Private
	}
	return trustkeep.Public
}

// Fingerprint is the SHA-256 of the current certificate, in lower-case hex.
func (c *Component) Fingerprint() string { return c.current().info[0].SHA256 }

// NotBefore and NotAfter are those of the current certificate.
func (c *Component) NotBefore() time.Time { return c.current().info[0].NotBefore }

// NotAfter is when the current certificate expires.
func (c *Component) NotAfter() time.Time { return c.current().info[0].NotAfter }

// Version starts at 1 and grows by one with each replacement.
func (c *Component) Version() int { return c.current().number }

// Versions describes all versions, the current one last.
func (c *Component) Versions() []Revision {
	out := make([]Revision, len(c.versions))
	for i, r := range c.versions {
		out[i] = Revision{Number: r.number, Replaced: r.replaced, Chain: cloneInfo(r.info)}
	}
	return out
}

// Describe says what there is to know about each certificate of the current chain, the
// component's own first.
func (c *Component) Describe() []trustkeep.Certificate { return cloneInfo(c.current().info) }

func cloneInfo(info []trustkeep.Certificate) []trustkeep.Certificate {
	out := slices.Clone(info)
	for i := range out {
		out[i].Names = slices.Clone(out[i].Names)
	}
	return out
}

// RawChain returns the DER of the current certificate and of those of its chain.
func (c *Component) RawChain() [][]byte {
	out := make([][]byte, len(c.current().chain))
	for i, der := range c.current().chain {
		out[i] = slices.Clone(der)
	}
	return out
}

// Certificate parses the current certificate. The error wraps ErrUnsupported for one
// that crypto/x509 refuses, which can be kept and exported all the same.
func (c *Component) Certificate() (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(c.current().chain[0])
	if err != nil {
		return nil, componentError("certificate", c.name, fmt.Errorf("%w: %w", err, trustkeep.ErrUnsupported))
	}
	return cert, nil
}

// String names the component, its version and its certificate.
func (c *Component) String() string {
	return fmt.Sprintf("%s X.509 component %q, version %d, SHA-256 %s", c.Visibility(), trustkeep.Printable(c.name), c.Version(), c.Fingerprint())
}

// GoString is String, so that %#v shows no more.
func (c *Component) GoString() string { return c.String() }
