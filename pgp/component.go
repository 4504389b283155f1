package pgp

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// ComponentKind is the kind of PGP components, for package component: one key, armored or
// binary, public or private.
func ComponentKind() content.Kind { return Options{}.ComponentKind() }

// ComponentKind is the function ComponentKind with these options. Limits, Clock and Rand of
// component.Options count before those of o.
func (o Options) ComponentKind() content.Kind { return componentKind{o} }

type componentKind struct{ o Options }

// Detect knows armor by its first line and binary files by the header of their first packet
// (RFC 9580 section 4.2), as far as no keystore format begins with it: JKS looks like a
// packet of type 62, JCEKS like a subkey.
func (componentKind) Detect(file []byte) bool {
	if armored, _ := content.Armor(file); armored {
		return true
	}
	tag := firstTag(file)
	return tag > 0 && tag < grammar.FirstIgnorable && tag != grammar.TagPublicSub && tag != grammar.TagSecretSub
}

// firstTag is the type of the packet that data begins with; 0 if there is none.
func firstTag(data []byte) byte {
	switch {
	case len(data) == 0 || data[0]&0x80 == 0:
		return 0
	case data[0]&0x40 != 0:
		return data[0] & 0x3f
	}
	return data[0] >> 2 & 0xf
}

func (componentKind) Holds(s content.Stored) bool { return len(s.Data) > 0 }

// Outline goes by the first packet, which State writes as the primary key.
func (k componentKind) Outline(s content.Stored) (trustkeep.Visibility, error) {
	if len(s.Chain)+len(s.Store) > 0 {
		return 0, fail(trustkeep.ErrCorrupt, "a key beside certificates")
	}
	switch firstTag(s.Data) {
	case grammar.TagSecretKey:
		return trustkeep.Private, nil
	case grammar.TagPublicKey:
		return trustkeep.Public, nil
	}
	c, err := k.Restore(s)
	if err != nil {
		return 0, err
	}
	return c.Visibility(), nil
}

