package extract

import (
	"bytes"
	"context"
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
	checks := fewChecks()
	for {
		pem.Encode(&file, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // a Buffer takes everything
		rest = slices.DeleteFunc(rest, cert.Equal)
		i := issuerAmong(rest, cert, checks)
		if i < 0 {
			break
		}
		cert = rest[i]
	}
	o.Kinds = []component.Kind{keystore.ComponentKind()}
	return component.Import(ctx, name, file.Bytes(), o)
}
