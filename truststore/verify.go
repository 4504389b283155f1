package truststore

import (
	"crypto/x509"
	"errors"
	"time"
)

// Purpose is what a peer's certificate is to be used for. The zero Purpose is
// Server, the strictest.
type Purpose uint8

// The purposes.
const (
	// Server: a TLS server, under the name that was dialled.
	Server Purpose = iota
	// Client: a TLS client.
	Client
	// Email: S/MIME, and signatures or encryption between partners as in AS2.
	Email
	// Any: whatever the certificate says about its use.
	Any
)

// String returns "server", "client", "email", "any" or "invalid".
func (p Purpose) String() string {
	switch p {
	case Server:
		return "server"
	case Client:
		return "client"
	case Email:
		return "email"
	case Any:
		return "any"
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// usage returns the extended key usage that the purpose asks for.
func (p Purpose) usage() (u x509.ExtKeyUsage, ok bool) {
	switch p {
	case Server:
		return x509.ExtKeyUsageServerAuth, true
	case Client:
		return x509.ExtKeyUsageClientAuth, true
	case Email:
		return x509.ExtKeyUsageEmailProtection, true
	case Any:
		return x509.ExtKeyUsageAny, true
	}
	return 0, false
}

// VerifyOptions says what is asked about a peer. The zero value asks about a
// server and is refused for the lack of a name.
type VerifyOptions struct {
	// Purpose of the certificate; zero is Server.
	Purpose Purpose
	// Name that the certificate must carry as a subject alternative name: for
	// Email the address, else the host name or IP address. It must be set for
	// Server; elsewhere empty means that no name is asked for.
	Name string
	// Time of the decision; zero is now.
	Time time.Time
	// Intermediates are certificates that may complete the chain besides
	// those that the peer sent. They are not trusted by themselves.
	Intermediates []*x509.Certificate
}

// Verify decides whether a peer is trusted by this store now. See
// Snapshot.Verify. A nil *Truststore trusts nobody.
func (t *Truststore) Verify(chain []*x509.Certificate, o VerifyOptions) (*Verdict, error) {
	if t == nil {
		return nil, errNil("verify")
	}
	return t.current().snapshot.Verify(chain, o)
}

// Verify decides whether a peer is trusted: chain is what it sent, its own
// certificate first, the rest in any order. It is the one trust decision of
// this module, for TLS, S/MIME and whatever else has a certificate and needs to
// know.
//
// crypto/x509 builds and checks the path, and what it refuses is refused here.
// The error is a *VerifyError, which explains the refusal, and wraps
// trustkeep.ErrExpired, ErrEmpty or ErrUnsupported where one of them is the
// reason.
func (s *Snapshot) Verify(chain []*x509.Certificate, o VerifyOptions) (*Verdict, error) {
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	usage, code := s.precheck(chain, o)
	if code != "" {
		return nil, s.explain(code, chain, o, nil)
	}
	options := x509.VerifyOptions{
		Roots:       s.Pool(),
		CurrentTime: o.Time,
		KeyUsages:   []x509.ExtKeyUsage{usage},
	}
	if len(chain)+len(o.Intermediates) > 1 {
		options.Intermediates = x509.NewCertPool()
		for _, c := range chain[1:] {
			options.Intermediates.AddCert(c)
		}
		for _, c := range o.Intermediates {
			options.Intermediates.AddCert(c)
		}
	}
	if o.Purpose != Email {
		options.DNSName = o.Name
	} else if o.Name != "" && !hasAddress(chain[0], o.Name) {
		return nil, s.explain("", chain, o, nil)
	}
	chains, err := chain[0].Verify(options)
	if err == nil && len(chains) == 0 {
		err = errors.New("no chain") // cannot happen; trusts nobody if it does
	}
	if err != nil {
		return nil, s.explain("", chain, o, err)
	}
	return newVerdict(chains), nil
}

// precheck refuses what must not get as far as crypto/x509, where an empty name
// means "any name" and an empty pool can be mistaken for the system's.
func (s *Snapshot) precheck(chain []*x509.Certificate, o VerifyOptions) (x509.ExtKeyUsage, Code) {
	usage, ok := o.Purpose.usage()
	switch {
	case !ok:
		return 0, CodeWrongPurpose
	case s == nil || s.Empty():
		return 0, CodeEmptyStore
	case len(chain) == 0:
		return 0, CodeNoCertificate
	case o.Purpose == Server && o.Name == "":
		return 0, CodeNoName
	}
	for _, certs := range [][]*x509.Certificate{chain, o.Intermediates} {
		for _, c := range certs {
			if c == nil || len(c.Raw) == 0 {
				return 0, CodeNoCertificate
			}
		}
	}
	return usage, ""
}