// Restore refuses private keys that no passphrase protects: they are never stored, and any
// passphrase would seem to open one.
func (k componentKind) Restore(s content.Stored) (content.Content, error) {
	ring, err := Options{Limits: k.o.Limits}.Parse(s.Data)
	if errors.Is(err, trustkeep.ErrEmpty) {
		return nil, fail(trustkeep.ErrCorrupt, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	if ring.Len() != 1 || len(ring.skipped) > 0 {
		return nil, fail(trustkeep.ErrCorrupt, "%d keys, and %d parts that cannot be read", ring.Len(), len(ring.skipped))
	}
	c, err := newKeyContent(ring.keys[0], k.o.Limits)
	if err != nil {
		return nil, fail(trustkeep.ErrCorrupt, "%v", err)
	}
	return c, nil
}

// Parse reads a file with one key, and makes sure that a private one is locked, by a
// passphrase that is right if one was given. A copy of the same key is merged, see
// Key.Merge, so an extended expiry counts and nothing known is lost.
func (k componentKind) Parse(file []byte, before content.Content, o content.Options) (content.Content, error) {
	var old *Key
	if before != nil {
		if old = KeyOf(content.Held(before)); old == nil {
			return nil, fail(trustkeep.ErrUnsupported, "a PGP key cannot replace %s content", before.Kind())
		}
	}
	key, err := k.importKey(file, o)
	if err != nil {
		return nil, err
	}
	if old != nil && key.IsPrivate() != old.IsPrivate() {
		return nil, fail(trustkeep.ErrUnsupported, "a %s component cannot take over a key of the other kind", before.Visibility())
	}
	if key, err = lockedImport(key, o); err != nil {
		return nil, err
	}
	if old != nil && key.Fingerprint() == old.Fingerprint() {
		// The newly imported copy leads: its passphrase is the one that counts.
		if key, err = key.Merge(old); err != nil {
			return nil, err
		}
	}
	return newKeyContent(key, k.o.componentOptions(o).Limits)
}

// componentOptions are the options of a kind, with those of an operation.
func (o Options) componentOptions(of content.Options) Options {
	of.Over(&o.Limits, &o.Clock, &o.Rand)
	return o
}

// Entries implements content.Lister: keys, by fingerprint.
func (k componentKind) Entries(file []byte, o content.Options) ([]string, error) {
	if _, pem := content.Armor(file); pem {
		return nil, fail(trustkeep.ErrUnsupported, "PEM that is not OpenPGP")
	}
	ring, err := k.o.componentOptions(o).Parse(file)
	if err != nil {
		return nil, err
	}
	if len(ring.skipped) > 0 {
		return nil, fail(trustkeep.ErrUnsupported, "%d parts that cannot be read", len(ring.skipped))
	}
	var out []string
	for _, key := range ring.keys {
		out = append(out, key.Fingerprint())
	}
	return out, nil
}

func (k componentKind) importKey(file []byte, o content.Options) (*Key, error) {
	if _, pem := content.Armor(file); pem {
		return nil, fail(trustkeep.ErrUnsupported, "PEM that is not OpenPGP")
	}
	ring, err := k.o.componentOptions(o).Parse(file)
	if err != nil {
		return nil, err
	}
	if o.Alias != "" {
		return keyNamed(ring, o.Alias)
	}
	if ring.Len() != 1 || len(ring.skipped) > 0 {
		return nil, fail(trustkeep.ErrUnsupported, "a component holds one key; the file has %d, and %d parts that cannot be read", ring.Len(), len(ring.skipped))
	}
	return ring.keys[0], nil
}

// keyNamed chooses a key by its fingerprint. PGP keys have no other names that are theirs
// alone.
func keyNamed(ring *Keyring, fingerprint string) (*Key, error) {
	for _, key := range ring.keys {
		if strings.EqualFold(key.Fingerprint(), fingerprint) {
			return key, nil
		}
	}
	return nil, fail(trustkeep.ErrNotFound, "key %s", trustkeep.Printable(fingerprint))
}

func lockedImport(key *Key, o content.Options) (*Key, error) {
	if !key.IsPrivate() {
		return key, nil
	}
	_, unprotected := key.MarshalPrivate()
	if o.Protection() == nil {
		return key, unprotected
	}
	open, err := key.Unlock(o.Password, Options{}.componentOptions(o)) // some parts may be locked, others not
	if err != nil {
		return nil, err
	}
	if unprotected == nil && o.NewPassword == nil {
		return key, nil
	}
	return open.Lock(o.Protection(), Options{}.componentOptions(o))
}

// keyContent is a PGP key under management.
type keyContent struct {
	key    *Key             // locked, if private
	data   []byte           // binary
	limits trustkeep.Limits // for unlocking: the file keeps the protection that it came with
}

// newKeyContent takes a key over as it is locked. The error wraps ErrRejected for a private
// key with a part that has no passphrase.
func newKeyContent(key *Key, l trustkeep.Limits) (*keyContent, error) {
	c := &keyContent{key: key.forget(), limits: l}
	if !key.IsPrivate() {
		c.data = key.Marshal()
		return c, nil
	}
	var err error
	c.data, err = key.MarshalPrivate()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// forget returns the key without what passphrases have opened, and without keys elsewhere.
func (k *Key) forget() *Key {
	out := *k.state()
	out.unlocked, out.elsewhere = nil, nil
	return keyOf(&out)
}

// KeyOf returns the key of a PGP component, which is locked if it is private. It takes a
// *component.Component or a component.Version, and returns nil for other kinds.
func KeyOf(c content.Holder) *Key {
	held, err := content.Of(c)
	if p, ok := held.(*keyContent); ok && err == nil {
		return p.key
	}
	return nil
}

func (c *keyContent) Kind() trustkeep.Kind { return trustkeep.PGP }

func (c *keyContent) ComponentKind() content.Kind { return ComponentKind() }

func (c *keyContent) Visibility() trustkeep.Visibility {
	if c.key.IsPrivate() {
		return trustkeep.Private
	}
	return trustkeep.Public
}

func (c *keyContent) Fingerprint() string               { return c.key.Fingerprint() }
func (c *keyContent) NotBefore() time.Time              { return c.key.NotBefore() }
func (c *keyContent) NotAfter() time.Time               { return c.key.NotAfter() }
func (c *keyContent) Revoked() bool                     { return c.key.Revoked() }
func (c *keyContent) Describe() []trustkeep.Certificate { return nil }
func (c *keyContent) Stored() content.Stored            { return content.Stored{Data: c.data} }
func (c *keyContent) String() string                    { return c.key.String() }
func (c *keyContent) GoString() string                  { return c.key.String() }

func (c *keyContent) CheckPassword(password trustkeep.PasswordSource) error {
	if !c.key.IsPrivate() {
		return fail(trustkeep.ErrUnsupported, "a public component has no passphrase")
	}
	_, err := c.key.Unlock(password, Options{Limits: c.limits})
	return err
}

func (c *keyContent) ChangePassword(o content.Options) (content.Content, error) {
	key, err := c.relocked(o)
	if err != nil {
		return nil, err
	}
	return newKeyContent(key, c.limits)
}

func (c *keyContent) relocked(o content.Options) (*Key, error) {
	if !c.key.IsPrivate() {
		return nil, fail(trustkeep.ErrUnsupported, "a public component has no private key")
	}
	if o.Password == nil || o.NewPassword == nil {
		return nil, fail(trustkeep.ErrInvalid, "a private key needs a passphrase")
	}
	return c.key.ChangePassphrase(o.Password, o.NewPassword, Options{Limits: c.limits}.componentOptions(o))
}

// File suffixes of exported keys.
const (
	PublicSuffix  = "_pub.asc"
	PrivateSuffix = "_priv.asc"
)

func (c *keyContent) ExportPublic(suffix string) (content.File, error) {
	if suffix != "" && suffix != PublicSuffix {
		return content.File{}, fail(trustkeep.ErrUnsupported, "a key as %q", trustkeep.Printable(suffix))
	}
	data, err := c.key.Armor()
	return content.File{Suffix: PublicSuffix, Data: data}, err
}

func (c *keyContent) ExportPrivate(e content.ExportOptions, o content.Options) (content.File, error) {
	if e.Suffix != "" && e.Suffix != PrivateSuffix {
		return content.File{}, fail(trustkeep.ErrUnsupported, "a private key as %q", trustkeep.Printable(e.Suffix))
	}
	key, err := c.relocked(o)
	if err != nil {
		return content.File{}, err
	}
	data, err := key.ArmorPrivate()
	return content.File{Suffix: PrivateSuffix, Data: data}, err
}

func (c *keyContent) Files() []content.File {
	var out []content.File
	if data, err := c.key.Armor(); err == nil {
		out = append(out, content.File{Suffix: PublicSuffix, Data: data})
	}
	if c.key.IsPrivate() {
		if data, err := c.key.ArmorPrivate(); err == nil {
			out = append(out, content.File{Suffix: PrivateSuffix, Data: data})
		}
	}
	return out
}

// MakeContent makes a component with a new key, see component.Create. Its passphrase is that
// of component.Options; Passphrase must be nil. For component.Component.Renew, the user IDs of
// the current key that are valid stay, unless UserIDs is set.
func (g GenerateOptions) MakeContent(ctx context.Context, before content.Content, o content.Options) (content.Content, error) {
	if before != nil && before.Visibility() != trustkeep.Private {
		return nil, fail(trustkeep.ErrUnsupported, "no key can be generated for a public component")
	}
	if o.Protection() == nil || g.Passphrase != nil {
		return nil, fail(trustkeep.ErrInvalid, "a private component needs a passphrase, in component.Options")
	}
	if before != nil {
		if old := KeyOf(content.Held(before)); old != nil && g.UserIDs == nil {
			for _, u := range old.Info(Options{Clock: o.Clock, Allow: Legacy}).UserIDs {
				if u.Valid {
					g.UserIDs = append(g.UserIDs, u.ID)
				}
			}
		}
	}
	g.Options, g.Passphrase = g.Options.componentOptions(o), o.Protection()
	key, _, err := Generate(g)
	if err != nil {
		return nil, err
	}
	return newKeyContent(key, g.Options.Limits)
}

// MakeContent makes a component of the key, see component.Create. A private key must be
// locked, or is locked with the password of component.Options. component.Component.Renew takes a
// changed copy of the current key, such as one with a later expiry; the error wraps
// ErrKeyMismatch for another key.
func (k *Key) MakeContent(_ context.Context, before content.Content, o content.Options) (content.Content, error) {
	if k == nil || k.state == nil {
		return nil, fail(trustkeep.ErrInvalid, "no key")
	}
	if before == nil {
		key, err := lockedImport(k, o)
		if err != nil {
			return nil, err
		}
		return newKeyContent(key, o.Limits)
	}
	if k.Fingerprint() != before.Fingerprint() || k.IsPrivate() != (before.Visibility() == trustkeep.Private) {
		return nil, fail(trustkeep.ErrKeyMismatch, "key %s is not the one of the component", k.Fingerprint())
	}
	return newKeyContent(k, o.Limits)
}
