package issue

import (
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/given"
)

// authority is an identity taken apart.
type authority struct {
	key   crypto.Signer
	chain []*x509.Certificate // leaf first; only Raw of those that crypto/x509 refuses
	raw   [][]byte
}

// issuer returns the authority that signs, nil for a self-signed certificate.
func (o *Options) issuer() (*authority, error) {
	if o.Issuer == nil {
		return nil, nil
	}
	return authorityOf(o.Issuer)
}

func authorityOf(id trustkeep.Identity) (*authority, error) {
	if given.IsNil(id) {
		return nil, fmt.Errorf("nil %T as an identity: %w", id, trustkeep.ErrInvalid)
	}
	cert, err := id.TLSCertificate()
	if err != nil {
		return nil, err
	}
	if cert == nil || len(cert.Certificate) == 0 {
		return nil, fmt.Errorf("identity without a certificate: %w", trustkeep.ErrInvalid)
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("identity with a key of type %T, which cannot sign: %w", cert.PrivateKey, trustkeep.ErrInvalid)
	}
	a := &authority{key: key, raw: cert.Certificate}
	for i, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			if i == 0 {
				return nil, fmt.Errorf("identity's certificate: %w: %v", trustkeep.ErrCorrupt, errtext.Of(err))
			}
			c = &x509.Certificate{Raw: der} // sent all the same
		}
		a.chain = append(a.chain, c)
	}
	if !certpath.Certifies(a.chain[0], key.Public()) {
		return nil, fmt.Errorf("identity's certificate of %s: %w", certpath.Subject(a.chain[0]), trustkeep.ErrKeyMismatch)
	}
	return a, nil
}
