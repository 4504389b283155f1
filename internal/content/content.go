// Package content defines the interface between package component and the kinds of content
// that keystore and pgp implement. Package component has aliases of its types for users.
package content

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Kind reads one kind of content: X.509 certificates (keystore.ComponentKind) or PGP keys
// (pgp.ComponentKind). Implementations are safe for concurrent use.
type Kind interface {
	// Detect reports whether a file looks like this kind. It is called after the scanner has
	// passed the file.
	Detect(file []byte) bool
	// Parse reads content from a file: format, password, match of key and certificate. before
	// is the content that the file replaces, nil for a new component. Parts that the file
	// leaves out, such as issuers, are taken from before.
	Parse(file []byte, before Content, o Options) (Content, error)
	// Holds reports whether stored content is of this kind.
	Holds(s Stored) bool
	// Outline makes the cheap checks of stored content and tells whether it has a private key.
	// The error wraps trustkeep.ErrCorrupt.
	Outline(s Stored) (trustkeep.Visibility, error)
	// Restore reverses Content.Stored. The error wraps trustkeep.ErrCorrupt.
	Restore(s Stored) (Content, error)
}

// Lister is a Kind of files that may hold several components.
type Lister interface {
	// Entries returns the aliases of what can be imported from a file, one by one: private
	// keys, and certificates or keys that stand on their own.
	Entries(file []byte, o Options) ([]string, error)
}

// Content is what one version of a component holds. It is immutable and safe for concurrent
// use. Private keys in it are protected by their password.
type Content interface {
	Kind() trustkeep.Kind
	// ComponentKind is the kind that reads files to replace content that was made
	// without one.
	ComponentKind() Kind
	Visibility() trustkeep.Visibility
	// Fingerprint, NotBefore and NotAfter are those of trustkeep.Component.
	Fingerprint() string
	NotBefore() time.Time
	NotAfter() time.Time
	// Describe describes the certificate and its chain, the component's own first. It
	// is nil for PGP.
	Describe() []trustkeep.Certificate
	// CheckPassword opens the private key. The error wraps ErrIncorrectPassword, or
	// ErrUnsupported for public content.
	CheckPassword(password trustkeep.PasswordSource) error
	// ChangePassword returns the content with its private key under o.NewPassword,
	// given o.Password. The error wraps ErrUnsupported for public content.
	ChangePassword(o Options) (Content, error)
	// ExportPublic returns the public part in the form of a suffix, or the usual form if that
	// is empty.
	ExportPublic(suffix string) (File, error)
	// ExportPrivate returns the private key under o.NewPassword, given o.Password.
	ExportPrivate(e ExportOptions, o Options) (File, error)
	// Files returns the content as files for other programs, a private key under its own
	// password.
	Files() []File
	// Stored returns the content in a serializable form, which may share memory with it.
	Stored() Stored
}

// Holder holds content: a component, or a version of one.
type Holder interface {
	// Content is nil if it is damaged.
	Content() Content
}

// Held returns a Holder of content.
func Held(c Content) Holder { return held{c} }

type held struct{ content Content }

func (h held) Content() Content { return h.content }

// Of returns the content of a holder; nil if it is damaged. The error wraps ErrInvalid for a
// nil holder, such as the component beside an error that was not looked at, and ErrEmpty for
// a component that waits for its first certificate.
func Of(h Holder) (Content, error) {
	if given.IsNil(h) {
		return nil, fmt.Errorf("no component: %w", trustkeep.ErrInvalid)
	}
	c := h.Content()
	if none, ok := c.(interface{ Awaited() error }); ok {
		return nil, none.Awaited()
	}
	return c, nil
}

// Source makes content: a new key, a renewed certificate, a key in memory.
type Source interface {
	// MakeContent returns the content of a new component, or its replacement if before is not
	// nil.
	MakeContent(ctx context.Context, before Content, o Options) (Content, error)
}

// Requester makes requests for certificates: issue.RequestOptions.
type Requester interface {
	// MakeRequest returns a request, and private content with the key that waits for the
	// reply. before is the component's content, nil if it has none.
	MakeRequest(ctx context.Context, before Content, o Options) (request []byte, key Content, err error)
}

