package issue

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/keystore"
)

// RenewOptions configures Renew. With the zero value, key, names and purposes stay and the
// certificate is self-signed.
type RenewOptions struct {
	// Certificate holds what changes. Empty names, purposes and key usages are those of the
	// current certificate. Its Issuer signs unless Sign is set. Its Key counts only with
	// NewKey; if zero, the new key has the type of the current one. If Validity is zero, it is
	// as long as that of the current certificate, but not beyond the issuer's.
	Certificate Options
	// NewKey makes a new key. If false, the key stays.
	NewKey bool
	// Sign asks a CA: it gets the request in PEM and returns the reply in any form that
	// Install takes. The store can be used meanwhile. With Sign, NotBefore, Validity,
	// PathLength and Issuer of Certificate must be zero: the CA decides them.
	Sign func(ctx context.Context, request []byte) (reply []byte, err error)
	// Trust is InstallOptions.Trust for the CA's reply.
	Trust trustkeep.CertificateHolder
	// KeepAs keeps the old identity under another alias, which must be free. If empty, the old
	// identity is removed.
	KeepAs string
	// Limits bounds the work that the CA's reply may cause. Zero fields mean the defaults.
	Limits trustkeep.Limits
}

// Renew gives an identity a new certificate, and with NewKey a new key, under the same alias
// and key password. It replaces the old identity in one step, once the new one is complete and
// checked; if it fails, nothing changes. It does not save the store: call it within
// keystore.Update to renew a store on disk.
//
// To renew an identity that another issuer signed, set Sign or an Issuer; without either the
// error wraps ErrInvalid, so that nothing becomes self-signed by accident. For a CA that takes
// days to answer, use Request and Install, with InstallOptions.As if the key is new.
//
// Sign gets ctx. Errors are those of Keystore.Identity, New, Request, Install,
// Keystore.Replace, ctx and Sign.
func Renew(ctx context.Context, ks *keystore.Keystore, alias string, o RenewOptions) (*keystore.Identity, error) {
	const op = "issue: renew"
	if err := ctx.Err(); err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: alias, Err: err}
	}
	e, err := entryOf(ks, alias)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	old, err := ks.Identity(e.Alias)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	if err := o.hopeful(ks, e); err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	r, err := o.replacement(ctx, ks, old)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: e.Alias, Err: err}
	}
	id, err := ks.Replace(e, r)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	return id, nil
}

// hopeful refuses early what Keystore.Replace would refuse once a CA has been asked.
func (o *RenewOptions) hopeful(ks *keystore.Keystore, e keystore.Entry) error {
	if o.KeepAs != "" {
		if other, err := ks.Entry(o.KeepAs); err == nil {
			return &trustkeep.Error{Alias: e.Alias, Err: fmt.Errorf("alias \"%s\" to keep the old identity: %w", trustkeep.Printable(other.Alias), trustkeep.ErrExists)}
		}
	}
	if o.NewKey {
		// A new key gets the password of the old one, which must be known.
		if _, err := ks.CheckKey(e.Alias); errors.Is(err, trustkeep.ErrIncorrectPassword) {
			return err
		}
	}
	return nil
}

func (o *RenewOptions) replacement(ctx context.Context, ks *keystore.Keystore, old *keystore.Identity) (r keystore.Replacement, err error) {
	if o.Sign == nil && o.Certificate.Issuer == nil && !old.SelfSigned() {
		return r, fmt.Errorf("certificate of %s, signed by another, without Sign or Issuer: %w", certpath.Subject(old.Leaf()), trustkeep.ErrInvalid)
	}
	r.KeepAs = o.KeepAs
	key := old.Signer()
	if o.NewKey {
		if key, err = o.Certificate.keyLike(old.Leaf()); err != nil {
			return r, err
		}
		r.Key = key
	}
	r.Chain, err = o.chain(ctx, ks, key, old.Leaf())
	return r, err
}

// keyLike makes a key of the type that the options name, or of that of a certificate's.
func (o *Options) keyLike(old *x509.Certificate) (crypto.Signer, error) {
	t := o.Key
	if t > Ed25519 {
		return nil, problemf("key type %d", t).as(trustkeep.ErrInvalid)
	}
	if t == 0 {
		t = Like(old).Key
	}
	if t == 0 {
		return nil, fmt.Errorf("another key of this type: %w", trustkeep.ErrUnsupported)
	}
	return certgen.NewKey(certgen.KeyType(t), o.Rand)
}

// chain has a certificate made for a key.
func (o *RenewOptions) chain(ctx context.Context, ks *keystore.Keystore, key crypto.Signer, old *x509.Certificate) ([]*x509.Certificate, error) {
	wanted := o.Certificate.orLike(old)
	wanted.Key = 0 // made already
	if o.Sign == nil {
		wanted = wanted.forAsLongAs(old).withDefaults()
		if err := wanted.check(); err != nil {
			return nil, err
		}
		by, err := wanted.issuer()
		if err != nil {
			return nil, err
		}
		return wanted.certify(key, by)
	}
	request, err := wanted.request(key)
	if err != nil {
		return nil, err
	}
	reply, err := o.Sign(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	judge := InstallOptions{Trust: o.Trust, Clock: wanted.Clock, Limits: o.Limits}
	return judge.judge(ks, key.Public(), reply)
}

// forAsLongAs takes from the old certificate what is left open about the new one's extent.
func (o Options) forAsLongAs(old *x509.Certificate) Options {
	if o.PathLength == nil && o.Purposes == ForCA {
		o.PathLength = Like(old).PathLength
	}
	if o.Validity == 0 {
		o.Validity, o.atMost = old.NotAfter.Sub(old.NotBefore), true
	}
	return o
}
