package tlsctx

import (
	"crypto/tls"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// Alternatives makes one identity of several that have the same name and different types of
// key, such as ECDSA and RSA, the preferred one first. Wherever this package takes an identity,
// the first is presented that the peer can verify: a server looks at the signature schemes,
// curves and cipher suites of the client, a client at the signature schemes and then at the
// authorities of the server. If none fits, it is the first. To other packages, it is the first.
//
// Each is asked anew for each handshake, as a single one is. It fails with trustkeep.ErrInvalid
// without identities.
func Alternatives(ids ...trustkeep.Identity) trustkeep.Identity {
	return &alternatives{redact.Hidden(slices.Clone(ids))}
}

type alternatives struct {
	ids func() []trustkeep.Identity // see redact.Hidden
}

// TLSCertificate returns that of the first.
func (a *alternatives) TLSCertificate() (*tls.Certificate, error) {
	all, err := a.all()
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (a *alternatives) all() ([]*tls.Certificate, error) {
	var out []*tls.Certificate
	for i, id := range a.ids() {
		if id == nil {
			return nil, &trustkeep.Error{Op: fmt.Sprintf("alternative %d", i+1), Err: trustkeep.ErrInvalid, Hint: "it is nil"}
		}
		some, err := presented(id)
		if err != nil {
			return nil, fmt.Errorf("alternative %d: %w", i+1, err)
		}
		out = append(out, some...)
	}
	if len(out) == 0 {
		return nil, &trustkeep.Error{Op: "alternatives", Err: trustkeep.ErrInvalid, Hint: "there is none"}
	}
	return out, nil
}

// unchanging is an identity that presents these and no others, nil for none.
func unchanging(certs []*tls.Certificate) trustkeep.Identity {
	switch len(certs) {
	case 0:
		return nil
	case 1:
		return StaticIdentity(*certs[0])
	}
	ids := make([]trustkeep.Identity, len(certs))
	for i, c := range certs {
		ids[i] = StaticIdentity(*c)
	}
	return Alternatives(ids...)
}

// forServer returns the one to present to a server.
func forServer(certs []*tls.Certificate, asks *tls.CertificateRequestInfo) *tls.Certificate {
	if len(certs) > 1 {
		anyCA := *asks
		anyCA.AcceptableCAs = nil // servers that trust a certificate itself often list others
		for _, ask := range []*tls.CertificateRequestInfo{asks, &anyCA} {
			for _, c := range certs {
				if ask.SupportsCertificate(c) == nil {
					return c
				}
			}
		}
	}
	return certs[0]
}

// presentToClients puts certificates into a server's configuration. crypto/tls chooses among
// several by itself, but only among those that have the name that the client asks for.
func presentToClients(cfg *tls.Config, certs []tls.Certificate) {
	cfg.Certificates = certs
	if len(certs) < 2 {
		return
	}
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		unnamed := *hello
		unnamed.ServerName = ""
		for i := range certs {
			if unnamed.SupportsCertificate(&certs[i]) == nil {
				return &certs[i], nil
			}
		}
		return &certs[0], nil
	}
}