// Installer makes content of what comes back for a key: issue.InstallOptions of a CA's reply,
// pgp.InstallOptions of a certified key.
type Installer interface {
	// KeyFor returns the index of the key that a reply is for. The error wraps
	// ErrKeyMismatch if it is for none of them.
	KeyFor(reply []byte, keys []Content, o Options) (int, error)
	// MakeInstalled returns the content of the key with the reply. Issuers that the reply
	// leaves out are taken from before, the component's content, nil if it has none.
	MakeInstalled(reply []byte, key, before Content, o Options) (Content, error)
}

// Options are the options of package component that kinds of content need.
type Options struct {
	Name                  string // of the component
	Alias                 string // of the entry to take of a file
	Password, NewPassword trustkeep.PasswordSource
	KeyPassword           trustkeep.PasswordSource            // of a key in a store, if not the store's
	KeyPasswords          map[string]trustkeep.PasswordSource // the same, by alias
	Limits                trustkeep.Limits
	Clock                 func() time.Time
	Rand                  io.Reader
}

// Armor reports which blocks a text has: OpenPGP's, and PEM of other labels. Both look the
// same to a reader of the other.
func Armor(file []byte) (pgp, pem bool) {
	const begin = "-----BEGIN "
	for {
		i := bytes.Index(file, []byte(begin))
		if i < 0 {
			return pgp, pem
		}
		file = file[i+len(begin):]
		if bytes.HasPrefix(file, []byte("PGP ")) {
			pgp = true
		} else {
			pem = true
		}
	}
}

// Protection returns the password that will protect the private key. If nil, none.
func (o Options) Protection() trustkeep.PasswordSource {
	if o.NewPassword != nil {
		return o.NewPassword
	}
	return o.Password
}

// Over gives the options of an operation precedence over those of a kind: each limit that is
// set, clock and randomness.
func (o Options) Over(l *trustkeep.Limits, clock *func() time.Time, random *io.Reader) {
	l.MaxSize = cmp.Or(o.Limits.MaxSize, l.MaxSize)
	l.MaxDepth = cmp.Or(o.Limits.MaxDepth, l.MaxDepth)
	l.MaxEntries = cmp.Or(o.Limits.MaxEntries, l.MaxEntries)
	l.MaxIterations = cmp.Or(o.Limits.MaxIterations, l.MaxIterations)
	l.MaxKDFMemory = cmp.Or(o.Limits.MaxKDFMemory, l.MaxKDFMemory)
	l.MaxKeyBits = cmp.Or(o.Limits.MaxKeyBits, l.MaxKeyBits)
	if o.Clock != nil {
		*clock = o.Clock
	}
	if o.Rand != nil {
		*random = o.Rand
	}
}

// Stored is content in a serializable form. Each kind uses its own fields.
type Stored struct {
	// Chain is the DER of X.509 certificates, the component's own first.
	Chain [][]byte `json:",omitempty"`
	// Store is the PKCS#12 store with the private key of the first certificate.
	Store []byte `json:",omitempty"`
	// Data is a PGP key in its binary form.
	Data []byte `json:",omitempty"`
}

// Clone returns a copy that shares no memory.
func (s Stored) Clone() Stored {
	size := len(s.Store) + len(s.Data)
	for _, der := range s.Chain {
		size += len(der)
	}
	all := make([]byte, 0, size) // components have many versions of many parts
	clone := func(part []byte) []byte {
		if part == nil {
			return nil
		}
		start := len(all)
		all = append(all, part...)
		return all[start:len(all):len(all)]
	}
	out := Stored{Store: clone(s.Store), Data: clone(s.Data)}
	if len(s.Chain) > 0 {
		out.Chain = make([][]byte, len(s.Chain))
		for i, der := range s.Chain {
			out.Chain[i] = clone(der)
		}
	}
	return out
}

// Equal reports whether s and other are the same bytes.
func (s Stored) Equal(other Stored) bool {
	return slices.EqualFunc(s.Chain, other.Chain, bytes.Equal) && bytes.Equal(s.Store, other.Store) && bytes.Equal(s.Data, other.Data)
}

// File is content in a form that other programs read.
type File struct {
	Suffix string // of its name, with the dot
	Data   []byte
}

// ExportOptions configures the export of a private key.
type ExportOptions struct {
	// Suffix stands for the form: ".p12" and ".pfx" for X.509, "_priv.asc" for PGP.
	// If empty, the first one of the kind.
	Suffix string
	// Profile says which programs are to read an X.509 file; empty is
	// trustkeep.Modern. PGP does not use it.
	Profile trustkeep.Profile
}
