package issue

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/keystore"
)

// RequestOptions configures a certificate request that a component waits for: pass it to
// component.Component.Request, or to component.CreateRequest for a new component. With the zero
// value, key, names and purposes are those of the component's certificate.
type RequestOptions struct {
	// Certificate holds what is asked for. Empty names, purposes and key usages are those of
	// the current certificate. Its Key counts only for a new key; if zero, the new key has the
	// type of the current one, or the default of Options. NotBefore, Validity, Issuer and
	// PathLength must be zero: the CA decides them.
	Certificate Options
	// NewKey makes a new key. If false, the key stays; a new component gets one anyway.
	NewKey bool
}

// MakeRequest implements component.Requester. The errors are those of Request; ErrUnsupported
// for a public component.
func (o RequestOptions) MakeRequest(ctx context.Context, before content.Content, c content.Options) ([]byte, content.Content, error) {
	wanted := o.Certificate.of(c)
	var old *x509.Certificate
	if before != nil {
		if before.Visibility() != trustkeep.Private {
			return nil, nil, errPublic
		}
		var err error
		if old, err = keystore.CertificateOf(content.Held(before)); err != nil {
			return nil, nil, err
		}
		wanted = wanted.orLike(old)
		if !o.NewKey {
			id, err := keystore.IdentityOf(content.Held(before), c.Password)
			if err != nil {
				return nil, nil, err
			}
			wanted.Key = 0
			request, err := wanted.request(id.Signer())
			return request, before, err
		}
	}
	key, err := wanted.newKey(old)
	if err != nil {
		return nil, nil, err
	}
	wanted.Key = 0 // made already
	request, err := wanted.request(key)
	if err != nil {
		return nil, nil, err
	}
	waiting, err := wanted.placeholder(key)
	if err != nil {
		return nil, nil, err
	}
	kept, err := waiting.MakeContent(ctx, nil, c)
	return request, kept, err
}

func (o *Options) newKey(old *x509.Certificate) (crypto.Signer, error) {
	if old != nil {
		return o.keyLike(old)
	}
	d := o.withDefaults()
	if err := d.check(); err != nil { // before the cost of a key
		return nil, err
	}
	return certgen.NewKey(certgen.KeyType(d.Key), o.Rand)
}

// placeholder makes an identity of a key that waits, so that it is stored as all others are.
// Its certificate is never handed out.
func (o Options) placeholder(key crypto.Signer) (*keystore.Identity, error) {
	o = o.withDefaults()
	chain, err := o.certify(key, nil)
	if err != nil {
		return nil, err
	}
	return keystore.NewIdentity(key, chain...)
}

// KeyFor implements component.Installer.
func (o InstallOptions) KeyFor(reply []byte, keys []content.Content, c content.Options) (int, error) {
	certs, err := certificatesIn(reply, o.of(c).Limits)
	if err != nil {
		return 0, err
	}
	for i, k := range keys {
		held, err := keystore.CertificateOf(content.Held(k))
		if err != nil {
			if k.Kind() != trustkeep.X509 {
				return 0, err
			}
			continue
		}
		if _, err := newestFor(held.PublicKey, certs); err == nil {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the reply is for another key than the component's and those of its requests: the certificate of %s: %w",
		certpath.Subject(certs[0]), trustkeep.ErrKeyMismatch)
}

// MakeInstalled implements component.Installer: component.Component.Install makes a component's
// content of the reply. Issuers that the reply leaves out are taken from Trust and from the
// component's chain.
//
// Unlike Install, it takes a reply whose issuers are missing, such as the certificate alone, if
// Trust is nil: as an import does, it keeps what there is, and package audit reports what is
// missing. Certificates of CAs in such a reply are kept, since the missing one may lead to them.
//
// As and KeepAs must be empty. A nil Clock is taken from component.Options, and limits that are
// zero.
func (o InstallOptions) MakeInstalled(reply []byte, key, before content.Content, c content.Options) (content.Content, error) {
	if o.As != "" || o.KeepAs != "" {
		return nil, fmt.Errorf("fields As or KeepAs, where versions are kept: %w", trustkeep.ErrInvalid)
	}
	o = o.of(c)
	id, err := keystore.IdentityOf(content.Held(key), c.Password)
	if err != nil {
		return nil, err
	}
	issuers := slices.Clone(id.Chain()[1:]) // the first may be a placeholder
	if before != nil {
		for i, der := range keystore.ChainOf(content.Held(before)) {
			if parsed, err := x509.ParseCertificate(der); i > 0 && err == nil {
				issuers = append(issuers, parsed)
			}
		}
	}
	certs, err := certificatesIn(reply, o.Limits)
	if err != nil {
		return nil, err
	}
	chain, err := o.chainAmong(id.Signer().Public(), certs, issuers)
	if o.Trust == nil && errors.Is(err, trustkeep.ErrNotFound) {
		chain, err = o.incomplete(id.Signer().Public(), certs, issuers)
	}
	if err != nil {
		return nil, err
	}
	installed, err := keystore.NewIdentity(id.Signer(), chain...)
	if err != nil {
		return nil, err
	}
	return installed.MakeContent(context.Background(), before, c)
}

// of takes from the options of a component what is not set.
func (o InstallOptions) of(c content.Options) InstallOptions {
	if o.Clock == nil {
		o.Clock = c.Clock
	}
	content.Options{Limits: o.Limits}.Over(&c.Limits, &c.Clock, &c.Rand)
	o.Limits = c.Limits
	return o
}

// incomplete returns the chain of a certificate as far as it can be followed, and then the
// other CAs of the reply.
func (o *InstallOptions) incomplete(public crypto.PublicKey, certs, issuers []*x509.Certificate) ([]*x509.Certificate, error) {
	leaf, err := newestFor(public, certs)
	if err != nil {
		return nil, err
	}
	var wrapped []*entry.Certificate
	for _, c := range slices.Concat(certs, issuers) {
		wrapped = append(wrapped, entry.FromX509(c))
	}
	last := leaf
	var linked []*x509.Certificate
	for _, w := range entry.NewIndex(wrapped).Chain(entry.FromX509(leaf))[1:] {
		parent, err := w.X509()
		if err != nil || certpath.Link(last, parent) != nil {
			break
		}
		last, linked = parent, append(linked, parent)
	}
	s := certpath.Search{Leaf: leaf, Others: linked, Anchors: []*x509.Certificate{last}, Chosen: true, Now: (&Options{Clock: o.Clock}).now()}
	chain, err := s.Chain()
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		if c.IsCA && !certpath.Has(chain, c) {
			chain = append(chain, c)
		}
	}
	return chain, nil
}
