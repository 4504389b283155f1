package extract

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/sigcheck"
	"github.com/trustkeep/trustkeep/truststore"
)

// Chain is what a server presented. None of it is verified.
type Chain struct {
	Address    string
	ServerName string
	// Certificates are those that the server sent: its own first, then as far
	// as they go its issuers in order, then whatever else.
	Certificates []*x509.Certificate
	// Completed are issuers that the server did not send, fetched from where
	// the certificates say they are. They continue Certificates.
	Completed []*x509.Certificate
	// Incomplete says why the chain could not be completed up to a
	// self-signed certificate, nil if it was, or was not asked for.
	Incomplete error

	Staple      []byte // the stapled OCSP response, nil for none
	Version     uint16 // of TLS
	CipherSuite uint16
	// ClientCertificate tells that the server asked for one, AcceptableCAs
	// of which authorities, as DER names; none means any.
	ClientCertificate bool
	AcceptableCAs     [][]byte
}

// Accept returns the certificate of the chain whose SHA-256 is the fingerprint
// given, in hex, with or without colons, blanks and the prefix "sha256:". It is
// the certificate to put into a trust store or a component. If none has it, the
// error wraps trustkeep.ErrRejected; for a text that is no fingerprint,
// trustkeep.ErrInvalid.
//
// The fingerprint must have come another way than the chain. A connection can be
// intercepted; the fingerprint of the certificate that it presents says nothing
// about that.
func (c *Chain) Accept(fingerprint string) (*x509.Certificate, error) {
	f := strings.ToLower(fingerprint)
	f = strings.TrimPrefix(f, "sha256:")
	f = strings.NewReplacer(":", "", " ", "").Replace(f)
	want, err := hex.DecodeString(f)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("extract: fingerprint %q is not a SHA-256 in hex: %w", trustkeep.Printable(fingerprint), trustkeep.ErrInvalid)
	}
	for _, cert := range c.All() {
		if sum := sha256.Sum256(cert.Raw); bytes.Equal(sum[:], want) {
			return cert, nil
		}
	}
	return nil, &trustkeep.Error{
		Op:   "extract: " + trustkeep.Printable(c.Address) + " presents no certificate of that fingerprint",
		Err:  trustkeep.ErrRejected,
		Hint: "either the fingerprint is of another certificate, or the server is not the one that was meant",
	}
}

// All returns the certificates sent and completed.
func (c *Chain) All() []*x509.Certificate { return slices.Concat(c.Certificates, c.Completed) }

