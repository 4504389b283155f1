package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"reflect"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/formats"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// CertificateSource is something that certificates can be taken from, such as a
// *truststore.Truststore or another *Keystore.
type CertificateSource interface {
	Certificates() []*x509.Certificate
}

// ReplyOptions says how a CA's reply is judged and where it goes. The zero
// value fits a CA whose root is in the reply or in the store.
type ReplyOptions struct {
	// Trust, when set, must hold a certificate that the chain leads to, and
	// may supply missing ones. Only certificates that can be listed count,
	// which those of the Windows and macOS verifiers cannot. Nil asks only
	// that the chain is complete up to a self-signed root in the reply or in
	// the store.
	Trust CertificateSource
	// As is the alias that the identity gets, in place of the entry that has
	// it; the entry that the reply was for goes. Use it for a new key that
	// waited for its certificate beside the old one. Empty keeps the alias.
	As string
	// KeepAs keeps the identity that is replaced under another alias, which
	// must be free. Empty lets it go.
	KeepAs string
}

// InstallReply puts a CA's reply to the request of that alias in the place of
// the entry's certificate. The reply may be the certificate alone, a chain or a
// bundle, in any order, in PEM, DER or PKCS#7. The chain is completed from the
// reply, the store and ReplyOptions.Trust, checked with crypto/x509 at the
// store's clock, and installed up to its root. On any error nothing changes.
//
// Errors: ErrKeyMismatch when the reply certifies none but other keys;
// ErrNotFound, naming the certificate, when an issuer is missing or the chain
// leads to no certificate of Trust; ErrExpired, naming the certificate;
// ErrCorrupt for a reply that cannot be read or whose certificates contradict
// each other, such as an issuer that is no CA; ErrExists for KeepAs;
// ErrLimit above 100 certificates; ErrConflict when the entry was changed
// meanwhile; those of Identity.
func (k *Keystore) InstallReply(alias string, reply []byte, o ReplyOptions) (*Identity, error) {
	const op = "keystore: install reply"
	it, key, _, err := k.keyOf(op, alias)
	if err != nil {
		return nil, err
	}
	chain, err := k.judge(key.Public(), reply, o.Trust)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: err}
	}
	next := it.variant(func(e *entry.Entry) { e.Chain, e.Err = chain, nil })
	id, err := identityFrom(next.e.Alias, key, chain)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: err}
	}
	next.identity.Store(id)
	return k.succeed(op, it, next, o)
}

// succeed puts next, a successor of the entry from, where ReplyOptions say. next
// has an identity.
func (k *Keystore) succeed(op string, from, next *item, o ReplyOptions) (*Identity, error) {
	target, err := k.target(op, from, o.As)
	if err != nil {
		return nil, err
	}
	if target != from {
		next = next.renamed(target.e.Alias)
	}
	next.e.Created = k.now()
	return k.settle(op, from, target, next, o.KeepAs)
}

// judge reads a reply and returns the chain that it makes for the key.
func (k *Keystore) judge(public crypto.PublicKey, reply []byte, trust CertificateSource) ([]*entry.Certificate, error) {
	certs, err := k.certificatesIn(reply)
	if err != nil {
		return nil, err
	}
	leaf, err := newestFor(public, certs)
	if err != nil {
		return nil, err
	}
	p := path{leaf: leaf, others: append(k.Certificates(), certs...), now: k.now()}
	if trust != nil {
		if p.anchors, err = certificatesOf(trust); err != nil {
			return nil, err
		}
		p.mustAnchor = true
		p.others = append(p.others, p.anchors...)
		return p.build()
	}
	for _, c := range p.others {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && signedBy(c, c) == nil {
			p.anchors = append(p.anchors, c)
		}
	}
	return p.build()
}

// certificatesOf guards against the nil pointer that an ignored error of a Load
// leaves behind.
func certificatesOf(source CertificateSource) ([]*x509.Certificate, error) {
	if v := reflect.ValueOf(source); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("nil %T as a source of certificates: %w", source, trustkeep.ErrEmpty)
	}
	return source.Certificates(), nil
}

// maxReply bounds the certificates of a reply, each of which may cost signatures
// to be checked. CAs send a handful.
const maxReply = 100

// certificatesIn parses every certificate of a reply. Keys in it are ignored.
func (k *Keystore) certificatesIn(reply []byte) ([]*x509.Certificate, error) {
	store, err := formats.Parse(bytes.Clone(reply), entry.ReadOptions{Budget: limits.New(k.options.Limits)})
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
		if matches(c, public) && (newest == nil || c.NotBefore.After(newest.NotBefore)) {
			newest = c
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("the reply is for another key: the certificate of %s: %w",
			subject(certs[0]), trustkeep.ErrKeyMismatch)
	}
	return newest, nil
}
