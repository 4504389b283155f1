package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// CheckPassword takes a key of an algorithm that cannot be used as opened.
func (c *certificateContent) CheckPassword(password trustkeep.PasswordSource) error {
	ks, err := c.open(password, content.Options{})
	if err != nil {
		return err
	}
	defer ks.Close()
	if _, err = ks.Identity(""); errors.Is(err, trustkeep.ErrUnsupported) {
		return nil
	}
	return err
}

func (c *certificateContent) ChangePassword(o content.Options) (content.Content, error) {
	store, err := c.sealed(o, trustkeep.SaveOptions{Rand: o.Rand})
	if err != nil {
		return nil, err
	}
	out := *c
	out.store = store
	return &out, nil
}

// sealed writes the store anew. The password has to be given, even if it is the same.
func (c *certificateContent) sealed(o content.Options, save trustkeep.SaveOptions) ([]byte, error) {
	ks, err := c.open(o.Password, o)
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	o.Password = nil
	return sealComponent(ks, ks.Aliases()[0], o, save)
}

// open returns a store with the key as its only entry.
//
// The component may come from a storage that others can write to, and nothing but the
// password vouches for the store. So a store in a format that has no integrity check, or
// with none, is not that of the component, whatever it holds.
func (c *certificateContent) open(password trustkeep.PasswordSource, o content.Options) (*Keystore, error) {
	if c.store == nil {
		return nil, fmt.Errorf("a public component has no private key: %w", trustkeep.ErrUnsupported)
	}
	secret, err := storefile.Reveal(password)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	if len(secret.Bytes()) == 0 {
		return nil, &trustkeep.Error{Op: "open key", Err: trustkeep.ErrIncorrectPassword, Hint: "no password was given"}
	}
	ks, err := Options{}.componentOptions(o).Parse(c.store, storefile.Revealed(secret))
	if err != nil {
		return nil, err
	}
	if ks.Format() != trustkeep.PKCS12 || !ks.restoreChain(c.chain) {
		ks.Close()
		return nil, fmt.Errorf("the stored key is not that of the certificate: %w", trustkeep.ErrCorrupt)
	}
	return ks, nil
}

// restoreChain reports whether a store, just parsed, holds one key, and of certificates
// just these. The key gets them for its chain, in this order: in PKCS#12 they have none,
// and those that are no link of the chain, such as another way to a cross-signed CA, stay
// beside the key when it is read.
func (k *Keystore) restoreChain(chain [][]byte) bool {
	var key *item
	var have [][]byte
	for _, it := range k.current().items {
		switch {
		case it.e.Kind == entry.Key && key == nil:
			key = it
		case it.e.Kind != entry.Opaque:
			return false
		}
		for _, c := range it.e.Chain {
			have = append(have, c.Raw)
		}
	}
	want := slices.Clone(chain)
	slices.SortFunc(have, bytes.Compare)
	slices.SortFunc(want, bytes.Compare)
	if key == nil || len(key.e.Chain) == 0 || !bytes.Equal(key.e.Chain[0].Raw, chain[0]) || !slices.EqualFunc(have, want, bytes.Equal) {
		return false
	}
	only := key.variant(func(e *entry.Entry) {
		e.Chain = make([]*entry.Certificate, len(chain))
		for i, der := range chain {
			e.Chain[i] = entry.NewCertificate(der)
		}
	})
	return k.edit(func(s *state) (*state, error) { return s.with([]*item{only}), nil }) == nil
}
