package pgp

import (
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// InstallOptions takes over what others have done to the public part of a component's key: pass
// it to component.Component.Install with the key as it came back, certified by a partner or an
// authority. What the component knows already stays, see Key.Merge; a private key needs no
// passphrase for it.
//
// OpenPGP has no certificate requests: what is sent out is component.Component.ExportPublic.
type InstallOptions struct {
	// Options bound what is read. Limits of component.Options take precedence.
	Options Options
}

// KeyFor implements component.Installer.
func (o InstallOptions) KeyFor(reply []byte, keys []content.Content, c content.Options) (int, error) {
	ring, err := o.Options.componentOptions(c).Parse(reply)
	if err != nil {
		return 0, err
	}
	for i, k := range keys {
		own := KeyOf(content.Held(k))
		if own == nil {
			return 0, fail(trustkeep.ErrUnsupported, "a PGP key cannot answer a request of %s content", k.Kind())
		}
		if _, err := keyNamed(ring, own.Fingerprint()); err == nil {
			return i, nil
		}
	}
	return 0, fail(trustkeep.ErrKeyMismatch, "none of the %d keys is the one of the component", ring.Len())
}

// MakeInstalled implements component.Installer.
func (o InstallOptions) MakeInstalled(reply []byte, key, _ content.Content, c content.Options) (content.Content, error) {
	options := o.Options.componentOptions(c)
	ring, err := options.Parse(reply)
	if err != nil {
		return nil, err
	}
	own := KeyOf(content.Held(key))
	if own == nil {
		return nil, fail(trustkeep.ErrUnsupported, "%s content", key.Kind())
	}
	certified, err := keyNamed(ring, own.Fingerprint())
	if err != nil {
		return nil, err
	}
	if certified.IsPrivate() && !own.IsPrivate() {
		return nil, fail(trustkeep.ErrUnsupported, "a private key for a public component")
	}
	merged, err := own.Merge(certified)
	if err != nil {
		return nil, err
	}
	return newKeyContent(merged, options.Limits)
}