// order puts the issuers after what they have issued; some servers send them in
// another order.
func (c *Chain) order() {
	ordered := c.Certificates[:1:1]
	rest := slices.Clone(c.Certificates[1:])
	checks := fewChecks()
	for {
		last := ordered[len(ordered)-1]
		if bytes.Equal(last.RawIssuer, last.RawSubject) {
			break
		}
		i := issuerAmong(rest, last, checks)
		if i < 0 {
			break
		}
		ordered = append(ordered, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	c.Certificates = append(ordered, rest...)
}

// maxCompleted bounds how many issuers are fetched. Real chains have three.
const maxCompleted = 8

// complete fetches issuers until a self-signed one. Others that sent more than
// the chain are left alone: the chain continues where it is last connected.
func (c *Chain) complete(ctx context.Context, fetch func(context.Context, string) ([]byte, error)) error {
	last := c.Certificates[0]
	checks := sigcheck.NewBudget(32, 160)
	for range c.Certificates { // at most: two may have issued each other
		if selfSigned(last, checks) {
			break
		}
		i := issuerAmong(c.Certificates, last, checks)
		if i < 0 {
			break
		}
		last = c.Certificates[i]
	}
	for !selfSigned(last, checks) {
		if len(c.Completed) == maxCompleted {
			return fmt.Errorf("more than %d issuers: %w", maxCompleted, trustkeep.ErrLimit)
		}
		issuer, err := fetchIssuer(ctx, last, fetch, checks)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(c.All(), issuer.Equal) {
			return fmt.Errorf("certificates issue each other: %w", trustkeep.ErrCorrupt)
		}
		c.Completed = append(c.Completed, issuer)
		last = issuer
	}
	return nil
}

// selfSigned also takes the name for it if the signature may not be checked.
func selfSigned(c *x509.Certificate, checks *sigcheck.Budget) bool {
	if !bytes.Equal(c.RawIssuer, c.RawSubject) {
		return false
	}
	found, ok := checks.Ask(c, c)
	return found.Signed || !ok
}

// fewChecks is what putting a chain in order may cost, however many certificates of the
// issuers' names a server sends.
func fewChecks() *sigcheck.Budget { return sigcheck.NewBudget(8, 80) }

// issuerAmong returns the index of the certificate that issued another, -1 for none. The one
// that the key identifier means is looked at first, and believed if no more signatures may be
// checked: nothing is verified here.
func issuerAmong(certs []*x509.Certificate, of *x509.Certificate, checks *sigcheck.Budget) int {
	for _, meant := range []bool{true, false} {
		for i, c := range certs {
			if c == of || !bytes.Equal(c.RawSubject, of.RawIssuer) || sigcheck.Meant(of, c) != meant {
				continue
			}
			found, ok := checks.Ask(of, c)
			if ok && found.Err == nil || !ok && meant {
				return i
			}
		}
	}
	return -1
}

// maxURLs bounds how many places of one certificate are tried.
const maxURLs = 4

// fetchIssuer gets the issuer's certificate. What is fetched counts only if its
// key made the signature, so it does not matter who delivers it.
func fetchIssuer(ctx context.Context, cert *x509.Certificate, fetch func(context.Context, string) ([]byte, error), checks *sigcheck.Budget) (*x509.Certificate, error) {
	// Certificates need no key derivation, which could take a second for each place.
	published := truststore.Options{Limits: trustkeep.Limits{MaxIterations: 50_000}}
	var reasons []error
	for _, url := range cert.IssuingCertificateURL[:min(len(cert.IssuingCertificateURL), maxURLs)] {
		data, err := fetch(ctx, url)
		if err == nil {
			var store *truststore.Truststore
			if store, err = published.Parse(data, nil); err == nil {
				for _, issuer := range store.Certificates() {
					if !bytes.Equal(issuer.RawSubject, cert.RawIssuer) {
						continue
					}
					if found, _ := checks.Ask(cert, issuer); found.Signed && found.Err == nil {
						return issuer, nil
					}
				}
				err = errors.New("what is published there did not sign the certificate")
			}
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", trustkeep.Printable(url), err))
	}
	if len(reasons) == 0 {
		return nil, &trustkeep.Error{Op: "issuer of " + certinfo.Subject(cert), Err: trustkeep.ErrNotFound, Hint: "the certificate does not say where it is published"}
	}
	return nil, errors.Join(reasons...)
}

// String lists the certificates, for a person who is to decide: subject, issuer,
// names, validity and fingerprint of each.
func (c *Chain) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s presents (%s, %s):\n", trustkeep.Printable(c.Address), tls.VersionName(c.Version), tls.CipherSuiteName(c.CipherSuite))
	const date = "2006-01-02"
	for i, cert := range c.All() {
		s := certinfo.Brief(cert)
		from := ""
		if i >= len(c.Certificates) {
			from = " (not sent, fetched from where the issuer publishes it)"
		}
		fmt.Fprintf(&b, "%d. %s%s\n   issuer  %s\n", i+1, s, from, s.Issuer)
		if len(s.Names) > 0 {
			fmt.Fprintf(&b, "   names   %s\n", strings.Join(s.Names, ", "))
		}
		fmt.Fprintf(&b, "   valid   %s to %s\n   SHA-256 %s\n", s.NotBefore.Format(date), s.NotAfter.Format(date), s.SHA256)
	}
	if c.Incomplete != nil {
		fmt.Fprintf(&b, "incomplete: %v\n", c.Incomplete)
	}
	return b.String()
}

// MarshalJSON yields {"address","serverName","version","cipherSuite",
// "clientCertificate","certificates","completed","incomplete"}.
func (c *Chain) MarshalJSON() ([]byte, error) {
	out := struct {
		Address      string                  `json:"address"`
		ServerName   string                  `json:"serverName"`
		Version      string                  `json:"version"`
		CipherSuite  string                  `json:"cipherSuite"`
		ClientAuth   bool                    `json:"clientCertificate"`
		Certificates []trustkeep.Certificate `json:"certificates"`
		Completed    []trustkeep.Certificate `json:"completed"`
		Incomplete   string                  `json:"incomplete,omitempty"`
	}{
		trustkeep.Printable(c.Address), trustkeep.Printable(c.ServerName), tls.VersionName(c.Version), tls.CipherSuiteName(c.CipherSuite),
		c.ClientCertificate, summaries(c.Certificates), summaries(c.Completed), "",
	}
	if c.Incomplete != nil {
		out.Incomplete = c.Incomplete.Error()
	}
	return json.Marshal(out)
}

func summaries(certs []*x509.Certificate) []trustkeep.Certificate {
	out := make([]trustkeep.Certificate, len(certs))
	for i, c := range certs {
		out[i] = certinfo.Brief(c)
	}
	return out
}
