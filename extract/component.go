package extract

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"

	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// Component makes a public component of the certificate that Accept returns for the
// fingerprint, with its issuers as far as the chain has them. It goes through all stages
// of component.Import, the scanner included, and has the errors of both.
//
// See Accept for where the fingerprint must come from.
func (c *Chain) Component(ctx context.Context, name, fingerprint string, o component.Options) (*component.Component, error) {
	cert, err := c.Accept(fingerprint)
	if err != nil {
		return nil, err
	}
	rest := c.All()
	var file bytes.Buffer
	for cert != nil {
		pem.Encode(&file, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a Buffer takes everything
		rest = slices.DeleteFunc(rest, cert.Equal)
		cert = issuerAmong(rest, cert)
	}
	o.Kinds = []component.Kind{keystore.ComponentKind()}
	return component.Import(ctx, name, file.Bytes(), o)
}

func issuerAmong(certs []*x509.Certificate, of *x509.Certificate) *x509.Certificate {
	if i := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return signed(c, of) }); i >= 0 {
		return certs[i]
	}
	return nil
}
