package component

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// Kind reads and writes one kind of content: keystore.ComponentKind or pgp.ComponentKind.
type Kind = content.Kind

// Content is what one version of a component holds.
type Content = content.Content

// Source makes content without a file, for Create and Renew.
type Source = content.Source

// Component is a certificate or key under management. It implements trustkeep.Component.
//
// It is immutable and safe for concurrent use: methods that change it return a new Component
// with the same ID, which replaces the old one. It keeps earlier versions. A private component
// holds its key under a password, which it does not know.
type Component struct {
	id       string
	name     string
	kind     Kind       // reads files to replace the content
	content  Content    // of the last version
	versions []*version // the current one last
	pending  []*pending // requests, the newest last
	lastAsk  int        // the number of the last request ever made
}

var _ trustkeep.Component = (*Component)(nil)

// version is one version of the content, which is parsed when it is asked for.
type version struct {
	number     int
	replaced   time.Time
	kind       Kind
	stored     content.Stored
	visibility trustkeep.Visibility // by its outline

	once   sync.Once
	parsed Content
	err    error
}

func newVersion(number int, replaced time.Time, c Content) *version {
	v := &version{number: number, replaced: replaced, stored: c.Stored(), parsed: c}
	v.once.Do(func() {})
	return v
}

func (v *version) content() (Content, error) {
	v.once.Do(func() {
		v.parsed, v.err = v.kind.Restore(v.stored)
		if v.err == nil && v.parsed.Visibility() != v.visibility {
			v.err = fmt.Errorf("%s content with the outline of %s content: %w", v.parsed.Visibility(), v.visibility, trustkeep.ErrCorrupt)
		}
	})
	return v.parsed, v.err
}

// Version is one version of a component's content.
type Version struct {
	Number int
	// Replaced is when this version came to be.
	Replaced time.Time
	of       *version
}

// Content returns what the version holds, for keystore.ChainOf, pgp.KeyOf and the like. The
// first call parses it. It is nil if the version is damaged, see Err.
func (v Version) Content() Content {
	c, err := v.content()
	if err != nil {
		return nil
	}
	return c
}

func (v Version) content() (Content, error) {
	if v.of == nil {
		return nil, fmt.Errorf("component: not a version of a component: %w", trustkeep.ErrInvalid)
	}
	return v.of.content()
}

// Err returns the reason why Content is nil, nil if it is not. It wraps trustkeep.ErrCorrupt,
// or ErrInvalid for the zero Version.
func (v Version) Err() error {
	_, err := v.content()
	return err
}

// Fingerprint returns the fingerprint of the content, empty if it is damaged.
func (v Version) Fingerprint() string {
	if c, err := v.content(); err == nil {
		return c.Fingerprint()
	}
	return ""
}

// current is nil for a component that waits for its first certificate.
func (c *Component) current() *version {
	if len(c.versions) == 0 {
		return nil
	}
	return c.versions[len(c.versions)-1]
}

// ID returns the identifier that the component keeps for life.
func (c *Component) ID() string { return c.id }

// Name returns the name for people.
func (c *Component) Name() string { return c.name }

// Kind returns trustkeep.X509 or trustkeep.PGP.
func (c *Component) Kind() trustkeep.Kind { return c.content.Kind() }

// Visibility is trustkeep.Private if the component holds a private key.
func (c *Component) Visibility() trustkeep.Visibility { return c.content.Visibility() }

// Fingerprint returns the SHA-256 of the certificate, or the fingerprint of the PGP key, in
// lower-case hex. It is empty for a component that waits for its first certificate.
func (c *Component) Fingerprint() string { return c.content.Fingerprint() }

// NotBefore returns when the current content becomes valid, zero if there is none.
func (c *Component) NotBefore() time.Time { return c.content.NotBefore() }

// NotAfter returns when the current content expires, zero for never and without content.
func (c *Component) NotAfter() time.Time { return c.content.NotAfter() }

// Parts returns the parts of the current content that have a validity of their own, the
// primary key of a PGP key first; see pgp.Key.Parts. It is nil for X.509.
func (c *Component) Parts() []trustkeep.Part {
	if p, ok := c.content.(interface{ Parts() []trustkeep.Part }); ok {
		return p.Parts()
	}
	return nil
}

// Revoked reports whether the current content is a PGP key that contains its own revocation.
func (c *Component) Revoked() bool {
	r, ok := c.content.(interface{ Revoked() bool })
	return ok && r.Revoked()
}

// Version returns the number of the current version. It starts at 1 and grows by one with each
// replacement. It is 0 for a component that waits for its first certificate, see CreateRequest.
func (c *Component) Version() int {
	if v := c.current(); v != nil {
		return v.number
	}
	return 0
}

// Versions returns all versions that are kept, the current one last.
func (c *Component) Versions() []Version {
	out := make([]Version, len(c.versions))
	for i, v := range c.versions {
		out[i] = Version{v.number, v.replaced, v}
	}
	return out
}

// Content returns what the current version holds. keystore.IdentityOf, keystore.ChainOf and
// pgp.KeyOf return it in its own type. The content of a component that waits for its first
// certificate has no fingerprint, and cannot be exported or opened: ErrEmpty.
func (c *Component) Content() Content { return c.content }

// Describe describes the certificate and chain of an X.509 component, its own certificate
// first. It returns nil for PGP.
func (c *Component) Describe() []trustkeep.Certificate { return c.content.Describe() }

// String returns name, version and fingerprint.
func (c *Component) String() string {
	if c.Version() == 0 {
		return fmt.Sprintf("%s %s component %q, waits for its certificate", c.Visibility(), c.Kind(), trustkeep.Printable(c.name))
	}
	return fmt.Sprintf("%s %s component %q, version %d, %s", c.Visibility(), c.Kind(), trustkeep.Printable(c.name), c.Version(), c.Fingerprint())
}

// GoString returns String, for %#v.
func (c *Component) GoString() string { return c.String() }

// Equal reports whether two components are the same: ID, name, the content of all versions,
// and pending requests. Nil equals nil alone.
func (c *Component) Equal(other *Component) bool {
	if c == nil || other == nil || c == other {
		return c == other
	}
	return c.id == other.id && c.name == other.name && c.lastAsk == other.lastAsk && slices.EqualFunc(c.versions, other.versions, (*version).equal) &&
		slices.EqualFunc(c.pending, other.pending, (*pending).equal)
}

func (v *version) equal(other *version) bool {
	return v == other || v.number == other.number && v.replaced.Equal(other.replaced) && v.stored.Equal(other.stored)
}

// Rename gives the component another name and keeps its version. The error wraps ErrInvalid.
func (c *Component) Rename(name string) (*Component, error) {
	if err := checkName(name); err != nil {
		return nil, failure("rename", c.name, err)
	}
	out := *c
	out.name = name
	return &out, nil
}

// replace makes content current, as a new version.
func (c *Component) replace(next Content, o Options) *Component {
	out := *c
	out.content = next
	out.versions = append(slices.Clone(c.versions), newVersion(c.Version()+1, o.now(), next))
	return &out
}

func failure(op, name string, err error) error {
	return &trustkeep.Error{Op: "component: " + op, Alias: name, Err: err}
}
