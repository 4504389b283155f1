package audit

import (
	"crypto/x509"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// component audits one certificate under management.
func (a *auditor) component(t Target) {
	x, ok := t.Component.(*component.Component)
	if !ok || x.Kind() != trustkeep.X509 {
		return
	}
	if x.Version() == 0 {
		a.add(t, trustkeep.Finding{Code: NoCertificate, Severity: trustkeep.Warning, Text: "the component has no certificate yet", Remedy: "install the reply of the CA, or delete the component"})
	}
	for _, p := range x.Pending() {
		a.add(t, trustkeep.Finding{Code: RequestPending, Severity: trustkeep.Note, Text: p.String() + " waits for its reply", Remedy: "install the reply of the CA, or cancel it"})
	}
	chain := chainOf(x)
	if len(chain) < len(x.Describe()) {
		a.add(t, trustkeep.Finding{Code: UnusableEntry, Severity: trustkeep.Warning, Text: "a certificate of the chain cannot be understood", Remedy: "import it again from its source"})
	}
	if len(chain) == 0 {
		return
	}
	if x.Visibility() != trustkeep.Private {
		for _, c := range chain {
			a.strength(t, "", c)
		}
		a.roles(t, "", chain[0])
		return
	}
	a.identity(t, "", chain)
	if a.SkipKeys {
		return
	}
	p, ok := a.defaultPassword(func(candidate []byte) bool {
		_, err := keystore.IdentityOf(x, trustkeep.Password(string(candidate)))
		return err == nil
	})
	if ok {
		a.add(t, trustkeep.Finding{Code: DefaultPassword, Severity: trustkeep.Critical, Text: "the password of the component is " + p + ", which everybody knows", Remedy: "change the password"})
	}
}

// chainOf returns the certificates of an X.509 component that can be parsed.
func chainOf(c trustkeep.Component) []*x509.Certificate {
	x, ok := c.(*component.Component)
	if !ok {
		return nil
	}
	var chain []*x509.Certificate
	for _, der := range keystore.ChainOf(x) {
		if cert, err := x509.ParseCertificate(der); err == nil {
			chain = append(chain, cert)
		}
	}
	return chain
}
