package issue

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/keystore"
)

// InstallOptions configures how Install checks a CA's reply and where it stores it. The zero
// value fits a CA whose root is in the reply or in the store.
type InstallOptions struct {
	// Trust must hold a certificate that the chain leads to, and may supply missing issuers.
	// Only certificates that can be listed count, which excludes those of the Windows and
	// macOS verifiers. If nil, the chain must end in a self-signed root of the reply or the
	// store.
	Trust trustkeep.CertificateHolder
	// As is the alias of another entry, which the identity replaces; the entry that the reply
	// was for is removed. Use it for a new key that waited for its certificate beside the old
	// one. If empty, the alias stays.
	As string
	// KeepAs keeps the replaced identity under another alias, which must be free. If empty, it
	// is removed.
	KeepAs string
	// Clock tells the time at which the chain must be valid. If nil, time.Now.
	Clock func() time.Time
	// Limits bounds the work that the reply may cause. Zero fields mean the defaults.
	Limits trustkeep.Limits
}

// Install replaces the certificate of an entry by the one in a CA's reply. The entry must hold
// a private key; it need not have a certificate. An empty alias means the only private key of
// the store.
//
// The reply is a certificate, a chain or a bundle, in any order, in PEM, DER or PKCS#7.
// Install completes the chain from the reply, the store and InstallOptions.Trust, checks it
// with crypto/x509 and stores it up to its root. The key keeps its password, see
// Keystore.Replace. If Install fails, nothing changes. It does not save the store.
//
// Errors: ErrKeyMismatch if the reply certifies only other keys; ErrNotFound, naming the
// certificate, if an issuer is missing or the chain leads to no certificate of Trust;
// ErrExpired, naming the certificate; ErrCorrupt for an unreadable reply, or one whose
// certificates contradict each other, such as an issuer that is no CA; ErrEmpty for a reply
// without certificates; ErrLimit above 100; ErrExists for KeepAs; ErrConflict if the entry has
// changed meanwhile; those of Keystore.Signer.
func Install(ks *keystore.Keystore, alias string, reply []byte, o InstallOptions) (*keystore.Identity, error) {
	const op = "issue: install"
	e, err := entryOf(ks, alias)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	key, err := ks.Signer(e.Alias)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	chain, err := o.judge(ks, key.Public(), reply)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: e.Alias, Err: err}
	}
	id, err := ks.Replace(e, keystore.Replacement{Chain: chain, As: o.As, KeepAs: o.KeepAs})
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return id, nil
}

// entryOf reads the entry of an alias, or of the only key if the alias is empty.
func entryOf(ks *keystore.Keystore, alias string) (keystore.Entry, error) {
	if ks == nil {
		return keystore.Entry{}, fmt.Errorf("nil keystore: %w", trustkeep.ErrInvalid)
	}
	e, err := ks.Entry(alias)
	if err == nil && e.Kind != keystore.KeyEntry {
		return e, &trustkeep.Error{Alias: e.Alias, Err: fmt.Errorf("the entry is of kind %s and has no private key: %w", e.Kind, trustkeep.ErrNotFound)}
	}
	if err == nil || alias != "" {
		return e, err
	}
	var keys []keystore.Entry
	for _, e := range ks.Entries() {
		if e.Kind == keystore.KeyEntry {
			keys = append(keys, e)
		}
	}
	if len(keys) != 1 {
		return e, fmt.Errorf("%d private keys and no alias: %w", len(keys), trustkeep.ErrNotFound)
	}
	return keys[0], nil
}

// judge reads a reply and returns the chain that it makes for the key.
func (o *InstallOptions) judge(ks *keystore.Keystore, public crypto.PublicKey, reply []byte) ([]*x509.Certificate, error) {
	certs, err := certificatesIn(reply, o.Limits)
	if err != nil {
		return nil, err
	}
	return o.chainAmong(public, certs, ks.Certificates())
}

// chainAmong returns the chain of the key's certificate in a reply, with issuers from the
// reply, others and Trust.
func (o *InstallOptions) chainAmong(public crypto.PublicKey, certs, others []*x509.Certificate) ([]*x509.Certificate, error) {
	leaf, err := newestFor(public, certs)
	if err != nil {
		return nil, err
	}
	s := certpath.Search{Leaf: leaf, Others: slices.Concat(others, certs), Now: (&Options{Clock: o.Clock}).now()}
	if o.Trust != nil {
		if s.Anchors, err = certpath.Of(o.Trust); err != nil {
			return nil, err
		}
		s.Chosen = true
		s.Others = append(s.Others, s.Anchors...)
		return s.Chain()
	}
	for _, c := range s.Others {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && certpath.SignedBy(c, c) == nil {
			s.Anchors = append(s.Anchors, c)
		}
	}
	return s.Chain()
}

// maxReply bounds the certificates of a reply, each of which may cost signatures
// to be checked. CAs send a handful.
const maxReply = 100

// certificatesIn parses every certificate of a reply. Keys in it are ignored.
func certificatesIn(reply []byte, l trustkeep.Limits) ([]*x509.Certificate, error) {
	store, err := formats.Parse(bytes.Clone(reply), entry.ReadOptions{Budget: limits.New(l)})
	if err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	var certs []*x509.Certificate
	unusable := fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
	for _, e := range store.Entries {
		for _, wrapped := range e.Chain {
			c, err := wrapped.X509()
			if err != nil {
				unusable = err
				continue
			}
			if certs = append(certs, c); len(certs) > maxReply {
				return nil, fmt.Errorf("reply of more than %d certificates: %w", maxReply, trustkeep.ErrLimit)
			}
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("reply: %w", unusable)
	}
	return certs, nil
}

// newestFor picks the certificate of a key: a bundle may hold the old one
// beside the new.
func newestFor(public crypto.PublicKey, certs []*x509.Certificate) (*x509.Certificate, error) {
	var newest *x509.Certificate
	for _, c := range certs {
		if certpath.Certifies(c, public) && (newest == nil || c.NotBefore.After(newest.NotBefore)) {
			newest = c
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("the reply is for another key: the certificate of %s: %w",
			certpath.Subject(certs[0]), trustkeep.ErrKeyMismatch)
	}
	return newest, nil
}
