package keystore

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/entry"
)

// RenewOptions says how an identity is renewed. With the zero value, the key,
// the names and the purposes stay and the certificate is self-signed.
type RenewOptions struct {
	// Certificate says what is to change: names, purposes and key usages
	// that it leaves empty are those of the current certificate. Its Issuer
	// signs, unless Sign is set; its Key counts with NewKey alone, where
	// zero is the type of the current key. A zero Validity is as long as
	// the current certificate's, bounded by an issuer's.
	Certificate CertificateOptions
	// NewKey makes a new key. Otherwise the key stays.
	NewKey bool
	// Sign asks a CA: it gets the request in PEM and returns the reply, in
	// any of the forms that InstallReply takes. The store is not locked
	// meanwhile. What the CA is to decide (NotBefore, Validity, PathLength,
	// Issuer) cannot be asked for.
	Sign func(request []byte) (reply []byte, err error)
	// Trust judges the CA's reply as ReplyOptions.Trust does.
	Trust CertificateSource
	// KeepAs keeps the old identity under another alias, which must be
	// free. Empty lets it go.
	KeepAs string
}

// Renew gives the identity of an alias a new certificate, and with NewKey a new
// key, under the same alias and key password. The old identity stays until the
// new one is complete and checked, and takes its place in one step; on any error
// nothing changes. Use it within Update to renew a store on disk in one step.
//
// An identity that somebody else signed is renewed with Sign or with an Issuer;
// without both, the error is ErrEmpty, so that nothing becomes self-signed by
// accident. For a CA that takes days to answer, use CertificateRequest and
// InstallReply, with ReplyOptions.As where the key is new.
//
// Errors are those of Generate, CertificateRequest and InstallReply, and
// whatever Sign returns.
func (k *Keystore) Renew(alias string, o RenewOptions) (*Identity, error) {
	const op = "keystore: renew"
	old, err := k.identity(op, alias, nil, false)
	if err != nil {
		return nil, err
	}
	it, err := k.current().findKey(op, alias)
	if err != nil {
		return nil, err
	}
	next, err := k.renewed(it, old, o)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: old.alias, Err: err}
	}
	return k.succeed(op, it, next, ReplyOptions{KeepAs: o.KeepAs})
}

func (k *Keystore) renewed(it *item, old *Identity, o RenewOptions) (*item, error) {
	if o.Sign == nil && o.Certificate.Issuer == nil && !old.SelfSigned() {
		return nil, fmt.Errorf("certificate of %s, signed by another, without Sign or Issuer: %w", subject(old.Leaf()), trustkeep.ErrEmpty)
	}
	key := old.signer
	if o.NewKey {
		var err error
		if key, err = k.nextKey(old.Leaf(), o.Certificate.Key); err != nil {
			return nil, err
		}
	}
	chain, err := k.renewedChain(key, old.Leaf(), o)
	if err != nil {
		return nil, err
	}
	id, err := identityFrom(old.alias, key, chain)
	if err != nil {
		return nil, err
	}
	if o.NewKey {
		return k.newItem(id, it.password), nil
	}
	next := it.variant(func(e *entry.Entry) { e.Chain, e.Err = chain, nil })
	next.identity.Store(id)
	return next, nil
}

func (k *Keystore) nextKey(old *x509.Certificate, t KeyType) (crypto.Signer, error) {
	if t == 0 {
		t = CertificateLike(old).Key
	}
	if t == 0 {
		return nil, fmt.Errorf("another key of this type: %w", trustkeep.ErrUnsupported)
	}
	return certgen.NewKey(certgen.KeyType(t), k.options.Rand)
}

func (k *Keystore) renewedChain(key crypto.Signer, old *x509.Certificate, o RenewOptions) ([]*entry.Certificate, error) {
	wanted := o.Certificate.orLike(old)
	if o.Sign == nil {
		wanted = wanted.forAsLongAs(old)
		wanted.Key = ECP256 // made already
		wanted = wanted.withDefaults()
		if err := wanted.check(); err != nil {
			return nil, err
		}
		id, err := k.certify("", key, wanted)
		if err != nil {
			return nil, err
		}
		return wrap(id), nil
	}
	if !wanted.NotBefore.IsZero() || wanted.Validity != 0 || wanted.PathLength != nil || wanted.Issuer != nil {
		return nil, fmt.Errorf("an option that is the CA's to decide: %w", trustkeep.ErrUnsupported)
	}
	der, err := k.request(key, wanted)
	if err != nil {
		return nil, err
	}
	reply, err := o.Sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return k.judge(key.Public(), reply, o.Trust)
}

// forAsLongAs takes from the old certificate what is left open about the new
// one's extent.
func (o CertificateOptions) forAsLongAs(old *x509.Certificate) CertificateOptions {
	if o.PathLength == nil && o.Purposes == ForCA {
		o.PathLength = CertificateLike(old).PathLength
	}
	if o.Validity == 0 {
		o.Validity, o.atMost = old.NotAfter.Sub(old.NotBefore), true
	}
	return o
}
